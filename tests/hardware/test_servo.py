"""One servo, as LeRobot's tables and the memory table describe it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lerobot.motors.encoding_utils import decode_sign_magnitude, encode_sign_magnitude
from lerobot.motors.feetech.tables import MODEL_CONTROL_TABLE, MODEL_ENCODING_TABLE, MODEL_NUMBER_TABLE

from autoarm_hardware.twin.control_table import REGISTERS, TICKS
from autoarm_hardware.twin.protocol import Status
from autoarm_hardware.twin.servo import Condition, Motion, Servo

SIGNED = {name: bit for name, bit in MODEL_ENCODING_TABLE["sts3215"].items() if name in REGISTERS}


@pytest.mark.parametrize("name", MODEL_CONTROL_TABLE["sts3215"])
def test_registers_are_where_lerobot_looks_for_them(name: str) -> None:
    # LeRobot has two names for one of them, and a blank at the end of another.
    register = REGISTERS["Moving_Velocity_Threshold" if name == "Moving_Velocity" else name.strip()]
    assert (register.address, register.size) == MODEL_CONTROL_TABLE["sts3215"][name]


def test_registers_do_not_overlap() -> None:
    taken = [place for register in REGISTERS.values() for place in range(register.address, register.end)]
    assert len(taken) == len(set(taken))


@pytest.mark.parametrize(("name", "bit"), SIGNED.items())
def test_signs_are_lerobots(name: str, bit: int) -> None:
    register = REGISTERS[name]
    for value in (-1000, -1, 0, 1, 1000):
        bits = encode_sign_magnitude(value, bit)
        assert register.encode(value) == bits
        assert register.decode(bits) == decode_sign_magnitude(bits, bit) == value


def test_model_number(servo: Servo) -> None:
    assert servo["Model_Number"] == MODEL_NUMBER_TABLE["sts3215"]


@given(st.integers(0, 255), st.binary(min_size=1, max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # a servo is made anew each time
def test_no_write_breaks_a_servo(joint: Any, address: int, data: bytes) -> None:
    servo = Servo(joint)
    versions = servo.read(0, 5)
    servo.write(address, data)
    assert servo.read(0, 5) == versions
    for name, register in REGISTERS.items():
        assert abs(servo[name]) <= max(register.high, 32767), name
    assert len(servo.read(address, len(data))) == len(data)


def test_locked_eeprom_takes_a_value_and_forgets_it_without_power(servo: Servo) -> None:
    p = REGISTERS["P_Coefficient"]
    servo.write(REGISTERS["Lock"].address, b"\1")
    servo.write(p.address, b"\x10")
    assert servo["P_Coefficient"] == 16
    servo.power_up()
    assert servo["P_Coefficient"] == 32
    servo.write(REGISTERS["Lock"].address, b"\0")
    servo.write(p.address, b"\x10")
    servo.power_up()
    assert servo["P_Coefficient"] == 16
    assert servo["Lock"] == 1


def test_torque_limit_comes_from_eeprom_at_power_up(servo: Servo) -> None:
    servo["Max_Torque_Limit"] = 500
    assert servo["Torque_Limit"] == 1000
    servo.power_up()
    assert servo["Torque_Limit"] == 500


def test_position_is_read_less_the_homing_offset(servo: Servo, joint: Any) -> None:
    assert servo["Present_Position"] == 2000
    servo["Homing_Offset"] = -47
    assert servo["Present_Position"] == 2047
    joint.now = Motion(4090.0)
    assert servo["Present_Position"] == (4090 + 47) % TICKS


@pytest.mark.parametrize("raw", [0.0, 100.0, 2047.6, 2048.0, 4095.0])
def test_128_makes_the_present_position_the_centre(servo: Servo, joint: Any, raw: float) -> None:
    joint.now = Motion(raw)
    servo["Torque_Enable"] = 128
    # The offset's 11 bits leave out one place of 4096.
    assert abs(servo["Present_Position"] - 2048) <= (raw == 0.0)
    assert servo["Torque_Enable"] == 0
    servo.power_up()
    assert abs(servo["Present_Position"] - 2048) <= (raw == 0.0)


def test_torque_holds_where_the_joint_is(servo: Servo, joint: Any) -> None:
    servo["Goal_Position"] = 100
    servo["Torque_Enable"] = 1
    assert joint.driven.goal == 100  # a goal that was set while it was off is meant
    servo["Torque_Enable"] = 0
    assert not joint.driven.powered
    joint.now = Motion(1234.4)
    servo["Torque_Enable"] = 1
    assert joint.driven.powered
    assert joint.driven.goal == 1234
    assert servo["Goal_Position"] == 1234


def test_goal_is_kept_within_the_limits_and_moved_by_the_offset(servo: Servo, joint: Any) -> None:
    servo["Min_Position_Limit"], servo["Max_Position_Limit"] = 1000, 3000
    servo["Homing_Offset"] = 50
    servo["Torque_Enable"] = 1
    servo["Goal_Position"] = 2100
    assert joint.driven.goal == 2150
    servo["Goal_Position"] = 9
    assert joint.driven.goal == 1050
    servo["Goal_Position"] = 4000
    assert joint.driven.goal == 3050


def test_limits_of_zero_are_none(servo: Servo, joint: Any) -> None:
    servo["Min_Position_Limit"], servo["Max_Position_Limit"] = 0, 0
    servo["Torque_Enable"] = 1
    servo["Goal_Position"] = -5000
    assert joint.driven.goal == -5000


def test_velocity_mode_has_a_speed_and_no_goal(servo: Servo, joint: Any) -> None:
    servo["Operating_Mode"] = 1
    servo["Torque_Enable"] = 1
    servo["Goal_Velocity"] = -300
    assert joint.driven.goal is None
    assert joint.driven.speed == -300


def test_feedback(servo: Servo, joint: Any) -> None:
    joint.now = Motion(2000.0, velocity=-120.4, load=-0.25)
    assert servo["Present_Velocity"] == -120
    assert servo["Present_Load"] == -250
    assert servo["Moving"] == 1
    assert servo["Present_Current"] == pytest.approx(0.25 * 2.7 / 0.0065, abs=1)
    assert servo["Present_Voltage"] == 120
    assert servo["Present_Temperature"] == 30


@pytest.mark.parametrize(
    ("condition", "status", "unloads"),
    [
        (Condition(), Status.OK, False),
        (Condition(voltage=3.5), Status.VOLTAGE, False),
        (Condition(voltage=14.5), Status.VOLTAGE, False),
        (Condition(temperature=71.0), Status.OVERHEAT, True),
        (Condition(error=Status.OVERLOAD), Status.OVERLOAD, True),
        (Condition(voltage=3.5, temperature=80.0), Status.VOLTAGE | Status.OVERHEAT, True),
    ],
)
def test_troubles_are_reported_and_some_release_the_joint(
    servo: Servo, joint: Any, condition: Condition, status: Status, unloads: bool
) -> None:
    servo["Torque_Enable"] = 1
    servo.condition = condition
    assert servo.status == servo["Status"] == status
    assert joint.driven.powered is not unloads
    assert servo["Torque_Enable"] == int(not unloads)


def press(servo: Servo, joint: Any, load: float, seconds: float) -> None:
    """Have a goal ask for a duty, for some time."""
    joint.now = Motion(2000.0, load=load)
    for _ in range(round(seconds / 0.01)):
        servo.advance(0.01)


def test_pressing_too_hard_for_too_long_weakens_the_motor_until_less_is_asked(servo: Servo, joint: Any) -> None:
    servo["Torque_Enable"], servo["Overload_Torque"] = 1, 25  # as LeRobot sets the gripper
    press(servo, joint, -0.6, 1.9)
    assert (servo.status, joint.driven.torque, servo["Present_Load"]) == (Status.OK, 1.0, -600)
    press(servo, joint, 0.25, 0.01)  # in between, no more than it may
    press(servo, joint, -0.6, 1.9)
    assert servo.status == Status.OK
    press(servo, joint, -0.6, 0.2)
    assert (servo.status, joint.driven.torque, servo["Present_Load"]) == (Status.OVERLOAD, 0.2, -200)
    assert servo["Status"] == Status.OVERLOAD
    assert servo["Present_Current"] == pytest.approx(0.2 * 2.7 / 0.0065, abs=1)
    assert (servo["Torque_Enable"], joint.driven.powered) == (1, True)
    press(servo, joint, -0.25, 0.01)
    assert (servo.status, joint.driven.torque, servo["Present_Load"]) == (Status.OK, 1.0, -250)


@pytest.mark.parametrize(
    ("registers", "load", "seconds"),
    [
        ({}, 0.81, 2.0),  # as delivered
        ({"Overload_Torque": 50, "Protection_Time": 30}, 0.51, 0.3),
    ],
)
def test_protection_is_set_by_registers(
    servo: Servo, joint: Any, registers: dict[str, int], load: float, seconds: float
) -> None:
    servo["Torque_Enable"] = 1
    for name, value in registers.items():
        servo[name] = value
    press(servo, joint, load - 0.02, 10.0)
    assert servo.status == Status.OK
    press(servo, joint, load, seconds - 0.05)
    assert servo.status == Status.OK
    press(servo, joint, load, 0.1)
    assert servo.status == Status.OVERLOAD
    servo.power_up()
    assert servo.status == Status.OK


def test_motor_limited_below_overload_torque_presses_for_ever(servo: Servo, joint: Any) -> None:
    servo["Torque_Enable"], servo["Torque_Limit"] = 1, 800
    press(servo, joint, 1.0, 10.0)
    assert (servo.status, servo["Present_Load"]) == (Status.OK, 800)


def test_reg_write_waits_for_action(servo: Servo) -> None:
    servo.reg_write(REGISTERS["Acceleration"].address, b"\x05")
    assert (servo["Acceleration"], servo["Asynchronous_Write"]) == (0, 1)
    servo.action()
    assert (servo["Acceleration"], servo["Asynchronous_Write"]) == (5, 0)
    servo["Acceleration"] = 7
    servo.action()
    assert servo["Acceleration"] == 7


def test_reset_forgets_all_but_the_id(joint: Any) -> None:
    servo = Servo(joint, 4)
    factory = {name: servo[name] for name in REGISTERS}
    servo["P_Coefficient"], servo["Homing_Offset"], servo["Torque_Enable"] = 99, 12, 1
    servo.reset()
    assert {name: servo[name] for name in REGISTERS} == factory
    assert not joint.driven.powered
