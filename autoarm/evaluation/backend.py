"""The body that acts: the simulated arm, or a real one, which its owner describes in a robot's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from autoarm.policies.protocol import Policy
from autoarm.results.result import BodyRecord
from gym_autoarm import spec
from gym_autoarm.env import Step
from gym_autoarm.errors import IncompatiblePolicyError, InvalidInputError
from gym_autoarm.scene import Scene

Body = Literal["sim", "real"]

_FAR: Final = 20.0
"""Degrees, and hundredths of the gripper's range, beyond all that a policy was trained on: it is another arm's, or that
of one which was calibrated in another way."""

REAL_ENV_ID: Final = "autoarm_hardware/PickIntoBox-v0"


class Env(Protocol):
    """What episodes are run in: `PickIntoBoxEnv`, simulated or real."""

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode."""
        ...

    def step_chunk(self, actions: NDArray[np.floating]) -> Step:
        """Take several actions `(n, 6)`, and look at the end."""
        ...

    def close(self) -> None:
        """Free what it holds; a real arm stops."""
        ...


class Robot(Protocol):
    """What is asked of a robot's file; see `autoarm_hardware.config.RobotConfig`."""

    @property
    def type(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def is_twin(self) -> bool: ...
    @property
    def has_model(self) -> bool: ...
    @property
    def rest(self) -> Sequence[float]: ...
    @property
    def success(self) -> Literal["operator", "vision"]: ...
    @property
    def dry_run(self) -> bool: ...
    @property
    def limits(self) -> Any: ...
    @property
    def image_size(self) -> tuple[int, int]: ...

    def scene(self, scene: Scene | None = None) -> Scene:
        """A scene as its table shows it."""
        ...

    def make_env(self, **changes: Any) -> Any:
        """Its environment, not connected."""
        ...


def load_robot(path: Path) -> Robot:
    """Read a robot's file. Raises `InvalidFileError` naming the field that is wrong."""
    # `autoarm` and `autoarm_hardware` know nothing of each other: what lives there is found by its name.
    robot: Robot = import_module("autoarm_hardware.config").load_robot(path)
    return robot


def choose_robot(body: Body, robot: Path | None) -> Robot | None:
    """The robot that the options `--body` and `--robot` name; nothing for the simulated arm.

    Raises:
        InvalidInputError: If they contradict each other.
        InvalidFileError: If something in the robot's file is wrong.
    """
    if body == "sim":
        if robot is not None:
            raise InvalidInputError(
                "is named, and the simulated arm is to act", field="robot", cure="add --body real, or leave it out"
            )
        return None
    if robot is None:
        raise InvalidInputError(
            "is missing",
            field="robot",
            cure="name the arm's file with --robot; `autoarm twin --dir DIR` writes DIR/robot.yaml, for a start",
        )
    return load_robot(robot)


def describe_robot(robot: Robot) -> BodyRecord:
    """An arm, for a result."""
    return BodyRecord(kind="twin" if robot.is_twin else "real", type=robot.type, id=robot.id, success=robot.success)


def check_robot(
    robot: Robot,
    policy: Policy,
    *,
    workers: int = 1,
    ray: str | None = None,
    videos: object = None,
    kept: bool = False,
) -> None:
    """Raise before anything moves if a run does not fit a real arm.

    Args:
        robot: The arm.
        policy: Who is to act.
        workers: Processes that were asked for.
        ray: Cluster that was asked for.
        videos: Whatever was asked for.
        kept: Whether the result goes into a file.

    Raises:
        InvalidInputError: If it was asked for what one arm cannot do.
        IncompatiblePolicyError: If the policy reads what only simulation knows, or was made for another arm.
    """
    if workers != 1 or ray is not None:
        raise InvalidInputError(
            "there is one arm, and one episode at a time",
            field="workers" if ray is None else "ray",
            cure="leave it out with --body real",
        )
    if videos:
        raise InvalidInputError(
            "are drawn by taking the actions again, which only simulation can",
            field="videos",
            cure="leave them out with --body real",
        )
    if robot.dry_run and kept:
        raise InvalidInputError(
            "nothing moves, so that there is nothing to measure",
            field="dry_run",
            cure="leave out --out, or take dry_run from the robot's file",
        )
    if not robot.has_model and getattr(policy, "plans_with_model", False):
        raise IncompatiblePolicyError(
            f"{policy.name!r} plans with the links of the simulated arm, and this is a {robot.type}",
            field="policy",
            cure="choose one that was trained on this arm's own recordings",
        )
    _check_rest(robot, policy)
    if getattr(policy, "needs_poses", False):
        raise IncompatiblePolicyError(
            f"{policy.name!r} is told where the cube is at every step, which a real arm does not know",
            field="policy",
            cure="choose one that sees, or one that is told only at the start (expert, position-fed)",
        )


def _check_rest(robot: Robot, policy: Policy) -> None:
    """Raise `IncompatiblePolicyError` if the arm starts far from every joint position that a policy was trained on."""
    trained = getattr(policy, "joint_range", None)
    if trained is None:
        return
    for joint, rest, low, high in zip(spec.JOINTS, robot.rest, *trained, strict=True):
        if not low - _FAR <= rest <= high + _FAR:
            raise IncompatiblePolicyError(
                f"{policy.name!r} was trained on {joint} between {low:.0f} and {high:.0f}, and this arm starts at"
                f" {rest:.0f}",
                field="policy",
                cure="it is another arm's, or another calibration's: train on this arm's own recordings, or, if they"
                " began elsewhere, give that position as home in the robot's file",
            )
