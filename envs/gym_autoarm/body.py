"""A body: how all of an arm answers to its goals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.servo import STALL_TORQUE, Protection, Servo

# LeRobot writes Overload_Torque = 25 (percent) to the gripper: what it may hold for long.
GRIPPER_HOLDING_TORQUE: Final = 0.25 * STALL_TORQUE


@dataclass(frozen=True)
class Body:
    """How an arm answers.

    Attributes:
        servos: One for each joint, in the contract's order.
        delay: Seconds from a goal to the servo that follows it.
        backlash: Play of the gears, degrees (of the gripper's range: hundredths).
        protection: The gripper's protection against overload; `None` for none.
    """

    servos: tuple[Servo, ...]
    delay: float = 0.0
    backlash: float = 0.0
    protection: Protection | None = None

    def __post_init__(self) -> None:
        if len(self.servos) != len(spec.JOINTS):
            raise InvalidInputError(f"{len(self.servos)} servos", field="body.servos", cure="one for each joint, six")

    @classmethod
    def uniform(
        cls, servo: Servo, gripper_torque_limit: float = GRIPPER_HOLDING_TORQUE, delay: float = 0.0, backlash: float = 0
    ) -> Body:
        """A body whose joints have one servo's numbers, but for the gripper's torque limit, N m."""
        gripper = replace(servo, torque_limit=gripper_torque_limit)
        return cls((servo,) * (len(spec.JOINTS) - 1) + (gripper,), delay, backlash)

    @property
    def is_uniform(self) -> bool:
        """Whether it is one that `uniform` makes, with friction that creeps, as the suite five-spots-v1 has them."""
        servo, gripper = self.servos[0], self.servos[spec.GRIPPER]
        return self == Body.uniform(servo, gripper.torque_limit, self.delay, self.backlash) and not servo.sticks
