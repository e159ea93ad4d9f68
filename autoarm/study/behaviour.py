"""Does a policy copy the nearest demonstration, or does it follow the cube? Measured on its actions, for any policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoarm.data.chunks import fill_chunk
from autoarm.data.dataset import joint_columns
from autoarm.interp.methods.slope import change_slope
from autoarm.interp.observations.rendered import (
    ActionScale,
    RenderedFrames,
    action_scale,
    demonstration_chunks,
    expert_chunks,
    predicted_chunks,
)
from autoarm.policies.loading import load_policy
from autoarm.policies.lookup import read_trajectories
from autoarm.policies.protocol import Policy
from autoarm.study.aim import Aim
from autoarm.study.plan import Place
from autoarm.study.rows import Row
from autoarm.study.units import Unit, mean_or_none
from autoarm.study.workspace import PairedObservations, Workspace
from gym_autoarm import spec

Floats = NDArray[np.float64]


def behaviour(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Slope β of a trained policy or of a control at every held-out position, and between the spots."""
    control = workspace.study.controls.get(unit.recipe)
    if control is None:
        dataset = workspace.study.arms[unit.recipe].dataset
        policy = workspace.policy(unit.recipe, unit.seed)
        pairs, scale = workspace.paired_observations(dataset), action_scale(policy)
        chunks = predicted_chunks(policy, pairs.frames)
    else:
        dataset = control.dataset
        pairs, scale = workspace.paired_observations(dataset), dataset_scale(workspace, dataset)
        chunks = policy_chunks(
            load_policy(unit.recipe, workspace.dataset(dataset)), pairs.frames, workspace.chunk, scale
        )
    return list(_rows(workspace, unit, dataset, pairs, chunks, scale))


def _rows(
    workspace: Workspace, unit: Unit, dataset: str, pairs: PairedObservations, chunks: Floats, scale: ActionScale
) -> Iterator[Row]:
    aim = Aim(pairs, scale)
    each = change_slope(aim.change(chunks[pairs.position] - chunks[pairs.nearest]), aim.wanted, draws=0).each
    for number, (place, value) in enumerate(zip(pairs.places, each, strict=True)):
        x, y = pairs.points[pairs.position[number]]
        at = {"place": place, "position": number, "x": x, "y": y, "distance": round(float(pairs.distance[number]), 4)}
        yield unit.row("slope", at, value)
    # Again with the recorded demonstration in place of the policy's chunk at the spot, timing and all.
    trajectories = read_trajectories(workspace.dataset(dataset))
    known = scale.normalise(
        demonstration_chunks(trajectories, _demonstration_numbers(workspace, dataset, pairs), chunks.shape[1])
    )
    expert = scale.normalise(expert_chunks(pairs.frames, chunks.shape[1]))
    way = expert[pairs.position] - known
    absolute = change_slope(aim.change(chunks[pairs.position] - known), aim.change(way), draws=0).each
    for place in dict.fromkeys(pairs.places):
        yield unit.row("slope_from_demonstration", {"place": place}, mean_or_none(absolute[at_place(pairs, place)]))


def at_place(pairs: PairedObservations, place: Place) -> NDArray[np.bool_]:
    """Which pairs are of this kind of place, `(pair,)`."""
    return np.array([each == place for each in pairs.places])


def _demonstration_numbers(workspace: Workspace, dataset: str, pairs: PairedObservations) -> list[int]:
    """Number of the first demonstration at the spot of each pair; demonstrations are recorded spot by spot."""
    plan = workspace.demonstrations(dataset)
    return [plan.spots.index(pairs.points[number]) * plan.episodes_per_spot for number in pairs.nearest]


def policy_chunks(policy: Policy, frames: RenderedFrames, steps: int, scale: ActionScale) -> Floats:
    """The first actions of any policy on each frame, normalised, `(n, steps, 6)`."""
    return scale.normalise([fill_chunk(_asked(policy, frames, number), steps) for number in range(len(frames))])


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
    """Units that a policy trained on these demonstrations has: their mean and standard deviation."""
    _, actions, _ = joint_columns(workspace.dataset(dataset))
    values = actions.astype(np.float64)
    return ActionScale(values.mean(axis=0), values.std(axis=0) + 1e-8)
