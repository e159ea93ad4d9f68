"""Campaigns of faults against a guarded arm on a virtual line, whose bus checks every goal that reaches the servos.

There is no physics: joints go to their goals at a constant speed. `faults.py` runs it.
"""

from __future__ import annotations

import math
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm_hardware import signals
from autoarm_hardware.safety import Guard
from autoarm_hardware.servos import Limits, ServoError
from autoarm_hardware.twin.bus import Bus, Reply
from autoarm_hardware.twin.calibration import Encoders, follower_calibration, write_calibration
from autoarm_hardware.twin.control_table import REGISTERS
from autoarm_hardware.twin.faults import CONDITIONS, Noise, NoiseMaker
from autoarm_hardware.twin.line import VirtualLine, plug_in
from autoarm_hardware.twin.protocol import Instruction, Packet
from autoarm_hardware.twin.servo import Drive, Motion, Servo
from gym_autoarm import spec
from gym_autoarm.errors import AutoArmError, InvalidActionError
from gym_autoarm.rng import stream
from gym_autoarm.scene import HOME

STEP: Final = 10.0
"""The step limit of campaigns, degrees: so small that a command built on an old reading exceeds it."""
_STEPS: Final = 40
_SPEED: Final = 180.0
"""Speed of the joints, degrees a second."""
_ROUNDING: Final = 0.2
"""Degrees of rounding to whole ticks, once of the reading and once of the command."""
_PAUSE: Final = 1.5 / spec.FPS
"""Seconds for which the largest speed counts at most: after a pause the arm is at rest."""
_FRESH: Final = 0.03
"""Most seconds from the request for positions to the command built on their answers."""
_LAST: Final = 0.065
"""Most seconds from the request for positions to the goal at which the arm is held in the end."""
_COASTING: Final = 4.0
"""Degrees that a joint may move after an interruption until it is held: a few exchanges at `_SPEED`."""
_STOP_TIME: Final = 0.1
"""Seconds in which the arm must have been stopped."""
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals to this process, of which another follows at once: the arm must be stopped all the same."""
_NOISES: Final = ("lost", "dropped", "truncated", "corrupted", "wrong_checksum", "late")

KINDS: Final = (
    *_NOISES,
    "mixed",
    *map(str, CONDITIONS),
    "silent",
    "held up",
    "unplug",
    "not a number",
    "exception",
    "interrupt",
    "interrupt in an exchange",
    *_SIGNALS,
    *(f"{name} in an exchange" for name in _SIGNALS),
)
"""The kinds of faults; a campaign injects one of them."""


class _PolicyError(Exception):
    """An exception out of a policy."""


class _Joint:
    """A joint that goes to its goal at a constant speed."""

    def __init__(self, ticks: float, ticks_per_second: float) -> None:
        self.ticks = ticks
        self.velocity = 0.0
        self._speed = ticks_per_second
        self._drive = Drive(powered=False)

    def motion(self) -> Motion:
        return Motion(self.ticks, self.velocity)

    def drive(self, drive: Drive) -> None:
        self._drive = drive

    def advance(self, seconds: float) -> None:
        way = 0.0
        if self._drive.powered and self._drive.goal is not None:
            way = self._drive.goal - self.ticks
        step = math.copysign(min(abs(way), self._speed * seconds), way)
        self.ticks += step
        self.velocity = step / seconds if seconds else 0.0


class _CountingNoise(NoiseMaker):
    """Noise that counts its faults."""

    count = 0

    def loses_request(self) -> bool:
        lost = super().loses_request()
        self.count += lost
        return lost

    def disturb(self, packet: bytes) -> list[tuple[bytes, float]]:
        arrived = super().disturb(packet)
        self.count += arrived != [(packet, 0.0)]
        return arrived


def goal_ticks(request: Packet) -> NDArray[np.float64]:
    """The goals of a sync write, in the order of the servos' ids, ticks."""
    goal, parameters = REGISTERS["Goal_Position"], request.parameters
    ticks = {
        parameters[start]: goal.decode(int.from_bytes(parameters[start + 1 : start + 3], "little"))
        for start in range(2, len(parameters), 3)
    }
    return np.array([ticks[servo] for servo in sorted(ticks)], np.float64)


class _WitnessedBus(Bus):
    """A bus that reports every request for positions, and every goal before the servos receive it."""

    witness: Callable[[NDArray[np.float64]], None] | None = None
    on_reading: Callable[[], None] = staticmethod(lambda: None)

    def answer(self, request: Packet, baud_rate: int) -> list[Reply]:
        goal, present = REGISTERS["Goal_Position"], REGISTERS["Present_Position"]
        parameters = request.parameters
        if request.code == Instruction.SYNC_READ and parameters[0] == present.address:
            self.on_reading()
        if request.code == Instruction.SYNC_WRITE and parameters[0] == goal.address and self.witness is not None:
            self.witness(goal_ticks(request))
        return super().answer(request, baud_rate)


class BenchArm:
    """A follower without physics on a virtual line, and LeRobot's bus driver for it, connected and calibrated."""

    def __init__(self, noise: NoiseMaker | None = None) -> None:
        self.calibration = follower_calibration()
        self._encoders = Encoders.mounted(self.calibration)
        ticks = self._encoders.zero + self._encoders.scale * np.array(HOME)
        speeds = self._encoders.scale * _SPEED
        self.joints = [_Joint(*pair) for pair in zip(ticks, speeds, strict=True)]
        self.servos = tuple(Servo(joint, number + 1) for number, joint in enumerate(self.joints))
        write_calibration(self.servos, self.calibration)
        self.bus = _WitnessedBus(self.servos, noise=noise)
        self.line = VirtualLine(self.bus, self.advance)
        self.driver = _driver(self.calibration)
        plug_in(self.driver, self.line)
        self.line.openPort()
        for servo in self.servos:
            servo["Torque_Enable"] = 1
        self.violations: list[str] = []
        self._asked_at, self._asked_position = -math.inf, self.position
        self.speed = math.inf
        """Largest speed of goals, degrees a second, that the guard was given."""
        self._goal, self._goal_at = self.position, -math.inf
        self.is_ending = False
        self.bus.witness = self._judge
        self.bus.on_reading = self._note_reading

    @property
    def position(self) -> NDArray[np.float64]:
        """True joint positions, `(6,)` in the contract's units."""
        return (np.array([joint.ticks for joint in self.joints]) - self._encoders.zero) / self._encoders.scale

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        for joint in self.joints:
            joint.advance(seconds)

    def _judge(self, ticks: NDArray[np.float64]) -> None:
        offsets = np.array([self.calibration[joint].homing_offset for joint in spec.JOINTS])
        goal = (ticks + offsets - self._encoders.zero) / self._encoders.scale
        if (goal < spec.ACTION_LOW - 0.1).any() or (goal > spec.ACTION_HIGH + 0.1).any():
            self.violations.append(f"a goal beyond the limits: {goal.round(1)}")
        # Compared with the arm's true position at the last request, so that a command built on an older answer fails.
        way = goal - self._asked_position
        if (np.abs(way) > STEP + _ROUNDING).any():
            self.violations.append(f"a goal too far from where the arm was when asked: {way.round(1)}")
        way = np.abs(goal - self._goal).max() - _ROUNDING
        if not self.is_ending and way > self.speed * min(self.line.now() - self._goal_at, _PAUSE):
            self.violations.append(
                f"a goal {way:.1f} degrees from the one before, {self.line.now() - self._goal_at:.3f} s"
            )
        self._goal, self._goal_at = goal, self.line.now()
        if self.line.now() - self._asked_at > (_LAST if self.is_ending else _FRESH):
            self.violations.append(f"a command built on a reading {self.line.now() - self._asked_at:.3f} s old")

    def _note_reading(self) -> None:
        self._asked_at, self._asked_position = self.line.now(), self.position


def _driver(calibration: Any) -> Any:
    from lerobot.motors import Motor, MotorCalibration, MotorNormMode
    from lerobot.motors.feetech import FeetechMotorsBus

    motors = {joint: Motor(number + 1, "sts3215", MotorNormMode.DEGREES) for number, joint in enumerate(spec.JOINTS)}
    motors["gripper"].norm_mode = MotorNormMode.RANGE_0_100
    known = {joint: MotorCalibration(**vars(entry)) for joint, entry in calibration.items()}
    return FeetechMotorsBus("a virtual line", motors, known)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one campaign.

    Attributes:
        kind: One of `KINDS`.
        faults: Number of injected faults.
        steps: Number of commands sent.
        error: The exception that stopped the arm; `None` if it was not stopped.
        violations: The safety rules that were broken.
    """

    kind: str
    faults: int
    steps: int
    error: str | None
    violations: tuple[str, ...]


@dataclass
class Summary:
    """Counts over many campaigns."""

    campaigns: int = 0
    faults: int = 0
    commands: int = 0
    stopped: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, seed: int, outcome: Outcome) -> None:
        """Add the outcome of one campaign."""
        self.campaigns += 1
        self.faults += outcome.faults
        self.commands += outcome.steps
        self.stopped += outcome.error is not None
        self.by_kind[outcome.kind] += outcome.faults
        self.violations += [f"campaign {seed} ({outcome.kind}): {violation}" for violation in outcome.violations]


def campaigns(faults: int, seed: int = 0, progress: Callable[[Summary], None] = lambda summary: None) -> Summary:
    """Run campaigns of all kinds in turn, with seeds from `seed` on, until `faults` faults were injected."""
    summary = Summary()
    while summary.faults < faults:
        number = seed + summary.campaigns
        summary.add(number, campaign(number, KINDS[summary.campaigns % len(KINDS)]))
        progress(summary)
    return summary


def campaign(seed: int, kind: str) -> Outcome:
    """Drive an arm to random goals while faults of a kind are injected, and check how it is left."""
    rng = stream(seed, "campaign")
    noise = _CountingNoise(_noise(kind, rng), seed, "line")
    arm = BenchArm(noise)
    release = bool(rng.random() < 0.5)
    # Goals that keep to a speed seldom reach the step limit, which is tested, too.
    limits = Limits(step=STEP) if rng.random() < 0.5 else Limits(step=STEP, speed=1e4)
    arm.speed = limits.speed
    guard = Guard(
        arm.driver,
        limits,
        release=release,
        retries=int(rng.integers(3)),
        sleep=arm.line.sleep,
        now=arm.line.now,
    )
    moment, target = int(rng.integers(_STEPS)), int(rng.integers(len(arm.servos)))
    goal = np.array(HOME)
    steps, error, ended, injected = 0, None, 0.0, 0
    left = arm.position
    signals.connected(arm.driver, lambda: None)
    try:
        with guard:
            try:
                for step in range(_STEPS):
                    if rng.random() < 0.2:
                        # Beyond the limits at times, as policies do.
                        goal = rng.uniform(spec.ACTION_LOW - 20, spec.ACTION_HIGH + 20)
                    sent = goal
                    if step == moment and kind not in (*_NOISES, "mixed"):
                        injected = 1
                        sent = _inject(arm, kind, target, goal)
                    guard.send(sent)
                    steps += 1
                    guard.watch()
                    arm.line.sleep(1 / spec.FPS)
            finally:
                ended, left, arm.is_ending = arm.line.now(), arm.position, True
    except (AutoArmError, _PolicyError, KeyboardInterrupt, signals.Terminated) as problem:
        error = f"{type(problem).__name__}: {problem}"
        arm.violations += _unclear(problem)
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
        arm.violations.append(f"an exception of another kind: {error}")
    finally:
        signals.disconnected(arm.driver)
    if kind.startswith(_SIGNALS) and error is None:
        arm.violations.append("the signal was not heard")
    if arm.line.now() - ended > _STOP_TIME:
        arm.violations.append(f"stopping took {arm.line.now() - ended:.3f} s")
    arm.violations += _unsafe_end(arm, release)
    if kind.startswith(("exception", "interrupt", *_SIGNALS)) and np.abs(arm.position - left).max() > _COASTING:
        arm.violations.append(f"the arm was not held: it went on by {(arm.position - left).round(1)}")
    return Outcome(kind, injected + noise.count, steps, error, tuple(arm.violations))


def _noise(kind: str, rng: np.random.Generator) -> Noise:
    if kind == "mixed":
        return Noise(**dict.fromkeys(_NOISES, 0.008), lateness=float(rng.uniform(0.01, 0.3)))
    if kind in _NOISES:
        return Noise(**{kind: 0.03}, lateness=float(rng.uniform(0.01, 0.3)))
    return Noise()


def _inject(arm: BenchArm, kind: str, target: int, goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inject a fault, and return the goal that the policy sends."""
    match kind:
        case "silent":
            arm.bus.silent.add(arm.servos[target].id)
        case "held up":
            arm.line.hold_up(seconds=0.01 + 0.01 * target, lag=0.045 + 0.04 * target)
        case "unplug":
            arm.line.is_plugged = False
        case "not a number":
            goal = goal.copy()
            goal[target] = np.nan
        case "exception":
            raise _PolicyError("out of memory")
        case "interrupt":
            raise KeyboardInterrupt
        case "interrupt in an exchange":
            arm.line.interrupt_in = 1 + 4 * target
        case "SIGINT" | "SIGTERM" | "SIGHUP":
            arm.line.interrupt, arm.line.interrupt_in = partial(signal.raise_signal, signal.SIGTERM), 1 + 4 * target
            signal.raise_signal(signal.Signals[kind])
        case name if name.startswith(_SIGNALS):
            number = signal.Signals[name.split()[0]]

            def interrupt() -> None:
                arm.line.interrupt_in = 1 + target  # another one, while the arm is stopped
                signal.raise_signal(number)

            arm.line.interrupt, arm.line.interrupt_in = interrupt, 1 + 4 * target
        case _:
            (condition,) = [condition for name, condition in CONDITIONS.items() if name == kind]
            arm.servos[target].condition = condition
    return goal


def _unclear(problem: BaseException) -> list[str]:
    """What is missing from an error: servo, register or cure."""
    if isinstance(problem, ServoError):
        names_register = any(name in (problem.field or "") for name in REGISTERS)
        if not ("servo" in (problem.field or "") and names_register and problem.cure):
            return [f"an error without servo, register or cure: {problem}"]
    elif isinstance(problem, InvalidActionError) and not problem.cure:
        return [f"an error without a cure: {problem}"]
    return []


def _unsafe_end(arm: BenchArm, release: bool) -> list[str]:
    """What is wrong with how an arm was left."""
    found = []
    arm.line.sleep(0.5)
    before = arm.position
    arm.line.sleep(0.1)
    if np.abs(arm.position - before).max() > 0.1:
        found.append("the arm still moves")
    if (before < spec.ACTION_LOW - 1).any() or (before > spec.ACTION_HIGH + 1).any():
        found.append(f"the arm is beyond its limits: {before.round(1)}")
    if release and arm.line.is_plugged:
        on = [servo.id for servo in arm.servos if servo["Torque_Enable"] and servo.id not in arm.bus.silent]
        if on:
            found.append(f"servos {on} are still on")
    return found
