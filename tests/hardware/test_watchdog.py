"""A program that is killed does not leave an arm on: another process holds it, parks it, and releases it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from autoarm_hardware import watchdog
from autoarm_hardware.twin.device import Twin
from gym_autoarm.scene import HOME

Running = Callable[..., AbstractContextManager[Twin]]

PROGRAM = """
import os, sys
import numpy as np
from autoarm_hardware.arm import connect_bus, make_robot
from autoarm_hardware.config import load_robot
from autoarm_hardware.links import Links
from autoarm_hardware.port import disconnect_bus
from autoarm_hardware.safety import Guard
from autoarm_hardware.watchdog import Home, _watching
from gym_autoarm.scene import HOME

config = load_robot(sys.argv[1])
release, parks, ends = (word == "yes" for word in sys.argv[2:])
robot = make_robot(config.type, config.port, config.id, config.calibration_dir)
connect_bus(robot, release, Home(HOME, 0.04) if parks else None)
guard = Guard(robot.bus, release=release)
out = np.array([20.0, -30.0, 10.0, 60.0, 0.0, 20.0])
for part in np.linspace(0, 1, 40):
    guard.send(np.array(HOME) + part * (out - HOME))
    guard._sleep(1 / 30)
if ends:
    guard.stop()
    (process,) = _watching.values()
    disconnect_bus(robot)
    print("let go", process.returncode, flush=True)
else:
    print("moved", flush=True)
    while True:
        guard.send(out)
        guard._sleep(1 / 30)
"""


@contextmanager
def program(
    twin: Twin, *, release: bool = True, parks: bool = True, ends: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A program that moves the twin's arm away from home, and goes on or ends."""
    words = ["yes" if each else "no" for each in (release, parks, ends)]
    command = [sys.executable, "-c", PROGRAM, str(twin.folder.path / "robot.yaml"), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for a condition, and return how long that took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not come true"
        time.sleep(0.005)
    return time.monotonic() - start


def is_on(twin: Twin) -> bool:
    return any(servo["Torque_Enable"] for servo in twin.follower.servos)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_programs_arm_goes_home_and_is_released(running: Running, number: signal.Signals) -> None:
    with running(image_size=(48, 64)) as twin, program(twin) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "moved\n"
        assert np.abs(twin.follower.body.position - HOME).max() > 50
        process.send_signal(number)
        until(lambda: not is_on(twin), 20.0)
        assert np.abs(twin.follower.body.position - HOME).max() < 6


@pytest.mark.parametrize("release", [True, False])
def test_without_parking_the_arm_is_held_or_released_at_once(running: Running, release: bool) -> None:
    with running(image_size=(48, 64)) as twin, program(twin, release=release, parks=False) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = twin.follower.body.position
        process.kill()
        if release:
            assert until(lambda: not is_on(twin), 5.0) < 2.0
        else:
            time.sleep(1.0)
            assert all(servo["Torque_Enable"] for servo in twin.follower.servos)
            assert np.abs(twin.follower.body.position - before).max() < 5


def test_program_that_lets_go_is_watched_no_longer(running: Running) -> None:
    with running(image_size=(48, 64)) as twin, program(twin, release=False, ends=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "let go 0\n"
        process.wait()
        before = twin.follower.body.position
        time.sleep(1.0)
        assert all(servo["Torque_Enable"] for servo in twin.follower.servos)
        assert np.abs(twin.follower.body.position - before).max() < 3


def test_process_that_does_not_start_is_an_error(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoarm_hardware.arm import connect_bus, make_robot
    from autoarm_hardware.config import load_robot
    from autoarm_hardware.servos import ServoError

    monkeypatch.setattr(watchdog.rescue, "__file__", str(tmp_path / "gone.py"))
    with running(image_size=(48, 64)) as twin:
        config = load_robot(twin.folder.path / "robot.yaml")
        robot = make_robot(config.type, config.port, config.id, config.calibration_dir)
        with pytest.raises(ServoError, match="watchdog"):
            connect_bus(robot)
        assert not is_on(twin)
        assert not watchdog._watching
