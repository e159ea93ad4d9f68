"""Commands stay within limits, servos are watched, and the arm stops, whatever happens: against the twin."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig

from autoarm_hardware.safety import Guard, safe_goal
from autoarm_hardware.servos import Limits, ServoError
from autoarm_hardware.twin.device import Twin
from autoarm_hardware.twin.servo import Condition
from gym_autoarm import spec
from gym_autoarm.errors import InvalidActionError, InvalidInputError

Running = Callable[..., AbstractContextManager[Twin]]


@contextmanager
def connected(running: Running, **settings: Any) -> Iterator[tuple[Twin, Any]]:
    """A twin without cameras and the bus of LeRobot's follower, configured."""
    with running(image_size=None, **settings) as twin:
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


def patient[T](ask: Callable[[], T]) -> T:
    """What is asked, asked again where the machine was so busy that the guard does not trust the answer any more."""
    for _ in range(10):
        try:
            return ask()
        except ServoError as error:
            if "no answer" not in error.message:
                raise
    return ask()


numbers = st.lists(st.floats(-400, 400), min_size=6, max_size=6).map(np.array)


@given(numbers, numbers, st.floats(0.1, 100))
def test_no_goal_leaves_the_limits_or_makes_a_long_step(goal: Any, position: Any, step: float) -> None:
    sent = safe_goal(goal, position, step)
    assert np.all((sent >= spec.ACTION_LOW) & (sent <= spec.ACTION_HIGH))
    inside = np.clip(position, spec.ACTION_LOW, spec.ACTION_HIGH)
    assert np.all(np.abs(sent - inside) <= step + 1e-9)
    near = np.clip(goal, spec.ACTION_LOW, spec.ACTION_HIGH)
    assert np.allclose(sent[np.abs(near - position) <= step], near[np.abs(near - position) <= step])


@pytest.mark.parametrize("bad", [{"step": 0.0}, {"temperature": float("nan")}, {"voltage": (9.0, 5.0)}])
def test_impossible_limits_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(bad))):
        Limits(**bad)


def test_arm_moves_by_limited_steps_and_holds_at_the_end(running: Running) -> None:
    with connected(running) as (twin, bus):
        with Guard(bus, Limits(step=5.0)) as guard:
            before = patient(guard.position)
            far = before.copy()
            far[0] -= np.copysign(40.0, before[0])
            sent = patient(lambda: guard.send(far))
            # One degree for what the arm did between the two readings.
            assert 4.0 < abs(sent[0] - before[0]) < 6.0
            with pytest.raises(InvalidActionError):
                guard.send([np.nan] * 6)
        assert all(servo["Torque_Enable"] for servo in twin.follower.servos)


def test_dry_run_says_what_it_would_send_and_sends_nothing(running: Running) -> None:
    said: list[str] = []
    with connected(running) as (twin, bus):
        goals = [servo["Goal_Position"] for servo in twin.follower.servos]
        with Guard(bus, release=True, dry_run=said.append) as guard:
            patient(lambda: guard.send(np.zeros(6)))
        assert [servo["Goal_Position"] for servo in twin.follower.servos] == goals
        assert all(servo["Torque_Enable"] for servo in twin.follower.servos)
    assert any(line.startswith("Goal_Position: shoulder_pan") for line in said)
    assert said[-1].startswith("Torque_Enable")


@pytest.mark.parametrize(
    ("condition", "register"),
    [(Condition(temperature=68.0), "Present_Temperature"), (Condition(voltage=4.2), "Present_Voltage")],
)
def test_servo_amiss_is_named_with_register_and_cure(running: Running, condition: Condition, register: str) -> None:
    with connected(running) as (twin, bus):
        guard = Guard(bus)
        patient(guard.check)
        twin.follower.servos[2].condition = condition
        time.sleep(0.1)
        with pytest.raises(ServoError) as caught:
            patient(guard.check)
    assert caught.value.field == f"servo 3 (elbow_flex): {register}"
    assert caught.value.cure


@pytest.mark.parametrize("release", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_arm_stops_within_100_ms_of_any_exception(running: Running, release: bool, error: type[BaseException]) -> None:
    with connected(running) as (twin, bus):
        took = []
        for _ in range(5):  # the best of several: the machine may be busy
            start = time.perf_counter()
            with pytest.raises(error), Guard(bus, release=release):
                raise error
            took.append(time.perf_counter() - start)
        assert min(took) < 0.1
        end = time.monotonic() + 5.0
        while [bool(servo["Torque_Enable"]) for servo in twin.follower.servos] != [not release] * 6:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_silent_servo_stops_commands_and_the_others_are_released(running: Running, patience: Any) -> None:
    with connected(running) as (twin, bus):
        patience.least = 0.0  # stopping writes to the silent servo too, and waits for it
        guard = Guard(bus, release=True)
        twin.follower.bus.silent.add(4)
        goals = [servo["Goal_Position"] for servo in twin.follower.servos]
        with pytest.raises(ServoError, match="Present_Position") as caught:
            guard.send(np.zeros(6))
        assert caught.value.cure
        took = []
        for _ in range(5):
            start = time.perf_counter()
            guard.stop()
            took.append(time.perf_counter() - start)
        assert min(took) < 0.1
        time.sleep(0.1)
        assert [servo["Goal_Position"] for servo in twin.follower.servos] == goals
        assert not any(twin.follower.servos[joint]["Torque_Enable"] for joint in (0, 1, 2, 4, 5))


def test_unplugged_arm_raises_nothing_but_servo_errors(running: Running) -> None:
    with connected(running) as (twin, bus):
        guard = Guard(bus, release=True)
        twin._terminals[0].unplug()
        with pytest.raises(ServoError) as caught:
            guard.send(np.zeros(6))
        assert "USB" in (caught.value.cure or "")
        start = time.perf_counter()
        guard.stop()
        assert time.perf_counter() - start < 1.0
