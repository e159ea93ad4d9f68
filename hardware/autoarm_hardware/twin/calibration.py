"""How the twin's encoders are mounted, and the calibration of LeRobot's that fits them.

LeRobot's rules: Present_Position = encoder - Homing_Offset; degrees = (Present_Position - middle) * 360 / 4095 around
the middle of the calibrated range; the gripper is 0 to 100 between its ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm_hardware.twin.servo import Servo
from gym_autoarm import spec

_TICKS_PER_DEGREE: Final = 4095 / 360
"""As in LeRobot. The encoder has 4096 / 360, which differs by a third of a tick at most in the arm's range."""
_HALF_TURN: Final = 2047
"""Present_Position at which LeRobot's calibration puts the middle."""
_GRIPPER_RANGE: Final = 110.0
"""Degrees between closed and open (TheRobotStudio's so101_new_calib.xml)."""

# Ticks by which each servo horn is mounted off the half turn of its encoder, as happens with real arms.
_FOLLOWER_OFFSETS: Final = (-52, 117, -8, 64, -131, 29)
_LEADER_OFFSETS: Final = (83, -21, 140, -97, 12, -60)


@dataclass(frozen=True)
class JointCalibration:
    """One joint's entry in LeRobot's calibration file, with its field names."""

    id: int
    drive_mode: int
    homing_offset: int
    range_min: int
    range_max: int

    @property
    def middle(self) -> float:
        """The Present_Position that is 0 degrees for LeRobot."""
        return (self.range_min + self.range_max) / 2


Calibration = dict[str, JointCalibration]
"""The entries of an arm, by joint."""


def follower_calibration() -> Calibration:
    """The calibration that fits the follower as it is built."""
    return _calibration(_FOLLOWER_OFFSETS)


def leader_calibration() -> Calibration:
    """The calibration that fits the leader as it is built."""
    return _calibration(_LEADER_OFFSETS)


def _calibration(offsets: tuple[int, ...]) -> Calibration:
    calibration = {}
    for index, (joint, offset) in enumerate(zip(spec.JOINTS, offsets, strict=True)):
        if joint == "wrist_roll":
            low, high = 0, 4095  # it has no stops that matter, and LeRobot does not ask for them
        else:
            half = math.floor(_half_range(index) * _TICKS_PER_DEGREE)
            low, high = _HALF_TURN - half, _HALF_TURN + half
        calibration[joint] = JointCalibration(index + 1, 0, offset, low, high)
    return calibration


def _half_range(index: int) -> float:
    return _GRIPPER_RANGE / 2 if index == spec.GRIPPER else float(spec.ACTION_HIGH[index])


@dataclass(frozen=True)
class Encoders:
    """Encoder readings of joint positions in the contract's units: `ticks = zero + scale * position`, each `(6,)`."""

    zero: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def mounted(cls, calibration: Calibration) -> Encoders:
        """Encoders mounted so that `calibration` fits."""
        joints = [calibration[joint] for joint in spec.JOINTS]
        zero = np.array([joint.middle + joint.homing_offset for joint in joints])
        scale = np.full(len(joints), _TICKS_PER_DEGREE)
        gripper = joints[spec.GRIPPER]
        zero[spec.GRIPPER] = gripper.range_min + gripper.homing_offset
        scale[spec.GRIPPER] = (gripper.range_max - gripper.range_min) / 100
        return cls(zero, scale)


def write_calibration(servos: tuple[Servo, ...], calibration: Calibration) -> None:
    """Put a calibration into the servos' EEPROM, as LeRobot does."""
    for servo, joint in zip(servos, spec.JOINTS, strict=True):
        servo["Homing_Offset"] = calibration[joint].homing_offset
        servo["Min_Position_Limit"] = calibration[joint].range_min
        servo["Max_Position_Limit"] = calibration[joint].range_max
