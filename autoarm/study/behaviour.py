"""Does a policy copy the nearest demonstration, or does it follow the cube? From the outside, for any policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoarm.data.dataset import joint_columns
from autoarm.interp.methods.slope import change_slope
from autoarm.interp.observations.rendered import (
    ActionScale,
    RenderedFrames,
    action_scale,
    demonstration_chunks,
    expert_chunks,
    padded,
    predicted_chunks,
)
from autoarm.policies.loading import load_policy
from autoarm.policies.lookup import read_trajectories
from autoarm.policies.protocol import Policy
from autoarm.study.aim import Aim
from autoarm.study.plan import Place
from autoarm.study.rows import Row
from autoarm.study.units import Unit, mean_or_none
from autoarm.study.workspace import Looks, Workspace
from gym_autoarm import spec

Floats = NDArray[np.float64]


def behaviour(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Slopes of a trained policy or of a control at every held-out position, and between the spots."""
    control = workspace.study.controls.get(unit.arm)
    if control is None:
        dataset = workspace.study.arms[unit.arm].dataset
        policy = workspace.policy(unit.arm, unit.seed)
        looks, scale = workspace.looks(dataset), action_scale(policy)
        chunks = predicted_chunks(policy, looks.frames)
    else:
        dataset = control.dataset
        looks, scale = workspace.looks(dataset), dataset_scale(workspace, dataset)
        chunks = asked_chunks(load_policy(unit.arm, workspace.dataset(dataset)), looks.frames, workspace.chunk, scale)
    return list(_rows(workspace, unit, dataset, looks, chunks, scale))


def _rows(
    workspace: Workspace, unit: Unit, dataset: str, looks: Looks, chunks: Floats, scale: ActionScale
) -> Iterator[Row]:
    aim = Aim(looks, scale)
    each = change_slope(aim.change(chunks[looks.here] - chunks[looks.there]), aim.wanted, draws=0).each
    for number, (place, value) in enumerate(zip(looks.places, each, strict=True)):
        x, y = looks.points[looks.here[number]]
        at = {"place": place, "position": number, "x": x, "y": y, "distance": round(float(looks.distance[number]), 4)}
        yield unit.row("slope", at, value)
    # The same against what was really demonstrated there, style and all.
    trajectories = read_trajectories(workspace.dataset(dataset))
    known = scale.normalise(
        demonstration_chunks(trajectories, _demonstration_numbers(workspace, dataset, looks), chunks.shape[1])
    )
    expert = scale.normalise(expert_chunks(looks.frames, chunks.shape[1]))
    way = expert[looks.here] - known
    absolute = change_slope(aim.change(chunks[looks.here] - known), aim.change(way), draws=0).each
    for place in dict.fromkeys(looks.places):
        yield unit.row("slope_from_demonstration", {"place": place}, mean_or_none(absolute[at_place(looks, place)]))


def at_place(looks: Looks, place: Place) -> NDArray[np.bool_]:
    """Which pairs are of a place."""
    return np.array([each == place for each in looks.places])


def _demonstration_numbers(workspace: Workspace, dataset: str, looks: Looks) -> list[int]:
    """The first demonstration at the spot that each pair starts from: they are recorded spot by spot."""
    plan = workspace.demonstrations(dataset)
    return [plan.spots.index(looks.points[number]) * plan.episodes_per_spot for number in looks.there]


def asked_chunks(policy: Policy, frames: RenderedFrames, steps: int, scale: ActionScale) -> Floats:
    """What any policy does first on each frame, normalised, `(n, steps, 6)`."""
    return scale.normalise([padded(_asked(policy, frames, number), steps) for number in range(len(frames))])


def _asked(policy: Policy, frames: RenderedFrames, number: int) -> NDArray[np.float32]:
    pixels = {camera: views[number] for camera, views in frames.pixels.items()}
    observation = {"pixels": pixels, "agent_pos": frames.states[number]}
    info: dict[str, Any] = {
        "cube_pose": frames.cube[number],
        "box_pose": frames.box[number],
        "cube_size": spec.CUBE_SIZE,
    }
    policy.reset(0, info)
    return policy.act(observation, info)


def dataset_scale(workspace: Workspace, dataset: str) -> ActionScale:
    """Units of the demonstrations' own spread, as policies that are trained on them have."""
    _, actions, _ = joint_columns(workspace.dataset(dataset))
    values = actions.astype(np.float64)
    return ActionScale(values.mean(axis=0), values.std(axis=0) + 1e-8)
