"""Ctrl-C, `kill` and a closed terminal stop the arm, whenever they come and however often: on a simulated clock."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoarm_hardware import signals
from autoarm_hardware.arm import connect_bus
from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.operator import Callbacks
from autoarm_hardware.port import disconnect_bus
from autoarm_hardware.safety import Guard
from autoarm_hardware.servos import ServoError
from autoarm_hardware.signals import Terminated
from autoarm_hardware.twin.device import Settings
from autoarm_hardware.twin.lockstep import LockstepTwin
from gym_autoarm.scene import HOME

SIZE = (48, 64)
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
STOP_TIME = 0.1
"""Seconds within which the arm must have been stopped, even if a servo is silent."""


class Bench:
    """A follower on a simulated clock that receives signals at chosen uses of its line."""

    def __init__(self, folder: Path) -> None:
        self.twin = LockstepTwin(folder, Settings(image_size=SIZE), cameras=False)
        self.robot, self.line = self.twin.robot, self.twin.line
        self.uses = 0
        self.plan: dict[int, signal.Signals] = {}
        check = self.line._check

        def use() -> None:
            self.uses += 1
            if (number := self.plan.pop(self.uses, None)) is not None:
                signal.raise_signal(number)
            check()

        self.line._check = use  # type: ignore[method-assign]

    def expect(self, *numbers: signal.Signals, at: int) -> None:
        """Signals at the use `at` of the line from now, and at those after it."""
        self.uses = 0
        self.plan = {at + later: number for later, number in enumerate(numbers)}

    def guard(self, release: bool = True) -> Guard:
        return Guard(self.robot.bus, release=release, sleep=self.line.sleep, now=self.line.now)

    @property
    def powered(self) -> list[bool]:
        return [bool(servo["Torque_Enable"]) for servo in self.twin.arm.servos]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def signal_that_ended(action: Callable[[], object]) -> int | None:
    """Do something, and return the number of the signal that ended it; `None` if it went through."""
    try:
        action()
    except KeyboardInterrupt:
        return signal.SIGINT
    except Terminated as error:
        return error.signal
    return None


def every_use(bench: Bench, attempt: Callable[[int], None]) -> int:
    """Make attempts, each with signals one use of the line later, until one ends before; returns their number."""
    for at in range(1, 2000):
        attempt(at)
        is_over = at in bench.plan  # the first of its signals has not come
        bench.plan.clear()
        if is_over:
            return at - 1
    raise AssertionError("it never ends")


@pytest.fixture(autouse=True)
def _handlers_come_back() -> Iterator[None]:
    """Every test begins with the usual handlers: begun by `nohup`, or in the background, a process has others."""
    before = [signal.getsignal(number) for number in ENDING]
    usual = [signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL]
    for number, handler in zip(ENDING, usual, strict=True):
        signal.signal(number, handler)
    yield
    found = [signal.getsignal(number) for number in ENDING]
    for number, handler in zip(ENDING, before, strict=True):
        signal.signal(number, handler)
    assert found == usual


@pytest.mark.parametrize("release", [True, False])
@pytest.mark.parametrize("number", ENDING)
def test_more_signals_at_every_moment_of_the_stop_change_nothing(
    bench: Bench, number: signal.Signals, release: bool
) -> None:
    """One signal while the arm moves, two more at every use of the line in the stop that follows."""

    def attempt(at: int) -> None:
        def move() -> None:
            with bench.guard(release) as guard:
                guard.send(HOME)
                bench.expect(signal.SIGINT, signal.SIGTERM, at=at)
                signal.raise_signal(number)

        connect_bus(bench.robot, release)
        assert signal_that_ended(move) == number
        disconnect_bus(bench.robot)
        assert bench.powered == [not release] * 6, f"at use {at} of the line"

    assert every_use(bench, attempt) > (20 if release else 5)


@pytest.mark.parametrize("silent", [None, 4])
@pytest.mark.parametrize("number", ENDING)
def test_first_signal_in_a_stop_is_heard_once_motors_are_off(
    bench: Bench, number: signal.Signals, silent: int | None
) -> None:
    def attempt(at: int) -> None:
        connect_bus(bench.robot)
        if silent is not None:
            bench.twin.arm.bus.silent.add(silent)
        bench.expect(number, signal.SIGTERM, signal.SIGHUP, at=at)
        start = bench.line.now()
        heard = signal_that_ended(bench.guard().stop)
        assert heard == (None if at in bench.plan else number)
        assert bench.line.now() - start < STOP_TIME
        disconnect_bus(bench.robot)
        bench.twin.arm.bus.silent.clear()
        assert not any(on for servo, on in enumerate(bench.powered, 1) if servo != silent)

    assert every_use(bench, attempt) > 15


@pytest.mark.parametrize("was_on", [True, False])
@pytest.mark.parametrize("number", ENDING)
def test_signals_at_every_moment_of_the_set_up_release_the_arm(
    bench: Bench, number: signal.Signals, was_on: bool
) -> None:
    def attempt(at: int) -> None:
        for servo in bench.twin.arm.servos:
            servo["Torque_Enable"] = int(was_on)
        bench.expect(number, signal.SIGINT, signal.SIGTERM, at=at)
        heard = signal_that_ended(lambda: connect_bus(bench.robot))
        assert heard == (None if at in bench.plan else number)
        assert bench.powered == [heard is None] * 6, f"at use {at} of the line"
        assert bench.robot.bus.is_connected == (heard is None)
        disconnect_bus(bench.robot)

    assert every_use(bench, attempt) > 400


@pytest.mark.parametrize("number", ENDING)
def test_arm_that_is_to_hold_holds_when_the_set_up_is_interrupted(bench: Bench, number: signal.Signals) -> None:
    def attempt(at: int) -> None:
        for servo in bench.twin.arm.servos:
            servo["Torque_Enable"] = 1
        bench.expect(number, at=at)
        heard = signal_that_ended(lambda: connect_bus(bench.robot, release=False))
        assert heard == (None if at in bench.plan else number)
        disconnect_bus(bench.robot)
        assert all(bench.powered), f"at use {at} of the line"

    assert every_use(bench, attempt) > 400


def test_set_up_that_fails_halfway_releases_what_it_switched_on(bench: Bench) -> None:
    powered = bench.twin.arm.servos[3]
    write = powered.write

    def write_once(address: int, data: bytes) -> None:
        write(address, data)
        if powered["Torque_Enable"]:
            bench.twin.arm.bus.silent.add(6)

    powered.write = write_once  # type: ignore[method-assign]
    with pytest.raises(ServoError, match="set-up"):
        connect_bus(bench.robot)
    assert not any(bench.powered[:5])


# -- The environment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ENDING)
def test_signals_anywhere_in_an_episode_stop_the_arm(bench: Bench, number: signal.Signals) -> None:
    """Bursts of three, from the first byte of `reset` on, at moments that share no rhythm with the control loop."""
    env = PickIntoBoxEnv(robot=bench.robot, image_size=SIZE, clock=bench.line, operator=Callbacks())

    def move() -> None:
        env.reset(seed=0)
        env.step_chunk(np.repeat([HOME], 20, axis=0))

    came = 0
    for at in range(1, 2400, 211):
        bench.expect(number, signal.SIGTERM, signal.SIGINT, at=at)
        heard = signal_that_ended(move)
        assert heard in (number, None)
        assert bench.powered == [heard is None] * 6, f"at use {at} of the line"
        assert bench.robot.bus.is_connected == (heard is None)
        assert signal_that_ended(env.close) in (number, None)  # on the way home, too
        assert not any(bench.powered)
        bench.plan.clear()
        came += heard is not None
    assert came >= 8


@pytest.mark.parametrize("number", ENDING)
def test_signal_stops_the_arm_on_its_way_home(bench: Bench, monkeypatch: pytest.MonkeyPatch, number: Any) -> None:
    """The first signal holds the arm, which then goes home; the next one leaves it where it is."""
    monkeypatch.setattr(signals, "_PATIENCE", 0.0)  # wall time; the arm's is another here
    env = PickIntoBoxEnv(robot=bench.robot, image_size=SIZE, clock=bench.line, operator=Callbacks())
    out = np.array([0.0, 0.0, 0.0, 60.0, 0.0, 20.0])

    def reach() -> None:
        env.reset(seed=0)
        for part in np.linspace(0, 1, 60):
            env.step_chunk((np.array(HOME) + part * (out - HOME))[None])
        signal.raise_signal(signal.SIGTERM)

    def begin() -> None:
        try:
            reach()
        finally:
            bench.expect(number, at=400)  # 13 goals or so
            env.close()

    assert signal_that_ended(begin) == number
    assert not any(bench.powered)
    position = bench.twin.arm.body.position
    assert np.abs(position - HOME).max() > 20
    assert np.abs(position - out).max() > 5


def test_signal_between_steps_leads_to_the_stop_through_with(bench: Bench) -> None:
    def move() -> None:
        with PickIntoBoxEnv(robot=bench.robot, image_size=SIZE, clock=bench.line, operator=Callbacks()) as env:
            env.reset(seed=0)
            assert all(bench.powered)
            signal.raise_signal(signal.SIGHUP)

    assert signal_that_ended(move) == signal.SIGHUP
    assert not any(bench.powered)


# -- Handlers ----------------------------------------------------------------------------------------------------------


def test_signals_are_handled_only_while_an_arm_is_connected(bench: Bench) -> None:
    before = [signal.getsignal(number) for number in ENDING]
    connect_bus(bench.robot)
    signals.connected("another arm", lambda: None)
    disconnect_bus(bench.robot)
    with pytest.raises(Terminated):
        signal.raise_signal(signal.SIGTERM)
    signals.disconnected("another arm")
    signals.disconnected("another arm")
    assert [signal.getsignal(number) for number in ENDING] == before


@pytest.fixture
def handler(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A handler of SIGHUP that a program has set before."""
    before = signal.signal(signal.SIGHUP, request.param)
    yield request.param
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("handler", [signal.SIG_IGN], indirect=True)
def test_signal_that_is_ignored_stays_ignored(bench: Bench, handler: Any) -> None:
    """As under nohup, which is how an arm is left to work after its terminal was closed."""
    connect_bus(bench.robot)
    signal.raise_signal(signal.SIGHUP)
    assert all(bench.powered)
    disconnect_bus(bench.robot)
    assert signal.getsignal(signal.SIGHUP) is handler


came: list[int] = []


@pytest.mark.parametrize("handler", [lambda number, frame: came.append(number)], indirect=True)
def test_handler_of_the_program_is_called_but_not_while_the_arm_is_stopped(bench: Bench, handler: Any) -> None:
    connect_bus(bench.robot)
    came.clear()
    for _ in range(2):
        signal.raise_signal(signal.SIGHUP)
    with signals.shield():
        signal.raise_signal(signal.SIGHUP)
        assert len(came) == 2
    assert came == [signal.SIGHUP] * 3
    disconnect_bus(bench.robot)
    assert signal.getsignal(signal.SIGHUP) is handler


def test_signal_is_heard_again_if_its_exception_was_caught(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(signals.time, "monotonic", lambda: now)  # type: ignore[attr-defined]
    connect_bus(bench.robot)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)  # at once: it must not interrupt what leads to the stop
    now += 3.0
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    disconnect_bus(bench.robot)


def test_arm_in_another_thread_works_and_leaves_signals_alone(bench: Bench) -> None:
    handlers, errors = [], []

    def drive() -> None:
        try:
            connect_bus(bench.robot)
            handlers.append([signal.getsignal(number) for number in ENDING])
            bench.guard().stop()
            disconnect_bus(bench.robot)
        except BaseException as error:
            errors.append(error)

    before = [signal.getsignal(number) for number in ENDING]
    thread = threading.Thread(target=drive)
    thread.start()
    thread.join()
    assert errors == []
    assert handlers == [before]
    assert not any(bench.powered)


PROGRAM = """
import atexit, os, signal, sys, time
from pathlib import Path
from autoarm_hardware.arm import connect_bus
from autoarm_hardware.twin.device import Settings
from autoarm_hardware.twin.lockstep import LockstepTwin

twin = LockstepTwin(Path(sys.argv[1]), Settings(image_size=(48, 64)), cameras=False)
atexit.register(lambda: print([servo["Torque_Enable"] for servo in twin.arm.servos], flush=True))
connect_bus(twin.robot, release=sys.argv[2] == "release")
ready, tell = os.pipe()
if (child := os.fork()) == 0:
    os.write(tell, b"!")  # Python drops signals that come while it is still forking
    while True:  # one just before a wait without end would be noticed only after it
        time.sleep(0.01)
os.read(ready, 1)
os.kill(child, signal.SIGTERM)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
signal.raise_signal(int(sys.argv[3]))
"""


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("number", "code", "release"),
    [(signal.SIGTERM, 143, True), (signal.SIGHUP, 129, False), (signal.SIGINT, -signal.SIGINT, True)],
)
def test_program_that_disconnects_nothing_ends_with_the_arm_stopped(
    tmp_path: Path, number: signal.Signals, code: int, release: bool
) -> None:
    arguments = [str(tmp_path), "release" if release else "hold", str(int(number))]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout.strip() == str([int(not release)] * 6)
