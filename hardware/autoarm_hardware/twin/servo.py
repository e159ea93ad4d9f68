"""One STS3215: its memory, and what writing to it does to its joint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from autoarm_hardware.twin.control_table import BAUD_RATES, EEPROM_END, REGISTERS, TABLE_END, TICKS, Register
from autoarm_hardware.twin.protocol import Status

_LIVE: Final = (REGISTERS["Present_Position"].address, REGISTERS["Goal_Position_2"].end)
_CENTRE: Final = TICKS // 2
_CALIBRATE: Final = 128
"""The value that makes the present position the centre when it is written to Torque_Enable."""
_STALL_CURRENT: Final = 2.7 / 0.0065
"""2.7 A (datasheet, 12 V) in units of Present_Current."""


class Mode(IntEnum):
    """Values of Operating_Mode. In `PWM` and `STEP`, which no LeRobot driver uses, the twin's motor is off."""

    POSITION = 0
    VELOCITY = 1
    PWM = 2
    STEP = 3


class Motion(NamedTuple):
    """The motion of a joint, as its servo's sensors measure it.

    Attributes:
        position: Ticks, not wrapped at a full turn.
        velocity: Ticks/s.
        load: Duty that the goal asks of the motor, as a share of all that it can be given, -1 to 1. The servo's own
            limits come on top.
    """

    position: float
    velocity: float = 0.0
    load: float = 0.0


class Drive(NamedTuple):
    """How a servo drives its joint.

    Attributes:
        powered: Whether the motor is on; otherwise the joint moves freely, with the friction of its gears.
        goal: Position to reach, ticks as in `Motion`; `None` in velocity mode.
        speed: Largest speed towards the goal, ticks/s (0: no limit); in velocity mode the signed speed to keep.
        p: Value of P_Coefficient.
        d: Value of D_Coefficient.
        torque: Largest duty of the motor, as a share.
    """

    powered: bool
    goal: float | None = None
    speed: float = 0.0
    p: int = 16
    d: int = 32
    torque: float = 1.0


class Joint(Protocol):
    """The joint that a servo drives and measures."""

    def motion(self) -> Motion:
        """Its present motion."""
        ...

    def drive(self, drive: Drive) -> None:
        """Drive it like this from now on."""
        ...


@dataclass(frozen=True)
class Condition:
    """The servo's surroundings: volts, degrees C, and errors besides those that follow from them."""

    voltage: float = 12.0
    temperature: float = 30.0
    error: Status = Status.OK


@lru_cache
def _writable(address: int, end: int) -> dict[str, Register]:
    """The registers that a write to the addresses before `end` touches."""
    return {
        name: register
        for name, register in REGISTERS.items()
        if register.address < end and register.end > address and not register.read_only
    }


class Servo:
    """Memory and firmware of one servo.

    Three things that Feetech does not document are the twin's own choice: a servo whose torque is switched on keeps its
    position, unless a goal was written while it was off; a factory reset keeps the id; and the protection against
    overload ends, without Unloading_Condition having switched the torque off, once the goal asks for no more duty than
    Overload_Torque, be it a new goal or the joint that has got there.

    These registers are stored, without effect on the motion: I_Coefficient, dead zones, startup force, Acceleration,
    Goal_Time, and the protection against overcurrent, which a `Condition` raises instead.
    """

    def __init__(self, joint: Joint, servo_id: int = 1) -> None:
        self._joint = joint
        self._condition = Condition()
        self._memory = bytearray(TABLE_END)
        for name, register in REGISTERS.items():
            self._store(name, register.decode(register.default))
        self._store("ID", servo_id)
        self._saved = bytes(self._memory[:EEPROM_END])
        self._pending: tuple[int, bytes] | None = None
        self._goal_is_new = False
        self._pressed = 0.0
        """Seconds for which the goal has asked for more duty than Overload_Torque."""
        self._is_overloaded = False
        self.power_up()

    # -- The memory, by name -----------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> int:
        """The decoded value of a register."""
        register = REGISTERS[name]
        if _LIVE[0] <= register.address < _LIVE[1]:
            self._measure()
        return register.decode(int.from_bytes(self._memory[register.address : register.end], "little"))

    def __setitem__(self, name: str, value: int) -> None:
        """Set a register as a write does while Lock is 0."""
        lock, self._memory[REGISTERS["Lock"].address] = self._memory[REGISTERS["Lock"].address], 0
        register = REGISTERS[name]
        self.write(register.address, register.encode(value).to_bytes(register.size, "little"))
        self._memory[REGISTERS["Lock"].address] = lock

    @property
    def id(self) -> int:
        """Its id on the bus."""
        return self._memory[REGISTERS["ID"].address]

    @property
    def baud_rate(self) -> int:
        """Baud rate at which it receives and answers, bits/s."""
        return BAUD_RATES[self._memory[REGISTERS["Baud_Rate"].address]]

    @property
    def return_delay(self) -> float:
        """Seconds it waits before it answers."""
        return self["Return_Delay_Time"] * 2e-6

    @property
    def acknowledges(self) -> bool:
        """Whether it answers to more than PING and READ."""
        return bool(self["Response_Status_Level"])

    @property
    def status(self) -> Status:
        """Its present errors."""
        return self._troubles | (Status.OVERLOAD if self._is_overloaded else Status.OK)

    @property
    def condition(self) -> Condition:
        """Its surroundings; errors that Unloading_Condition names switch the torque off."""
        return self._condition

    @condition.setter
    def condition(self, condition: Condition) -> None:
        self._condition = condition
        if self._troubles & self["Unloading_Condition"]:
            self._store("Torque_Enable", 0)
            self._command()

    def advance(self, seconds: float) -> None:
        """Let time pass, some 10 ms: the protection against overload counts how long the motor presses.

        Its output drops to Protective_Torque after Protection_Time above Overload_Torque; see the class.
        """
        was_overloaded = self._is_overloaded
        asked = min(abs(self._joint.motion().load), self["Torque_Limit"] / 1000)
        if round(1000 * asked) > 10 * self["Overload_Torque"]:
            self._pressed += seconds
            self._is_overloaded |= self._pressed > self["Protection_Time"] * 0.01
        else:
            self._pressed, self._is_overloaded = 0.0, False
        if self._is_overloaded != was_overloaded:
            self._command()

    # -- What packets ask for ----------------------------------------------------------------------------------------

    def read(self, address: int, length: int) -> bytes:
        """Bytes of the memory; beyond its end there are zeros."""
        end = address + length
        if address < _LIVE[1] and end > _LIVE[0]:
            # Most reads are of the position alone, a thousand times a second: the rest is measured only if asked for.
            self._measure(everything=end > REGISTERS["Present_Position"].end)
        return bytes(self._memory[address:end]).ljust(length, b"\0")

    def write(self, address: int, data: bytes) -> None:
        """Write bytes. Read-only and unknown registers stay as they are; too large a value becomes the largest."""
        end = address + len(data)
        touched = _writable(address, end)
        was_on = self["Torque_Enable"] == 1
        for name, register in touched.items():
            for place in range(max(address, register.address), min(end, register.end)):
                self._memory[place] = data[place - address]
            self._store(name, self[name])
            if register.address < EEPROM_END and not self["Lock"]:
                saved = bytearray(self._saved)
                saved[register.address : register.end] = self._memory[register.address : register.end]
                self._saved = bytes(saved)
        if "Torque_Enable" in touched:
            self._switch(was_on)
        self._goal_is_new |= "Goal_Position" in touched
        if touched:
            self._command()

    def reg_write(self, address: int, data: bytes) -> None:
        """Keep a write for `action`; a later one takes its place."""
        self._pending = address, data
        self._memory[REGISTERS["Asynchronous_Write"].address] = 1

    def action(self) -> None:
        """Carry out the write that was kept, if there is one."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._memory[REGISTERS["Asynchronous_Write"].address] = 0
            self.write(*pending)

    def reset(self) -> None:
        """Factory settings."""
        servo_id = self.id
        for name, register in REGISTERS.items():
            self._store(name, register.decode(register.default))
        self._store("ID", servo_id)
        self._saved = bytes(self._memory[:EEPROM_END])
        self.power_up()

    def power_up(self) -> None:
        """Power comes on: values that were not saved are lost, and the motor is off."""
        self._memory[:EEPROM_END] = self._saved
        for name, register in REGISTERS.items():
            if register.address >= EEPROM_END:
                self._store(name, register.decode(register.default))
        self._store("Torque_Limit", self["Max_Torque_Limit"])
        self._pending = None
        self._goal_is_new = False
        self._pressed, self._is_overloaded = 0.0, False
        self._command()

    # -- Inside ------------------------------------------------------------------------------------------------------

    @property
    def _troubles(self) -> Status:
        """Errors that follow from its surroundings."""
        condition = self._condition
        status = condition.error
        decivolts = round(condition.voltage * 10)
        if not self["Min_Voltage_Limit"] <= decivolts <= self["Max_Voltage_Limit"]:
            status |= Status.VOLTAGE
        if condition.temperature > self["Max_Temperature_Limit"]:
            status |= Status.OVERHEAT
        return status

    @property
    def _most(self) -> float:
        """Largest duty of the motor now, as a share."""
        limit = self["Torque_Limit"] / 1000
        return min(limit, self["Protective_Torque"] / 100) if self._is_overloaded else limit

    def _store(self, name: str, value: int) -> None:
        register = REGISTERS[name]
        self._memory[register.address : register.end] = register.encode(value).to_bytes(register.size, "little")

    def _switch(self, was_on: bool) -> None:
        torque = self["Torque_Enable"]
        if torque == _CALIBRATE:
            raw = round(self._joint.motion().position)
            self["Homing_Offset"] = raw % TICKS - _CENTRE
            self._store("Torque_Enable", int(was_on))
        elif torque == 1 and not was_on and not self._goal_is_new:
            self._store("Goal_Position", self["Present_Position"])
        elif torque == 0:
            self._goal_is_new = False

    def _present(self, position: float) -> int:
        # One turn only, as bit 4 of Phase asks; LeRobot clears it.
        return (round(position) - self["Homing_Offset"]) % TICKS

    def _command(self) -> None:
        mode = self["Operating_Mode"]
        powered = self["Torque_Enable"] == 1 and mode in (Mode.POSITION, Mode.VELOCITY)
        goal = None
        if powered and mode == Mode.POSITION:
            position = self._joint.motion().position
            low, high = self["Min_Position_Limit"], self["Max_Position_Limit"]
            # Limits of zero are the manual's way to have none.
            wanted = min(max(self["Goal_Position"], low), high) if high else self["Goal_Position"]
            # The firmware compares with what it reads, and does not take the short way round.
            goal = round(position) + wanted - self._present(position)
        self._joint.drive(
            Drive(
                powered=powered,
                goal=goal,
                speed=self["Goal_Velocity"],
                p=self["P_Coefficient"],
                d=self["D_Coefficient"],
                torque=self._most,
            )
        )

    def _measure(self, everything: bool = True) -> None:
        motion = self._joint.motion()
        self._store("Present_Position", self._present(motion.position))
        if not everything:
            return
        self._store("Present_Velocity", round(motion.velocity))
        load = min(max(motion.load, -self._most), self._most)
        self._store("Present_Load", round(1000 * load))
        self._store("Present_Voltage", round(10 * self._condition.voltage))
        self._store("Present_Temperature", round(self._condition.temperature))
        self._store("Status", self.status)
        self._store("Moving", math.fabs(motion.velocity) > self["Moving_Velocity_Threshold"])
        self._store("Present_Current", round(abs(load) * _STALL_CURRENT))
        self._store("Goal_Position_2", self["Goal_Position"])
