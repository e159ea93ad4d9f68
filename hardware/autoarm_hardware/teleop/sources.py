"""What drives the arm: a leader arm, a keyboard or a gamepad, each as goal positions at the control rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from autoarm_hardware.arm import connect_bus
from autoarm_hardware.port import disconnect_bus
from autoarm_hardware.safety import Guard
from autoarm_hardware.servos import ServoError
from autoarm_hardware.teleop.jog import FASTEST, Jog, Movement
from autoarm_hardware.teleop.keys import Event
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

Vector = NDArray[np.float64]
Kind = Literal["leader", "keyboard", "gamepad"]

_APPROACH: Final = 2.0
"""Degrees a step, and hundredths of the gripper's range, while the follower approaches the leader: 60 a second."""
_FASTEST: Final = 15.0
"""Degrees a step, and hundredths of the gripper's range, once it follows: faster than a hand turns a joint, and half of
the guard's limit."""
_MET: Final = 3.0
"""Degrees of distance at which the approach ends."""
_PATIENCE: Final = 10
"""Steps for which a leader need not answer; LeRobot waits for 50 ms in each."""


class Source(Protocol):
    """A source of goal positions."""

    help: str
    """How it is used, in a line."""
    is_ready: bool
    """Whether it controls the arm; a leader does not before the follower has reached it."""

    def connect(self) -> None:
        """Connect to the device. Raises `AutoArmError`."""
        ...

    def start(self, goal: Vector) -> None:
        """Begin from the goal positions `(6,)` that the arm has now."""
        ...

    def goal(self, pressed: Sequence[str]) -> Vector:
        """Goal positions `(6,)` of the next control step, given the keys pressed since the last one."""
        ...

    def events(self) -> list[Event]:
        """The events of its own buttons since the last call."""
        ...

    def close(self) -> None:
        """Disconnect. Safe to call twice."""
        ...


class Leader:
    """A leader arm, through LeRobot's driver of it.

    The follower first approaches the leader slowly enough to take a hand away, then follows it. If the leader cannot be
    read, the goal stays as it is, for `_PATIENCE` steps at most.

    Args:
        teleoperator: LeRobot's `SOLeader`, not connected.
    """

    help = "Move the leader; the follower comes to it slowly first."

    def __init__(self, teleoperator: Any) -> None:
        self._teleoperator = teleoperator
        self._reader: _Reader | None = None
        self._last: Vector = np.zeros(len(spec.JOINTS))
        self._missed = 0
        self.is_ready = False

    def connect(self) -> None:
        """Open its port, with its motors off. Raises what `arm.connect_bus` raises."""
        connect_bus(self._teleoperator)
        self._reader = _Reader(self._teleoperator.bus)

    def start(self, goal: Vector) -> None:
        """See `Source`."""
        self._last = np.array(goal, np.float64)
        self._missed = 0
        self.is_ready = False

    def goal(self, pressed: Sequence[str]) -> Vector:
        """See `Source`. Raises `ServoError` if the leader has not answered for `_PATIENCE` steps."""
        wanted = self._read()
        if wanted is not None:
            wanted = np.clip(wanted, spec.ACTION_LOW, spec.ACTION_HIGH)
            most = _FASTEST if self.is_ready else _APPROACH
            self._last = self._last + np.clip(wanted - self._last, -most, most)
            self.is_ready = self.is_ready or bool(np.abs(wanted - self._last).max() <= _MET)
        return self._last.copy()

    def events(self) -> list[Event]:
        """None: it has no buttons."""
        return []

    def close(self) -> None:
        """See `Source`."""
        disconnect_bus(self._teleoperator)

    def _read(self) -> Vector | None:
        assert self._reader is not None
        try:
            joints = self._reader.joints()
        except ServoError as error:
            self._missed += 1
            if self._missed < _PATIENCE:
                return None
            raise ServoError(error.message, field=f"leader: {error.field}", cure=error.cure) from error
        self._missed = 0
        return joints


class _Reader(Guard):
    """Reads a leader as carefully as a follower, but without limits on its joints."""

    def joints(self) -> Vector:
        """Joint positions `(6,)`. Raises `ServoError`."""
        read = self._read("Present_Position", normalize=True, tries=1)
        return np.array([read[joint] for joint in spec.JOINTS], np.float64)


_STEP: Final = 0.005
_TURN: Final = 3.0
_FINE: Final = 0.2
"""Share of the movement that a capital letter makes."""

KEYS: Final = {
    "i": Movement(x=_STEP),
    "k": Movement(x=-_STEP),
    "j": Movement(y=_STEP),
    "l": Movement(y=-_STEP),
    "u": Movement(z=_STEP),
    "m": Movement(z=-_STEP),
    "t": Movement(tilt=_TURN),
    "g": Movement(tilt=-_TURN),
    "v": Movement(roll=_TURN),
    "b": Movement(roll=-_TURN),
    "o": Movement(gripper=4.0),
    "p": Movement(gripper=-4.0),
}
"""The movement of each key: 5 mm, 3 degrees, or a 25th of the gripper's range. None of them is in `EVENTS`."""


class Keyboard:
    """The terminal's keys.

    A terminal reports that a key went down, not that it came up: each press is a step, and a key held down repeats it
    at the keyboard's rate. LeRobot's own keyboard teleoperators need both, through pynput, which is not used here; see
    `keys.TerminalKeys`.
    """

    help = (
        "i k: ahead, back; j l: left, right; u m: up, down; t g: tilt; v b: turn; o p: open, close the gripper; "
        "capitals: finer"
    )

    def __init__(self) -> None:
        self._jog = Jog()
        self.is_ready = True

    def connect(self) -> None:
        """The session has opened the terminal already."""

    def start(self, goal: Vector) -> None:
        """See `Source`."""
        self._jog.start(goal)

    def goal(self, pressed: Sequence[str]) -> Vector:
        """See `Source`."""
        for key in pressed:
            if (movement := KEYS.get(key.lower())) is not None:
                self._jog.move(_scaled(movement, 1.0 if key.islower() else _FINE))
        return self._jog.tick()

    def events(self) -> list[Event]:
        """None: the session reads the keys itself."""
        return []

    def close(self) -> None:
        """See `Source`."""


class Gamepad:
    """A gamepad, through LeRobot's teleoperator; the directional pad, which that does not read, tilts and turns.

    Args:
        teleoperator: LeRobot's `GamepadTeleop`, not connected.

    Raises:
        InvalidInputError: On `connect`, if pygame or a gamepad is missing.
    """

    help = (
        "Left stick: ahead, back, left, right; right stick: up, down; pad: tilt, turn; triggers: gripper; "
        "Y: start, success; A: failure; X: discard and repeat"
    )

    def __init__(self, teleoperator: Any) -> None:
        self._teleoperator = teleoperator
        self._jog = Jog()
        self.is_ready = True

    def connect(self) -> None:
        """See `Source`."""
        try:
            self._teleoperator.connect()
        except ImportError as error:
            raise InvalidInputError(
                "pygame is not installed, through which LeRobot reads gamepads",
                field="teleop",
                cure="pip install pygame",
            ) from error
        if not self._teleoperator.gamepad.running:
            self.close()
            raise InvalidInputError("there is no gamepad", field="teleop", cure="plug one in, and press a button")

    def start(self, goal: Vector) -> None:
        """See `Source`."""
        self._jog.start(goal)

    def goal(self, pressed: Sequence[str]) -> Vector:
        """See `Source`."""
        action = self._teleoperator.get_action()
        turn, tilt = self._pad()
        self._jog.move(
            Movement(
                x=FASTEST.x * float(action["delta_x"]),
                y=FASTEST.y * float(action["delta_y"]),
                z=FASTEST.z * float(action["delta_z"]),
                tilt=FASTEST.tilt * tilt,
                roll=-FASTEST.roll * turn,
                gripper=FASTEST.gripper * (int(action["gripper"]) - 1),  # LeRobot's: 0 closes, 1 stays, 2 opens
            )
        )
        return self._jog.tick()

    def events(self) -> list[Event]:
        """See `Source`."""
        from lerobot.teleoperators.utils import TeleopEvents

        said = self._teleoperator.get_teleop_events()
        if said[TeleopEvents.RERECORD_EPISODE]:
            return [Event.REPEAT]
        if said[TeleopEvents.SUCCESS]:
            return [Event.SUCCESS]
        return [Event.FAILURE] if said[TeleopEvents.TERMINATE_EPISODE] else []

    def close(self) -> None:
        """See `Source`."""
        self._teleoperator.disconnect()

    def _pad(self) -> tuple[float, float]:
        joystick = getattr(self._teleoperator.gamepad, "joystick", None)
        if joystick is None or not joystick.get_numhats():
            return 0.0, 0.0
        right, up = joystick.get_hat(0)
        return float(right), float(up)


def make_source(kind: Kind, leader: Any = None) -> Source:
    """A source, not connected; `leader` is LeRobot's driver of a leader arm.

    Raises:
        InvalidInputError: If `kind` is `leader` and none is given.
    """
    match kind:
        case "keyboard":
            return Keyboard()
        case "gamepad":
            from lerobot.teleoperators.gamepad import GamepadTeleop, GamepadTeleopConfig

            return Gamepad(GamepadTeleop(GamepadTeleopConfig(use_gripper=True)))
        case "leader":
            if leader is None:
                raise InvalidInputError(
                    "there is no leader", field="teleop", cure="name a robot's file with a section `leader` (--robot)"
                )
            return Leader(leader)


def _scaled(movement: Movement, factor: float) -> Movement:
    return Movement(*(factor * movement.array()))
