"""Safety between a policy and the motors: limits on every command, checks of every servo, and a stop."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import cycle
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoarm_hardware import signals
from autoarm_hardware.links import Links
from autoarm_hardware.port import switch_off
from autoarm_hardware.servos import Limits, RegisterCheck, ServoError, first_line, servo_family
from gym_autoarm import spec
from gym_autoarm.env import check_actions

Vector = NDArray[np.float64]

_SUSPICION: Final = 0.5
"""Seconds after a failed reading in which its answers may still arrive, and be taken for those to the next one."""
_SETTLE: Final = 0.005
"""Seconds to wait for more bytes after a reading within `_SUSPICION`: if more arrive, the reading is not trusted."""
_FRESH: Final = 0.025
"""Seconds that a reading of the position may take; after a longer one the arm has moved too far."""
_ANSWER: Final = 0.06
"""Seconds that waiting for an answer takes at most: LeRobot gives up a little after 50 ms."""
_LAST: Final = 0.06
"""Seconds that the reading may take at which the arm is held in the end: going back a little is safer than going on to
the last goal. LeRobot waits no longer for any answer."""
_AGREE: Final = 5.0
"""Degrees by which two readings within `_SUSPICION`, one after the other, may differ if the arm stands still."""
_FASTEST: Final = 360.0
"""Speed of an STS3215 without load, degrees a second: 0.165 s for 60 degrees at 12 V (datasheet)."""
_PERIOD: Final = 1.5 / spec.FPS
"""Seconds of the largest speed that a goal may be ahead of the one before: after a pause the arm is at rest."""
_HALVINGS: Final = 6
_ROUNDING: Final = 1e-6
_STALLED: Final = 2.0
"""Degrees, and hundredths of the gripper's range, within which a joint counts as not moving."""


def safe_goal(
    goal: ArrayLike,
    position: ArrayLike,
    step: float,
    low: ArrayLike = spec.ACTION_LOW,
    high: ArrayLike = spec.ACTION_HIGH,
) -> Vector:
    """The goal positions `(6,)` nearest to `goal` within the joints' limits and within `step` of `position`.

    An arm that was put down beyond a limit is led back to it, `step` at a time.

    Raises:
        InvalidActionError: If a goal is not a finite number or the shape is wrong.
    """
    (wanted,) = check_actions(np.asarray(goal, np.float64)[None])
    here = np.asarray(position, np.float64)
    limited = np.clip(wanted, low, high)
    # Limits last: within them whatever was read.
    sent: Vector = np.clip(np.clip(limited, here - step, here + step), low, high)
    return sent


class Floor:
    """A height below which no part of the hand is sent.

    Args:
        links: The arm's links.
        height: The height, metres.
    """

    def __init__(self, links: Links, height: float) -> None:
        self._links, self._height = links, height

    def raised(self, goal: Vector) -> Vector:
        """A goal near `goal` `(6,)` above the floor, if there is one nearby."""
        return self._links.raised(goal, self._height)

    def kept_above(self, goal: Vector, before: Vector) -> Vector:
        """The last goal on the way from `before` to `goal` that is above the floor.

        A hand that is below it already is not sent lower.
        """
        least = min(self._height, self._links.lowest(before))
        if self._links.lowest(goal) >= least:
            return goal
        most, step = 0.0, 1.0
        for _ in range(_HALVINGS):
            step /= 2
            if self._links.lowest(before + (most + step) * (goal - before)) >= least:
                most += step
        return before + most * (goal - before)


class Guard:
    """Moves a connected arm, and stops it when the `with` block ends, however it ends.

    Every command is built from a reading made for it. A reading that fails raises, and nothing is sent; servos keep the
    goal they have. Late answers to a failed reading are not taken for answers to the next: received bytes are thrown
    away before every reading, and for half a second after a failure also waited for after it.

    Args:
        bus: The bus of LeRobot's driver, calibrated, in degrees.
        limits: Limits on commands and on what servos report; `Limits()` if nothing is given.
        low: The joints' lower limits `(6,)`, in the contract's units.
        high: The joints' upper limits `(6,)`.
        links: The arm's links, for `Limits.floor`; an arm whose links are not known has no floor.
        release: Whether motors are switched off at the end; otherwise they hold where they are.
        dry_run: Called with what would be sent; nothing is sent then.
        retries: How often a failed reading is made again before it raises; LeRobot waits 50 ms for each.
        sleep: Lets seconds pass; a virtual line has its own.
        now: Seconds of the same clock.

    Raises:
        InvalidInputError: If the servos' model is not known.
    """

    def __init__(
        self,
        bus: Any,
        limits: Limits | None = None,
        release: bool = False,
        dry_run: Callable[[str], None] | None = None,
        retries: int = 0,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        low: ArrayLike = spec.ACTION_LOW,
        high: ArrayLike = spec.ACTION_HIGH,
        links: Links | None = None,
    ) -> None:
        self._bus = bus
        self._limits = limits or Limits()
        self._low, self._high = np.array(low, np.float64), np.array(high, np.float64)
        self._floor = None if links is None or self._limits.floor is None else Floor(links, self._limits.floor)
        self._release = release
        self._dry_run = dry_run
        self._retries = retries
        self._sleep, self._now = sleep, now
        self._suspect_until = -math.inf
        self._in_step = True
        """Whether the last reading succeeded; if not, its answers may still arrive, and be taken for the next one's."""
        models = {joint: motor.model for joint, motor in bus.motors.items()}
        self._family = servo_family(bus)
        self._checks = self._family.checks(self._limits, models)
        self._next_checks: Iterator[RegisterCheck] = cycle(self._checks)
        self._fault_since: dict[tuple[str, str], tuple[float, float]] = {}
        self.reading: Vector = np.full(len(spec.JOINTS), np.nan)
        """The last position read, `(6,)`; NaN before the first."""
        self._sent: Vector | None = None
        """The last goal; speed counts from there."""
        self._sent_at = -math.inf
        self.limited: Counter[str] = Counter()
        """How many commands each limit has changed so far, by the names in `spec.LIMITS`."""
        self.waited = 0.0
        """Seconds spent so far on readings that failed, those excluded that a machine was asleep in the middle."""
        self.is_overloaded = False
        """Whether the gripper's protection against overload held it back at the last look."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def position(self) -> Vector:
        """Where the joints are now, `(6,)` in the contract's units.

        Raises:
            ServoError: If one does not answer, or reads more than `spec.STATE_MARGIN` beyond its limits.
        """
        return self._position(1 + self._retries, _FRESH)

    def send(self, goal: ArrayLike) -> Vector:
        """Send the arm towards `goal`, and return what was sent, `(6,)`: the goal within the limits.

        Raises:
            InvalidActionError: If a goal is not a number; nothing is read or sent.
            ServoError: If the position cannot be read, or the goal not written; nothing more is sent.
        """
        (wanted,) = check_actions(np.asarray(goal, np.float64)[None])
        sent = self._within_limits(wanted, self.position())
        self._write("Goal_Position", dict(zip(spec.JOINTS, map(float, sent), strict=True)), normalize=True)
        self._sent, self._sent_at = sent, self._now()
        return sent

    def check(self) -> None:
        """Look at every servo's status, torque, temperature, voltage and load.

        Raises:
            ServoError: For a value outside its limits; for load, only if every look within `Limits.load_time` found
                it, and the joint did not move.
        """
        for watch in self._checks:
            self._look(watch)

    def watch(self) -> None:
        """Look at the next of the registers that `check` looks at, on every servo. Raises what `check` raises."""
        self._look(next(self._next_checks))

    def hold(self) -> None:
        """Hold the arm where it is. Like `stop`, but it is not released."""
        with signals.shield():
            self._hold()

    def stop(self) -> None:
        """Hold the arm where it is, then release it if so configured. Does not raise if the bus does not answer.

        The position is read for it. If that fails, or if the reading before failed, whose late answers could be taken
        for this one's, servos keep their last goal. Signals wait until it is over; see `signals`.
        """
        with signals.shield():
            try:
                self._hold()
            finally:
                if self._release:
                    self._switch_off()

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _within_limits(self, wanted: Vector, position: Vector) -> Vector:
        """The goal that is sent for `wanted`; each limit that changes it is counted."""
        limits, before = self._limits, position if self._sent is None else self._sent
        ahead = limits.speed * min(self._now() - self._sent_at, _PERIOD)
        in_range = np.clip(wanted, self._low, self._high)
        raised = in_range if self._floor is None else self._floor.raised(in_range)
        slowed = np.clip(raised, before - ahead, before + ahead)
        near = safe_goal(slowed, position, limits.step, self._low, self._high)
        sent = near
        if self._floor is not None:
            # Between two goals above the floor, some joints further than others, may be one below it. Up is no danger,
            # and may be quicker than the speed.
            lifted = safe_goal(self._floor.raised(near), position, limits.step, self._low, self._high)
            sent = self._floor.kept_above(lifted, safe_goal(before, position, limits.step, self._low, self._high))
        for name, given, kept in (
            ("range", wanted, in_range),
            ("floor", np.concatenate([in_range, near]), np.concatenate([raised, sent])),
            ("speed", raised, slowed),
            ("step", slowed, near),
        ):
            self.limited[name] += bool(np.abs(kept - given).max() > _ROUNDING)
        return sent

    def _position(self, tries: int, fresh: float) -> Vector:
        asked = self._now()
        read = self._read("Present_Position", normalize=True, tries=tries, fresh=fresh)
        if self._now() < self._suspect_until:
            # A second reading must agree with it: one late answer is rare, two that agree are rarer.
            first, read = read, self._read("Present_Position", normalize=True, tries=tries, fresh=fresh)
            apart = _AGREE + _FASTEST * min(self._now() - asked, 2 * fresh)
            for joint in spec.JOINTS:
                if abs(read[joint] - first[joint]) > apart:
                    self._in_step = False
                    raise self._error(
                        joint, "Present_Position", "no answer to trust: two readings differ", "check plugs and cables"
                    )
        position = np.array([read[joint] for joint in spec.JOINTS], np.float64)
        low, high = self._low - spec.STATE_MARGIN, self._high + spec.STATE_MARGIN
        for joint, value, bottom, top in zip(spec.JOINTS, position, low, high, strict=True):
            if not bottom <= value <= top:
                raise self._error(
                    joint,
                    "Present_Position",
                    f"reads {value:.1f}, which is outside {bottom:.0f} to {top:.0f}",
                    "calibrate the arm with lerobot-calibrate, or look for a loose cable",
                )
        self.reading = position
        return position

    def _look(self, watch: RegisterCheck) -> None:
        now = self._now()
        values = self._read(watch.register, normalize=False, tries=1 + self._retries)
        if watch.register == self._family.status:
            self.is_overloaded = bool(int(values[spec.JOINTS[spec.GRIPPER]]) & self._family.weakening)
        for joint, raw in values.items():
            fault = watch.judge(joint, int(raw))
            if fault is None:
                self._fault_since.pop((joint, watch.register), None)
                continue
            here = float(self.reading[spec.JOINTS.index(joint)])
            since, where = self._fault_since.setdefault((joint, watch.register), (now, here))
            if watch.seconds and abs(here - where) > _STALLED:
                self._fault_since[joint, watch.register] = now, here
            elif now - since >= watch.seconds:
                raise self._error(joint, watch.register, *fault)

    def _hold(self) -> None:
        if not self._in_step:
            return
        if self._now() < self._suspect_until:
            self._sleep(_SETTLE)  # answers to a reading that was interrupted have arrived by then
        with suppress(ServoError):
            # Only once: servos hold their goal anyway, and retries would delay switching them off.
            held = np.clip(self._position(1, _LAST), self._low, self._high)
            self._write("Goal_Position", dict(zip(spec.JOINTS, map(float, held), strict=True)), normalize=True)
            self._sent, self._sent_at = held, self._now()

    def _switch_off(self) -> None:
        if self._dry_run is None:
            switch_off(self._bus)
        else:
            self._write("Torque_Enable", dict.fromkeys(spec.JOINTS, 0), normalize=False)

    def _read(self, register: str, *, normalize: bool, tries: int, fresh: float | None = None) -> dict[str, float]:
        fresh = _FRESH if fresh is None else fresh
        for _ in range(tries - 1):
            with suppress(ServoError):
                return self._read_once(register, normalize=normalize, fresh=fresh)
        return self._read_once(register, normalize=normalize, fresh=fresh)

    def _read_once(self, register: str, *, normalize: bool, fresh: float) -> dict[str, float]:
        was_in_step, self._in_step = self._in_step, False
        asked = self._now()
        try:
            # Nothing has been asked yet: bytes that are there answer something else.
            self._bus.port_handler.ser.reset_input_buffer()
            read = dict(self._bus.sync_read(register, normalize=normalize, num_retry=0))
            if normalize and self._now() - asked > fresh:
                raise ConnectionError("answers took too long, and the arm has moved on")
            reader = self._bus.sync_reader
            if any(len(data) != reader.data_length for data in reader.data_dict.values()):
                raise ConnectionError("an answer was too short, which the SDK reads as 0")
            if self._now() < self._suspect_until:
                self._sleep(_SETTLE)
                if self._bus.port_handler.getBytesAvailable():
                    raise ConnectionError("more answers came than were asked for: some were late")
        except BaseException as error:  # LeRobot, its SDK and pyserial raise kinds of their own
            # After an exception the SDK's port stays marked as in use.
            self._bus.port_handler.is_using = False
            self._suspect_until = self._now() + _SUSPICION
            self.waited += min(self._now() - asked, _ANSWER)
            if isinstance(error, Exception):
                raise self._lost(register, error) from error
            self._in_step = was_in_step  # interrupted by a person, not by the line
            raise
        self._in_step = True
        return read

    def _write(self, register: str, values: Mapping[str, float], *, normalize: bool) -> None:
        if self._dry_run is not None:
            self._dry_run(f"{register}: " + ", ".join(f"{joint} {value:.1f}" for joint, value in values.items()))
            return
        try:
            self._bus.sync_write(register, values, normalize=normalize)
        except BaseException as error:
            self._bus.port_handler.is_using = False
            if isinstance(error, Exception):
                raise self._lost(register, error) from error
            raise

    def _lost(self, register: str, error: Exception) -> ServoError:
        # The SDK reads answers in the order of its list, and stops at the first that is missing.
        answers = self._bus.sync_reader.data_dict
        missing = [joint for joint in spec.JOINTS if not answers.get(self._bus.motors[joint].id)]
        named = missing[:1] if 0 < len(missing) < len(spec.JOINTS) else list(spec.JOINTS)
        servos = ", ".join(f"{self._bus.motors[joint].id} ({joint})" for joint in named)
        return ServoError(
            f"no answer: {first_line(error)}",
            field=f"servo{'s' if len(named) > 1 else ''} {servos}: {register}",
            cure="check the USB cable, the power supply and the plugs between the servos",
        )

    def _error(self, joint: str, register: str, message: str, cure: str) -> ServoError:
        return ServoError(message, field=f"servo {self._bus.motors[joint].id} ({joint}): {register}", cure=cure)
