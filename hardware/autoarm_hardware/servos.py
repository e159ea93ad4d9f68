"""What is asked of a servo while it moves an arm, by the registers that its make has, and what its answers mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gym_autoarm.errors import AutoArmError, InvalidInputError


class ServoError(AutoArmError, RuntimeError):
    """A servo that does not answer, or says what cannot be or must not go on; `field` names servo and register."""


@dataclass(frozen=True)
class Limits:
    """What an STS3215 on an SO-101 may be asked for, and what it may report.

    The numbers are this project's choice, a little inside what the servo's own protection does with the defaults in
    `autoarm_hardware.twin.control_table`: Max_Temperature_Limit 70 degrees, Min_Voltage_Limit 4 V,
    Max_Voltage_Limit 14 V. One range of voltage fits both of its versions, for 7.4 V and for 12 V. They suit a
    Koch's servos, too (Temperature_Limit 70 degrees of an XL330, 72 of an XL430), but for the voltage, of which those
    are better judges: 5 V of the one and 12 V of the other.

    Attributes:
        step: How far from where it is a joint may be sent: degrees, and hundredths of the gripper's range.
        temperature: Degrees Celsius, at most.
        voltage: Volts, at least and at most.
        load: Of its full torque, at most, for long and without moving: a swing at full torque is no harm.
        load_time: Seconds that are long; half of the default of the servo's own Protection_Time.
    """

    step: float = 30.0
    temperature: float = 65.0
    voltage: tuple[float, float] = (4.5, 14.0)
    load: float = 0.95
    load_time: float = 1.0

    def __post_init__(self) -> None:
        for field in ("step", "temperature", "load", "load_time"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value > 0.0):
                raise InvalidInputError(f"{value} is no limit", field=field, cure="give a positive number")
        if not 0.0 <= self.voltage[0] < self.voltage[1]:
            raise InvalidInputError(f"{self.voltage} is no range", field="voltage", cure="give LOW < HIGH")


Amiss = tuple[str, str] | None
"""What is amiss and the cure, or nothing."""


class Watch(NamedTuple):
    """One register, what is amiss with a raw value of it, given the joint, and for how many seconds it may be."""

    register: str
    judge: Callable[[str, int], Amiss]
    seconds: float = 0.0


@dataclass(frozen=True)
class Make:
    """A make of servos, as far as the arm's safety asks.

    Attributes:
        status: Where a servo says what its own protection found.
        complaints: What the bits of that stand for, and the cure of each.
        alert: The bit of an answer's error byte that says that there is a complaint; `None` where the byte is `status`.
        voltage: Where it says its voltage, tenths of a volt.
        load: Where it says how hard it works.
        full: The raw load of full torque, by model.
        holds_force: Joints that LeRobot drives by force: full torque is what they hold with.
    """

    status: str
    complaints: Mapping[int, tuple[str, str]]
    alert: int | None
    voltage: str
    load: str
    full: Mapping[str, float]
    holds_force: frozenset[str] = frozenset()

    @property
    def registers(self) -> set[str]:
        """All that a servo of it must have."""
        own = {self.status, self.voltage, self.load}
        return {"Goal_Position", "Present_Position", "Present_Temperature", "Torque_Enable", *own}

    def complaint(self, raw: int) -> Amiss:
        """What a raw value of `status` says."""
        for bit, (message, cure) in self.complaints.items():
            if raw & bit:
                return f"reads {raw}: {message}", cure
        return None

    def watches(self, limits: Limits, models: Mapping[str, str]) -> tuple[Watch, ...]:
        """What to look at, one after the other, on an arm whose joints have servos of these `models`."""
        low, high = limits.voltage

        def load(joint: str, raw: int) -> Amiss:
            if joint in self.holds_force:
                return None
            share = abs(raw) / self.full[models[joint]]
            return _within(share, 0, limits.load, " of full torque", "see what the arm presses against")

        return (
            Watch(self.status, lambda joint, raw: self.complaint(raw)),
            Watch(
                "Torque_Enable",
                lambda joint, raw: _within(
                    raw, 1, 1, "", "the motor is off: see whether it was overloaded, then connect again"
                ),
            ),
            Watch(
                "Present_Temperature",
                lambda joint, raw: _within(raw, 0, limits.temperature, " °C", _COOL),
            ),
            Watch(
                self.voltage,
                lambda joint, raw: _within(0.1 * raw, low, high, " V", _POWER),
            ),
            Watch(self.load, load, limits.load_time),
        )


_POWER: Final = "check the power supply and its plug"
_PRESSING: Final = "see what the arm presses against, then switch the power off and on"
_COOL: Final = "let it cool, and take weight off it"
_REPLACE: Final = "switch the power off and on; if it stays, replace the servo"

FEETECH: Final = Make(
    status="Status",
    # Register 65: Feetech, "STS series memory table".
    complaints={
        0x01: ("its voltage is out of range", _POWER),
        0x02: ("its encoder has failed", _REPLACE),
        0x04: ("it is too hot", _COOL),
        0x08: ("it draws too much current", "see what the arm presses against"),
        0x20: ("it is overloaded", _PRESSING),
    },
    alert=None,
    voltage="Present_Voltage",
    load="Present_Load",
    full={"sts3215": 1000},  # tenths of a per cent
)
DYNAMIXEL: Final = Make(
    status="Hardware_Error_Status",
    # Robotis' e-manual of the X series, register 70; the alert is bit 7 of the error byte of protocol 2.0.
    complaints={
        0x01: ("its voltage is out of range", _POWER),
        0x04: ("it is too hot", _COOL),
        0x08: ("its encoder has failed", _REPLACE),
        0x10: ("its motor draws what it must not, or gets too little", _REPLACE),
        0x20: ("it is overloaded", _PRESSING),
    },
    alert=0x80,
    voltage="Present_Input_Voltage",
    # Register 126 of all of them, as LeRobot calls it: a current, in mA, of the XL330; the XL430, which measures none,
    # has its load there, in tenths of a per cent. Full are the stall currents of the e-manual, at 5 V.
    load="Present_Current",
    full={"xl430-w250": 1000, "xl330-m288": 1470, "xl330-m077": 1470},
    # In current-based position mode a gripper holds what it holds with all that it may draw.
    holds_force=frozenset({"gripper"}),
)


def make_of(bus: Any) -> Make:
    """The make of a LeRobot bus's servos. Raises `InvalidInputError` if one is not known well enough to be watched."""
    models = {motor.model for motor in bus.motors.values()}
    for make in (FEETECH, DYNAMIXEL):
        if models <= make.full.keys() and all(
            make.registers <= bus.model_ctrl_table.get(model, {}).keys() for model in models
        ):
            return make
    known = ", ".join(model for make in (FEETECH, DYNAMIXEL) for model in make.full)
    raise InvalidInputError(
        f"servos of model {', '.join(sorted(models))} cannot be watched: it is not known what they report",
        field="robot_type",
        cure=f"use an arm with servos of {known}: so101_follower, so100_follower or koch_follower",
    )


def _within(value: float, least: float, most: float, unit: str, cure: str) -> Amiss:
    return None if least <= value <= most else (f"reads {value:g}{unit}, not {least:g} to {most:g}", cure)
