"""The registers that are watched while servos move an arm, for each family of servos, and what their values mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gym_autoarm import spec
from gym_autoarm.errors import AutoArmError, InvalidInputError


class ServoError(AutoArmError, RuntimeError):
    """A servo that does not answer, or reports an impossible or unsafe value; `field` names servo and register."""


def first_line(error: BaseException) -> str:
    """What an exception of LeRobot's or of a driver says, in one line; the name of its class if it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


@dataclass(frozen=True)
class Limits:
    """Limits on every command, and on what servos report: for the STS3215 of an SO-101.

    The numbers are this project's choice, a little inside the servo's own protection with the defaults in
    `autoarm_hardware.twin.control_table`: Max_Temperature_Limit 70 degrees, Min_Voltage_Limit 4 V,
    Max_Voltage_Limit 14 V. One range of voltage fits both of its versions, for 7.4 V and for 12 V. They suit a
    Koch's servos, too (Temperature_Limit 70 degrees of an XL330, 72 of an XL430), except for the voltage, 5 V of the
    one and 12 V of the other, which those servos watch better themselves.

    Attributes:
        step: Largest distance of a goal from where the joint is: degrees, and hundredths of the gripper's range.
        speed: Largest speed of goals, degrees a second, and hundredths of the gripper's range. The expert's go at 142
            at most.
        floor: Height below which no part of the hand (wrist, gripper, jaw) is sent, metres; `None` for none. The
            expert's goals stay above the table; a centimetre is what zero positions that are two degrees off make of
            that at 0.3 m. A stiff arm presses with the distance to its goal.
        temperature: Highest temperature, degrees Celsius.
        voltage: Lowest and highest voltage, volts.
        load: Largest share of full torque that a joint may need for `load_time` without moving; a swing at full torque
            does no harm.
        wrist_load: The same, for wrist_flex and wrist_roll: what the hand presses against, the wrist feels first. In
            the expert's demonstrations they need 0.2 for half a second, at most.
        load_time: Seconds; half of the default of the servo's own Protection_Time.
        gap: Longest time between two commands of one chunk, seconds, without what servos take that do not answer. A
            machine that was asleep, or too busy, for longer would go on with a plan made for a table that may have
            changed since. Six steps: a machine that keeps up misses one at times (docs/hardware.md), never six.
    """

    step: float = 30.0
    speed: float = 180.0
    floor: float | None = -0.01
    temperature: float = 65.0
    voltage: tuple[float, float] = (4.5, 14.0)
    load: float = 0.95
    wrist_load: float = 0.6
    load_time: float = 1.0
    gap: float = 0.2

    def __post_init__(self) -> None:
        for field in ("step", "speed", "temperature", "load", "wrist_load", "load_time", "gap"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value > 0.0):
                raise InvalidInputError(f"{value} is no limit", field=field, cure="give a positive number")
        if self.floor is not None and not abs(self.floor) < 1.0:
            raise InvalidInputError(f"{self.floor} is no height", field="floor", cure="give metres, or null for none")
        if not 0.0 <= self.voltage[0] < self.voltage[1]:
            raise InvalidInputError(f"{self.voltage} is no range", field="voltage", cure="give LOW < HIGH")


ServoFault = tuple[str, str] | None
"""What is wrong with a servo and its cure; `None` if nothing is wrong."""


class RegisterCheck(NamedTuple):
    """One register to look at.

    Attributes:
        register: Its name, as LeRobot has it.
        judge: Says what is wrong with a raw value, given the joint.
        seconds: How long it may be wrong before the arm is stopped.
    """

    register: str
    judge: Callable[[str, int], ServoFault]
    seconds: float = 0.0


@dataclass(frozen=True)
class ServoFamily:
    """A family of servos that speak one protocol, as far as the arm's safety depends on it.

    Attributes:
        status: The register with what the servo's own protection found.
        status_errors: The meaning of each of its bits, and the cure.
        alert_bit: The bit of an answer's error byte that is set if `status` is; `None` where the byte is `status`.
        voltage: The register with the supply voltage, tenths of a volt.
        load: The register with the load, or the current, of the motor.
        full_load: The value of `load` at full torque, by model.
        weakening: Bits of `status` with which a servo goes on, with less torque. A gripper that presses too hard is no
            danger: it does not stop the arm.
        force_controlled: Joints that LeRobot drives by force, which hold with full torque all the time.
    """

    status: str
    status_errors: Mapping[int, tuple[str, str]]
    alert_bit: int | None
    voltage: str
    load: str
    full_load: Mapping[str, float]
    weakening: int = 0
    force_controlled: frozenset[str] = frozenset()

    @property
    def registers(self) -> set[str]:
        """The registers that a servo of the family must have."""
        own = {self.status, self.voltage, self.load}
        return {"Goal_Position", "Present_Position", "Present_Temperature", "Torque_Enable", *own}

    def status_fault(self, raw: int) -> ServoFault:
        """What is wrong by a raw value of `status`."""
        for bit, (message, cure) in self.status_errors.items():
            if raw & bit:
                return f"reads {raw}: {message}", cure
        return None

    def checks(self, limits: Limits, models: Mapping[str, str]) -> tuple[RegisterCheck, ...]:
        """The registers to look at, in turn, on an arm whose joints have servos of these `models`."""
        low, high = limits.voltage

        def load(joint: str, raw: int) -> ServoFault:
            if joint in self.force_controlled:
                return None
            share = abs(raw) / self.full_load[models[joint]]
            most = limits.wrist_load if joint.startswith("wrist") else limits.load
            return _within(share, 0, most, " of full torque", "see what the arm presses against")

        return (
            RegisterCheck(
                self.status,
                lambda joint, raw: self.status_fault(raw & ~self.weakening if joint == _GRIPPER else raw),
            ),
            RegisterCheck(
                "Torque_Enable",
                lambda joint, raw: _within(
                    raw, 1, 1, "", "the motor is off: see whether it was overloaded, then connect again"
                ),
            ),
            RegisterCheck(
                "Present_Temperature",
                lambda joint, raw: _within(raw, 0, limits.temperature, " °C", _COOL),
            ),
            RegisterCheck(
                self.voltage,
                lambda joint, raw: _within(0.1 * raw, low, high, " V", _POWER),
            ),
            RegisterCheck(self.load, load, limits.load_time),
        )


_GRIPPER: Final = spec.JOINTS[spec.GRIPPER]
_POWER: Final = "check the power supply and its plug"
_PRESSING: Final = "see what the arm presses against, then switch the power off and on"
_COOL: Final = "let it cool, and take weight off it"
_REPLACE: Final = "switch the power off and on; if it stays, replace the servo"

FEETECH: Final = ServoFamily(
    status="Status",
    # Register 65: Feetech, "STS series memory table".
    status_errors={
        0x01: ("its voltage is out of range", _POWER),
        0x02: ("its encoder has failed", _REPLACE),
        0x04: ("it is too hot", _COOL),
        0x08: ("it draws too much current", "see what the arm presses against"),
        0x20: ("it is overloaded", _PRESSING),
    },
    alert_bit=None,
    voltage="Present_Voltage",
    load="Present_Load",
    full_load={"sts3215": 1000},  # tenths of a per cent
    weakening=0x20,  # Protective_Torque; one that Unloading_Condition switches off is seen by its Torque_Enable
)
DYNAMIXEL: Final = ServoFamily(
    status="Hardware_Error_Status",
    # Robotis' e-manual of the X series, register 70; the alert_bit is bit 7 of the error byte of protocol 2.0.
    status_errors={
        0x01: ("its voltage is out of range", _POWER),
        0x04: ("it is too hot", _COOL),
        0x08: ("its encoder has failed", _REPLACE),
        0x10: ("its motor draws what it must not, or gets too little", _REPLACE),
        0x20: ("it is overloaded", _PRESSING),
    },
    alert_bit=0x80,
    voltage="Present_Input_Voltage",
    # Register 126, under LeRobot's name: an XL330's current in mA; an XL430, which does not measure its current, has
    # its load there, in tenths of a per cent. Full load is the stall current of the e-manual at 5 V.
    load="Present_Current",
    full_load={"xl430-w250": 1000, "xl330-m288": 1470, "xl330-m077": 1470},
    # In current-based position mode a gripper holds with all the current that it may draw.
    force_controlled=frozenset({_GRIPPER}),
)


def servo_family(bus: Any) -> ServoFamily:
    """The family of the servos on a LeRobot bus. Raises `InvalidInputError` for a model that is not known."""
    models = {motor.model for motor in bus.motors.values()}
    for family in (FEETECH, DYNAMIXEL):
        if models <= family.full_load.keys() and all(
            family.registers <= bus.model_ctrl_table.get(model, {}).keys() for model in models
        ):
            return family
    known = ", ".join(model for family in (FEETECH, DYNAMIXEL) for model in family.full_load)
    raise InvalidInputError(
        f"servos of model {', '.join(sorted(models))} cannot be watched: it is not known what they report",
        field="robot_type",
        cure=f"use an arm with servos of {known}: so101_follower, so100_follower or koch_follower",
    )


def _within(value: float, least: float, most: float, unit: str, cure: str) -> ServoFault:
    return None if least <= value <= most else (f"reads {value:g}{unit}, not {least:g} to {most:g}", cure)
