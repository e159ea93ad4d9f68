"""What stands between a policy and the motors: limits on every command, a watch on every servo, and a way to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import cycle
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autoarm_hardware.servos import Limits, ServoError, Watch, make_of
from gym_autoarm import spec
from gym_autoarm.env import check_actions

Vector = NDArray[np.float64]

_SUSPICION: Final = 0.5
"""Seconds after a failed reading in which its answers may still come, and be taken for the answers to another."""
_SETTLE: Final = 0.005
"""Seconds that a suspected line is listened to after a reading: where there is more, it was not the answer."""
_FRESH: Final = 0.025
"""Seconds that a reading of the position may take: the arm has moved on since it was asked."""
_LAST: Final = 0.06
"""The same of the reading at which the arm is held in the end: an arm that goes back a little is better off than one
that goes on to its last goal. LeRobot waits no longer for any answer."""
_AGREE: Final = 5.0
"""Degrees by which two readings of a suspected line, one after the other, may differ if the arm stands still."""
_FASTEST: Final = 360.0
"""Degrees a second of an STS3215 without load: 0.165 s for 60 degrees at 12 V (datasheet)."""
_STALLED: Final = 2.0
"""Degrees, and hundredths of the gripper's range, within which a joint counts as not moving."""
_RELEASES: Final = 5
"""How often motors are told to switch off: nobody acknowledges that, and one in many packets is lost."""


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


class Guard:
    """Moves a connected arm of LeRobot's, and stops it when the block ends, however it ends.

    Every command is built from a reading made for it. A reading that fails raises, and nothing is sent; servos keep the
    goal they have. What comes late of a failed reading is not taken for the answer to the next: the line is emptied
    before every reading, and for half a second after a failure also listened to after it.

    Args:
        bus: That of LeRobot's driver, calibrated, in degrees.
        limits: See `Limits`.
        low: The joints' lower limits `(6,)`, in the contract's units.
        high: The upper ones.
        release: Whether motors are switched off at the end; otherwise they hold where they are.
        dry_run: Told what would be sent, instead of the bus.
        retries: How often a failed reading is made again before it raises; LeRobot waits 50 ms for each.
        sleep: Lets time pass; a virtual line brings its own.
        now: Seconds of the same clock.

    Raises:
        InvalidInputError: If the bus is one of servos that it does not know how to watch.
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
    ) -> None:
        self._bus = bus
        self._limits = limits or Limits()
        self._low, self._high = np.array(low, np.float64), np.array(high, np.float64)
        self._release = release
        self._dry_run = dry_run
        self._retries = retries
        self._sleep, self._now = sleep, now
        self._suspect_until = -math.inf
        self._in_step = True
        """Whether the last reading came: if not, its answers may still be on their way, and pass for the next's."""
        models = {joint: motor.model for joint, motor in bus.motors.items()}
        self._watches = make_of(bus).watches(self._limits, models)
        self._upcoming: Iterator[Watch] = cycle(self._watches)
        self._amiss_since: dict[tuple[str, str], tuple[float, float]] = {}
        self.reading: Vector = np.full(len(spec.JOINTS), np.nan)
        """What `position` read last, `(6,)`; NaN before."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def position(self) -> Vector:
        """Where the joints are now, `(6,)` in the contract's units.

        Raises:
            ServoError: If one does not answer, or answers what no arm can: beyond its limits by more than
                `spec.STATE_MARGIN`.
        """
        return self._position(1 + self._retries)

    def send(self, goal: ArrayLike) -> Vector:
        """Send the arm towards `goal` and return what was sent, `(6,)`: the goal within limits and step.

        Raises:
            InvalidActionError: If a goal is not a number; nothing is read or sent.
            ServoError: If the position cannot be read, or the goal not written; nothing more is sent.
        """
        check_actions(np.asarray(goal, np.float64)[None])
        sent = safe_goal(goal, self.position(), self._limits.step, self._low, self._high)
        self._write("Goal_Position", dict(zip(spec.JOINTS, map(float, sent), strict=True)), normalize=True)
        return sent

    def check(self) -> None:
        """Look at every servo's status, torque, temperature, voltage and load.

        Raises:
            ServoError: For one amiss; for load, only if it was so at every look for `Limits.load_time`, in one place.
        """
        for watch in self._watches:
            self._look(watch)

    def watch(self) -> None:
        """Look at the next of what `check` looks at: five calls are one check. Raises `ServoError` likewise."""
        self._look(next(self._upcoming))

    def stop(self) -> None:
        """Hold where the arm is, then release it if so configured. Never raises for a bus that is lost.

        Holds at a reading made now. Where none can be had, or the one before failed, so that late answers to it could
        be taken for this one's, servos hold the last goal by themselves.
        """
        if self._in_step:
            if self._now() < self._suspect_until:
                self._sleep(_SETTLE)  # what was on its way when a reading was interrupted has come by then
            with suppress(ServoError):
                # Once: servos hold the goal they have, and asking again would keep them from being released.
                held = np.clip(self._position(1, _LAST), self._low, self._high)
                self._write("Goal_Position", dict(zip(spec.JOINTS, map(float, held), strict=True)), normalize=True)
        if self._release:
            self._switch_off()

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _position(self, tries: int, fresh: float = _FRESH) -> Vector:
        asked = self._now()
        read = self._read("Present_Position", normalize=True, tries=tries, fresh=fresh)
        if self._now() < self._suspect_until:
            # Once more: two answers that are late in the same way are rarer than one.
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

    def _look(self, watch: Watch) -> None:
        now = self._now()
        for joint, raw in self._read(watch.register, normalize=False, tries=1 + self._retries).items():
            amiss = watch.judge(joint, int(raw))
            if amiss is None:
                self._amiss_since.pop((joint, watch.register), None)
                continue
            here = float(self.reading[spec.JOINTS.index(joint)])
            since, where = self._amiss_since.setdefault((joint, watch.register), (now, here))
            if watch.seconds and abs(here - where) > _STALLED:
                self._amiss_since[joint, watch.register] = now, here
            elif now - since >= watch.seconds:
                raise self._error(joint, watch.register, *amiss)

    def _switch_off(self) -> None:
        # To all at once: asking each for an answer would wait for those that are silent.
        for _ in range(1 if self._dry_run is not None else _RELEASES):
            with suppress(ServoError):
                self._write("Torque_Enable", dict.fromkeys(spec.JOINTS, 0), normalize=False)

    def _read(self, register: str, *, normalize: bool, tries: int, fresh: float = _FRESH) -> dict[str, float]:
        for _ in range(tries - 1):
            with suppress(ServoError):
                return self._read_once(register, normalize=normalize, fresh=fresh)
        return self._read_once(register, normalize=normalize, fresh=fresh)

    def _read_once(self, register: str, *, normalize: bool, fresh: float) -> dict[str, float]:
        was_in_step, self._in_step = self._in_step, False
        try:
            # Nothing has been asked yet: what is there already belongs to something else.
            self._bus.port_handler.ser.reset_input_buffer()
            asked = self._now()
            read = dict(self._bus.sync_read(register, normalize=normalize, num_retry=0))
            if normalize and self._now() - asked > fresh:
                raise ConnectionError("answers took too long, and the arm has moved on")
            reader = self._bus.sync_reader
            if any(len(data) != reader.data_length for data in reader.data_dict.values()):
                raise ConnectionError("an answer was too short, which the SDK reads as 0")
            if self._now() < self._suspect_until:
                self._sleep(_SETTLE)
                if self._bus.port_handler.getBytesAvailable():
                    raise ConnectionError("answers came to more than was asked: some of them were late")
        except BaseException as error:  # LeRobot, its SDK and pyserial raise kinds of their own
            # LeRobot's SDK believes itself busy after an exception, for ever.
            self._bus.port_handler.is_using = False
            self._suspect_until = self._now() + _SUSPICION
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
        # The SDK takes answers in the order of its list, and stops at the first that does not come.
        answers = self._bus.sync_reader.data_dict
        missing = [joint for joint in spec.JOINTS if not answers.get(self._bus.motors[joint].id)]
        named = missing[:1] if 0 < len(missing) < len(spec.JOINTS) else list(spec.JOINTS)
        servos = ", ".join(f"{self._bus.motors[joint].id} ({joint})" for joint in named)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return ServoError(
            f"no answer: {reason}",
            field=f"servo{'s' if len(named) > 1 else ''} {servos}: {register}",
            cure="check the USB cable, the power supply and the plugs between the servos",
        )

    def _error(self, joint: str, register: str, message: str, cure: str) -> ServoError:
        return ServoError(message, field=f"servo {self._bus.motors[joint].id} ({joint}): {register}", cure=cure)
