"""Faults by the thousand: a guarded arm on a virtual line, and a witness of what reaches its servos.

Physics is not needed for it: joints go to their goals at a constant speed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

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
"""Degrees: the step limit of campaigns, small enough for a command built on a stale reading to be out of it."""
_STEPS: Final = 40
_SPEED: Final = 180.0
"""Degrees a second of the joints."""
_ROUNDING: Final = 0.2
"""Degrees between a goal and the same in whole ticks, once for the reading and once for the command."""
_FRESH: Final = 0.03
"""Seconds from the moment when servos were asked where they are to the command built on their answers, at most."""
_LAST: Final = 0.065
"""The same of the goal at which the arm is held in the end."""
_COASTING: Final = 4.0
"""Degrees that a joint may go on after an interruption until it is held: the time of a few exchanges at `_SPEED`."""
_STOP_TIME: Final = 0.1
"""Seconds in which the arm must have been stopped."""
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
)
"""What campaigns are about."""


class _PolicyError(Exception):
    """What a policy may raise."""


class _Joint:
    """Goes to its goal at a constant speed."""

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
    """Noise that knows how much of it there was."""

    count = 0

    def loses_request(self) -> bool:
        lost = super().loses_request()
        self.count += lost
        return lost

    def disturb(self, packet: bytes) -> list[tuple[bytes, float]]:
        arrived = super().disturb(packet)
        self.count += arrived != [(packet, 0.0)]
        return arrived


class _WitnessedBus(Bus):
    """A bus that tells when the servos answer where they are, and of every goal before any servo sees it."""

    witness: Callable[[NDArray[np.float64]], None] | None = None
    on_reading: Callable[[], None] = staticmethod(lambda: None)

    def answer(self, request: Packet, baud_rate: int) -> list[Reply]:
        goal, present = REGISTERS["Goal_Position"], REGISTERS["Present_Position"]
        parameters = request.parameters
        if request.code == Instruction.SYNC_READ and parameters[0] == present.address:
            self.on_reading()
        if request.code == Instruction.SYNC_WRITE and parameters[0] == goal.address and self.witness is not None:
            ticks = {
                parameters[start]: goal.decode(int.from_bytes(parameters[start + 1 : start + 3], "little"))
                for start in range(2, len(parameters), 3)
            }
            self.witness(np.array([ticks[servo.id] for servo in self.servos], np.float64))
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
        self.is_ending = False
        self.bus.witness = self._judge
        self.bus.on_reading = self._note_reading

    @property
    def position(self) -> NDArray[np.float64]:
        """Where the joints truly are, `(6,)` in the contract's units."""
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
        # Against where the arm truly was when it was last asked: a command built on an older answer shows.
        way = goal - self._asked_position
        if (np.abs(way) > STEP + _ROUNDING).any():
            self.violations.append(f"a goal too far from where the arm was when asked: {way.round(1)}")
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
    """What came of one campaign.

    Attributes:
        kind: One of `KINDS`.
        faults: How many were injected.
        steps: Commands that were sent.
        error: What the arm was stopped with, if it was.
        violations: What must never happen, and did.
    """

    kind: str
    faults: int
    steps: int
    error: str | None
    violations: tuple[str, ...]


@dataclass
class Summary:
    """Of many campaigns."""

    campaigns: int = 0
    faults: int = 0
    commands: int = 0
    stopped: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, seed: int, outcome: Outcome) -> None:
        """Count one more."""
        self.campaigns += 1
        self.faults += outcome.faults
        self.commands += outcome.steps
        self.stopped += outcome.error is not None
        self.by_kind[outcome.kind] += outcome.faults
        self.violations += [f"campaign {seed} ({outcome.kind}): {violation}" for violation in outcome.violations]


def campaigns(faults: int, seed: int = 0, progress: Callable[[Summary], None] = lambda summary: None) -> Summary:
    """Run campaigns of all kinds in turn, from `seed` on, until so many faults were injected."""
    summary = Summary()
    while summary.faults < faults:
        number = seed + summary.campaigns
        summary.add(number, campaign(number, KINDS[summary.campaigns % len(KINDS)]))
        progress(summary)
    return summary


def campaign(seed: int, kind: str) -> Outcome:
    """Drive an arm to and fro while faults of a kind befall it, and see whether it is left as it should be."""
    rng = stream(seed, "campaign")
    noise = _CountingNoise(_noise(kind, rng), seed, "line")
    arm = BenchArm(noise)
    release = bool(rng.random() < 0.5)
    guard = Guard(
        arm.driver,
        Limits(step=STEP),
        release=release,
        retries=int(rng.integers(3)),
        sleep=arm.line.sleep,
        now=arm.line.now,
    )
    moment, victim = int(rng.integers(_STEPS)), int(rng.integers(len(arm.servos)))
    goal = np.array(HOME)
    steps, error, ended, injected = 0, None, 0.0, 0
    left = arm.position
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
                        sent = _inject(arm, kind, victim, goal)
                    guard.send(sent)
                    steps += 1
                    guard.watch()
                    arm.line.sleep(1 / spec.FPS)
            finally:
                ended, left, arm.is_ending = arm.line.now(), arm.position, True
    except (AutoArmError, _PolicyError, KeyboardInterrupt) as problem:
        error = f"{type(problem).__name__}: {problem}"
        arm.violations += _unclear(problem)
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
        arm.violations.append(f"an exception of another kind: {error}")
    if arm.line.now() - ended > _STOP_TIME:
        arm.violations.append(f"stopping took {arm.line.now() - ended:.3f} s")
    arm.violations += _unsafe_end(arm, release)
    if kind in ("exception", "interrupt", "interrupt in an exchange") and np.abs(arm.position - left).max() > _COASTING:
        arm.violations.append(f"the arm was not held: it went on by {(arm.position - left).round(1)}")
    return Outcome(kind, injected + noise.count, steps, error, tuple(arm.violations))


def _noise(kind: str, rng: np.random.Generator) -> Noise:
    if kind == "mixed":
        return Noise(**dict.fromkeys(_NOISES, 0.008), lateness=float(rng.uniform(0.01, 0.3)))
    if kind in _NOISES:
        return Noise(**{kind: 0.03}, lateness=float(rng.uniform(0.01, 0.3)))
    return Noise()


def _inject(arm: BenchArm, kind: str, victim: int, goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let it happen, and say what the policy asks for."""
    match kind:
        case "silent":
            arm.bus.silent.add(arm.servos[victim].id)
        case "held up":
            arm.line.hold_up(seconds=0.01 + 0.01 * victim, lag=0.045 + 0.04 * victim)
        case "unplug":
            arm.line.is_plugged = False
        case "not a number":
            goal = goal.copy()
            goal[victim] = np.nan
        case "exception":
            raise _PolicyError("out of memory")
        case "interrupt":
            raise KeyboardInterrupt
        case "interrupt in an exchange":
            arm.line.interrupt_in = 1 + 4 * victim
        case _:
            (condition,) = [condition for name, condition in CONDITIONS.items() if name == kind]
            arm.servos[victim].condition = condition
    return goal


def _unclear(problem: BaseException) -> list[str]:
    """What an error leaves open: servo, register, cure."""
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
