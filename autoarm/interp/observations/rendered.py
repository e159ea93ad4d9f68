"""Observations rendered with the cube anywhere on the table and the arm in any pose, for open-loop measurements.

The expert's actions there are given too, and can be put in the policy's normalised units to compare the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from autoarm.data.chunks import fill_chunk
from autoarm.interp.model.capture import capture
from autoarm.interp.observations.probe_data import policy_batch
from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.expert import Expert, Style
from gym_autoarm.scene import Scene

if TYPE_CHECKING:
    from autoarm.policies.lerobot import LeRobotPolicy

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RenderedFrames:
    """Rendered observations, the arm at rest.

    Attributes:
        pixels: Frames by camera, uint8 `(n, h, w, 3)`.
        states: Joints, `(n, 6)`.
        cube: Position and quaternion (w, x, y, z) of the cube, metres, `(n, 7)`.
        box: Position and quaternion of the box, `(n, 7)`.
        body: How the arm answers.
    """

    pixels: dict[str, NDArray[np.uint8]]
    states: NDArray[np.float32]
    cube: Floats
    box: Floats
    body: Body

    def __len__(self) -> int:
        return len(self.states)

    @property
    def xy(self) -> Floats:
        """Where the cube is, metres, `(n, 2)`."""
        return self.cube[:, :2]

    def batch(self, policy: LeRobotPolicy) -> dict[str, Any]:
        """All of them as one batch of the policy."""
        return policy_batch(policy, self.pixels, self.states)

    def batches(self, policy: LeRobotPolicy, size: int = 16) -> Iterator[dict[str, Any]]:
        """Batches of them, `size` at a time."""
        for first in range(0, len(self), size):
            rows = slice(first, first + size)
            pixels = {camera: frames[rows] for camera, frames in self.pixels.items()}
            yield policy_batch(policy, pixels, self.states[rows])


def rendered_frames(
    positions: ArrayLike,
    states: ArrayLike | None = None,
    yaws: ArrayLike | float = 0.0,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
    scene: Scene | None = None,
) -> RenderedFrames:
    """Render observations with the cube at given positions.

    Args:
        positions: Positions of the cube, metres, `(n, 2)`.
        states: Joints of the arm, `(6,)` for all or `(n, 6)`; at home by default. Gravity moves them a little.
        yaws: Yaw of the cube, degrees, one for all or `(n,)`.
        image_size: Height and width of the frames.
        scene: All other properties of the scene; the default scene if None.

    Raises:
        InvalidInputError: If the shapes do not fit, or there is no position.
    """
    base = scene or Scene()
    places = np.asarray(positions, np.float64)
    if places.ndim != 2 or places.shape[1] != 2 or not len(places):
        raise InvalidInputError(f"shape {places.shape}", field="positions", cure="give (n, 2) metres, n >= 1")
    arms = np.asarray(base.start if states is None else states, np.float64)
    if arms.shape not in ((len(spec.JOINTS),), (len(places), len(spec.JOINTS))):
        raise InvalidInputError(f"shape {arms.shape}", field="states", cure=f"give (6,) or ({len(places)}, 6)")
    arms = np.broadcast_to(arms, (len(places), len(spec.JOINTS)))
    turns = np.broadcast_to(np.asarray(yaws, np.float64), len(places))
    env = PickIntoBoxEnv(image_size)
    seen, poses = [], []
    try:
        for (x, y), yaw, arm in zip(places, turns, arms, strict=True):
            cube = replace(base.cube, x=float(x), y=float(y), yaw=float(yaw))
            now = replace(base, cube=cube, start=tuple(map(float, arm)))
            observation, info = env.reset(seed=0, options={"scene": now})
            seen.append(observation)
            poses.append((info["cube_pose"], info["box_pose"]))
    finally:
        env.close()
    return RenderedFrames(
        pixels={camera: np.stack([each["pixels"][camera] for each in seen]) for camera in spec.CAMERAS},
        states=np.stack([each["agent_pos"] for each in seen]),
        cube=np.stack([cube for cube, _ in poses]),
        box=np.stack([box for _, box in poses]),
        body=base.body,
    )


def grid_positions(rows: int, columns: int) -> Floats:
    """Positions `(rows * columns, 2)` spread evenly over the work area, edges included; x grows row by row."""
    (x_low, x_high), (y_low, y_high) = spec.WORK_AREA
    x, y = np.meshgrid(np.linspace(x_low, x_high, rows), np.linspace(y_low, y_high, columns), indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def expert_chunks(rendered: RenderedFrames, steps: int, style: Style | None = None) -> Floats:
    """The expert's first goal positions from each observation, `(n, steps, 6)`, in the contract's units.

    Raises:
        UnreachablePoseError: If the arm cannot reach one of the cubes.
    """
    expert = Expert()
    plans = [
        expert.plan(cube, box, state, style, body=rendered.body)
        for cube, box, state in zip(rendered.cube, rendered.box, rendered.states, strict=True)
    ]
    return np.stack([fill_chunk(plan, steps) for plan in plans]).astype(np.float64)


@dataclass(frozen=True, eq=False)
class ActionScale:
    """The scale, joint by joint, from the contract's units to those in which a policy predicts."""

    mean: Floats
    spread: Floats

    def normalise(self, actions: ArrayLike) -> Floats:
        """Goal positions `(..., 6)` as the policy would predict them."""
        return np.asarray((np.asarray(actions, np.float64) - self.mean) / self.spread)


def action_scale(policy: LeRobotPolicy) -> ActionScale:
    """The scale of a policy's actions, found by passing 0 and 1 through its postprocessor, affine in each joint."""
    joints = len(spec.JOINTS)
    with torch.no_grad():
        ends = policy._postprocess(torch.stack([torch.zeros(joints), torch.ones(joints)]))
    low, high = np.asarray(ends.double().cpu().numpy(), np.float64)
    return ActionScale(low, high - low)


def predicted_chunks(policy: LeRobotPolicy, rendered: RenderedFrames, size: int = 16) -> Floats:
    """The policy's normalised chunks, `(n, slots, 6)`."""
    found = capture(policy.policy, rendered.batches(policy, size), ["action"])["action"]
    return np.asarray(found.values, np.float64)


def nearest_positions(positions: ArrayLike, known: ArrayLike) -> NDArray[np.int64]:
    """For each position `(n, 2)` the number of the nearest of the `known` ones `(m, 2)`."""
    here, there = np.asarray(positions, np.float64), np.asarray(known, np.float64)
    if not len(there):
        raise InvalidInputError("no known position", field="known", cure="give at least one")
    distance = np.linalg.norm(here[:, None] - there[None], axis=-1)
    return np.asarray(distance.argmin(axis=1), np.int64)


def demonstration_chunks(trajectories: Sequence[NDArray[np.floating]], numbers: ArrayLike, steps: int) -> Floats:
    """The first `steps` goals of the demonstrations with the given numbers, `(n, steps, 6)`."""
    return np.stack([fill_chunk(trajectories[int(number)], steps) for number in np.asarray(numbers)]).astype(np.float64)
