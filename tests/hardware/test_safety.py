"""Commands stay within limits, servos are watched, and the arm stops, whatever happens: on a simulated clock.

LeRobot's driver talks to the twin's servos over a virtual line, so that seconds are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig

from autoarm_hardware.arm import connect_bus
from autoarm_hardware.safety import Guard, safe_goal
from autoarm_hardware.servos import Limits, ServoError
from autoarm_hardware.twin.device import Settings, Twin
from autoarm_hardware.twin.lockstep import LockstepTwin
from autoarm_hardware.twin.protocol import Status
from autoarm_hardware.twin.servo import Condition
from gym_autoarm import spec
from gym_autoarm.errors import InvalidActionError, InvalidInputError

STOP_TIME = 0.1
"""Seconds within which the arm must have been stopped."""


class Bench:
    """A connected follower on a simulated clock."""

    def __init__(self, folder: Path) -> None:
        twin = LockstepTwin(folder, Settings(image_size=(48, 64)), cameras=False)
        connect_bus(twin.robot)
        self.line, self.servos, self.silent = twin.line, twin.arm.servos, twin.arm.bus.silent
        self.bus = twin.robot.bus

    def guard(self, *args: Any, **options: Any) -> Guard:
        return Guard(self.bus, *args, sleep=self.line.sleep, now=self.line.now, **options)

    @property
    def goals(self) -> list[int]:
        return [servo["Goal_Position"] for servo in self.servos]

    @property
    def powered(self) -> list[bool]:
        return [bool(servo["Torque_Enable"]) for servo in self.servos]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


numbers = st.lists(st.floats(-400, 400), min_size=6, max_size=6).map(np.array)


@given(numbers, numbers, st.floats(0.1, 100))
def test_no_goal_leaves_the_limits_or_makes_a_long_step(goal: Any, position: Any, step: float) -> None:
    sent = safe_goal(goal, position, step)
    assert np.all((sent >= spec.ACTION_LOW) & (sent <= spec.ACTION_HIGH))
    inside = np.clip(position, spec.ACTION_LOW, spec.ACTION_HIGH)
    assert np.all(np.abs(sent - inside) <= step + 1e-9)
    near = np.clip(goal, spec.ACTION_LOW, spec.ACTION_HIGH)
    assert np.allclose(sent[np.abs(near - position) <= step], near[np.abs(near - position) <= step])


@pytest.mark.parametrize("bad", [{"step": 0.0}, {"gap": 0.0}, {"temperature": float("nan")}, {"voltage": (9.0, 5.0)}])
def test_impossible_limits_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(bad))):
        Limits(**bad)


def test_arm_moves_by_limited_steps_and_holds_at_the_end(bench: Bench) -> None:
    with bench.guard(Limits(step=5.0)) as guard:
        before = guard.position()
        far = before.copy()
        far[0] -= np.copysign(40.0, before[0])
        sent = guard.send(far)
        # One degree for what the arm did between the two readings.
        assert 4.0 < abs(sent[0] - before[0]) < 6.0
        with pytest.raises(InvalidActionError):
            guard.send([np.nan] * 6)
    assert all(bench.powered)


def test_dry_run_says_what_it_would_send_and_sends_nothing(bench: Bench) -> None:
    said: list[str] = []
    goals = bench.goals
    with bench.guard(release=True, dry_run=said.append) as guard:
        guard.send(np.zeros(6))
    assert bench.goals == goals
    assert all(bench.powered)
    assert any(line.startswith("Goal_Position: shoulder_pan") for line in said)
    assert said[-1].startswith("Torque_Enable")


@pytest.mark.parametrize(
    ("condition", "register"),
    [(Condition(temperature=68.0), "Present_Temperature"), (Condition(voltage=4.2), "Present_Voltage")],
)
def test_faulty_servo_is_named_with_register_and_cure(bench: Bench, condition: Condition, register: str) -> None:
    guard = bench.guard()
    guard.check()
    bench.servos[2].condition = condition
    with pytest.raises(ServoError) as caught:
        guard.check()
    assert caught.value.field == f"servo 3 (elbow_flex): {register}"
    assert caught.value.cure


def test_weakened_gripper_is_reported_and_other_overloads_stop_the_arm(bench: Bench) -> None:
    guard = bench.guard()
    guard.check()
    assert not guard.is_overloaded
    for servo in bench.servos:
        servo["Unloading_Condition"] = 0  # otherwise Torque_Enable tells that the motor is off
    bench.servos[5].condition = Condition(error=Status.OVERLOAD)
    guard.check()
    assert guard.is_overloaded
    bench.servos[5].condition = Condition(error=Status.OVERCURRENT | Status.OVERLOAD)
    with pytest.raises(ServoError, match=r"servo 6 \(gripper\): Status: .*current"):
        guard.check()
    bench.servos[5].condition = Condition()
    guard.check()
    assert not guard.is_overloaded
    bench.servos[1].condition = Condition(error=Status.OVERLOAD)
    with pytest.raises(ServoError, match=r"servo 2 \(shoulder_lift\): Status: .*overloaded"):
        guard.check()
    bench.servos[1].condition = Condition()
    bench.servos[5]["Unloading_Condition"] = Status.OVERLOAD
    bench.servos[5].condition = Condition(error=Status.OVERLOAD)
    with pytest.raises(ServoError, match=r"servo 6 \(gripper\): Torque_Enable"):
        guard.check()


@pytest.mark.parametrize("release", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_arm_stops_within_100_ms_of_any_exception(bench: Bench, release: bool, error: type[BaseException]) -> None:
    start = bench.line.now()
    with pytest.raises(error), bench.guard(release=release):
        raise error
    assert bench.line.now() - start < STOP_TIME
    assert bench.powered == [not release] * 6


@pytest.mark.parametrize("release", [True, False])
def test_arm_stops_within_100_ms_of_ctrl_c_anywhere_in_a_command(bench: Bench, release: bool) -> None:
    took: list[float] = []
    is_interrupted = True
    while is_interrupted:
        bench.bus.sync_write("Torque_Enable", 1, normalize=False)
        bench.line.interrupt_in = len(took) + 1  # one use of the line later each time, until the command is through
        start = bench.line.now()
        try:
            with bench.guard(release=release) as guard:
                try:
                    guard.send(np.zeros(6))
                    is_interrupted = False
                finally:
                    bench.line.interrupt_in = None
                    start = bench.line.now()
        except KeyboardInterrupt:
            took.append(bench.line.now() - start)
        assert bench.powered == [not release] * 6
    assert len(took) > 5
    assert max(took) < STOP_TIME


@pytest.mark.parametrize("asked_before", [True, False])
def test_silent_servo_stops_commands_and_the_others_are_released(bench: Bench, asked_before: bool) -> None:
    guard = bench.guard(release=True)
    bench.silent.add(4)
    goals = bench.goals
    if asked_before:
        with pytest.raises(ServoError, match="Present_Position") as caught:
            guard.send(np.zeros(6))
        assert caught.value.cure
    start = bench.line.now()
    guard.stop()
    assert bench.line.now() - start < STOP_TIME
    assert bench.goals == goals
    assert not any(bench.powered[joint] for joint in (0, 1, 2, 4, 5))


def test_unplugged_line_is_given_up_at_once(bench: Bench) -> None:
    guard = bench.guard(release=True)
    bench.line.is_plugged = False
    start = bench.line.now()
    guard.stop()
    assert bench.line.now() - start < STOP_TIME


@pytest.fixture
def serial_follower(running: Callable[..., AbstractContextManager[Twin]]) -> Iterator[tuple[Twin, Any]]:
    """A twin without cameras behind a pseudo-terminal, and the bus of LeRobot's follower, configured."""
    with running(image_size=None) as twin:
        folder = twin.folder.path
        config = SO101FollowerConfig(
            port=str(folder / "follower"), id="follower", calibration_dir=folder / "calibration"
        )
        robot = SO101Follower(config)
        robot.connect()
        try:
            yield twin, robot.bus
        finally:
            robot.bus.port_handler.closePort()


def test_unplugged_arm_raises_nothing_but_servo_errors(serial_follower: tuple[Twin, Any]) -> None:
    twin, bus = serial_follower
    guard = Guard(bus, release=True)
    twin._terminals[0].unplug()
    with pytest.raises(ServoError) as caught:
        guard.send(np.zeros(6))
    assert "USB" in (caught.value.cure or "")
    guard.stop()
