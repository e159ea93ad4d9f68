"""What the environment needs to know about an arm beside LeRobot's driver: its joint limits and rest position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoarm_hardware.arm import KOCH, check_calibration
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene import HOME

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Follower:
    """An arm behind the contract; joint positions `(6,)` in its units.

    Attributes:
        low: The joints' lower limits, within the contract's.
        high: The joints' upper limits.
        home: The rest position, out of the top camera's view.
        has_model: Whether it is the simulated arm; the links of another one, and so its gripper's pose, are not known.
    """

    low: Vector
    high: Vector
    home: Vector
    has_model: bool

    def start(self, start: Sequence[float]) -> tuple[float, ...]:
        """The start `(6,)` of an episode that starts from `start` in simulation: as far from `home` as there."""
        if np.array_equal(self.home, HOME):
            return tuple(start)
        return tuple(np.clip(self.home + np.subtract(start, HOME), self.low, self.high).tolist())


def describe(robot: Any, home: Sequence[float] | None = None) -> Follower:
    """The limits and rest position of the arm behind one of LeRobot's drivers, not connected.

    The joints of an SO-101 have the contract's limits. Of another arm, zero is the middle of the range that its joints
    were moved through when it was calibrated, and they stay within that range.

    Args:
        robot: The driver.
        home: Where the arm rests, in the contract's units `(6,)`; the simulated arm's if nothing is given.

    Raises:
        InvalidInputError: If `home` is outside the limits, or is missing for another arm than an SO-101.
        InvalidFileError: If another arm than an SO-101 is not calibrated.
    """
    low, high = spec.ACTION_LOW.astype(np.float64), spec.ACTION_HIGH.astype(np.float64)
    has_model = robot.name != KOCH
    if not has_model:
        check_calibration(robot)
        reach = np.array([_reach(robot.bus, joint) for joint in spec.JOINTS])
        low, high = np.maximum(low, -reach), np.minimum(high, reach)
        low[spec.GRIPPER], high[spec.GRIPPER] = spec.ACTION_LOW[spec.GRIPPER], spec.ACTION_HIGH[spec.GRIPPER]
        if home is None:
            raise InvalidInputError(
                "is missing: only an SO-101's is known",
                field="home",
                cure="put the arm where it is out of the top camera's way, and give its six joint positions, as"
                " lerobot-teleoperate shows them with --robot.use_degrees=true",
            )
    return Follower(low, high, _check_home(HOME if home is None else home, low, high), has_model)


def _reach(bus: Any, joint: str) -> float:
    """Degrees to either side of the middle of a joint's calibrated range."""
    calibration = bus.calibration[joint]
    ticks = bus.model_resolution_table[bus.motors[joint].model] - 1
    return float((calibration.range_max - calibration.range_min) / 2 * 360 / ticks)


def _check_home(home: Sequence[float], low: Vector, high: Vector) -> Vector:
    place = np.asarray(home, np.float64)
    if place.shape != low.shape or not np.all((place >= low) & (place <= high)):
        ranges = ", ".join(f"{joint} {a:.0f} to {b:.0f}" for joint, a, b in zip(spec.JOINTS, low, high, strict=True))
        raise InvalidInputError(
            f"{list(home)} is no position of this arm", field="home", cure=f"six joint positions: {ranges}"
        )
    return place
