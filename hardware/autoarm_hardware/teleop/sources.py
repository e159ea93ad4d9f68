"""Who drives: a leader arm, a keyboard or a gamepad, each as goal positions at the control rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from autoarm_hardware.arm import connect_bus, disconnect_bus
from autoarm_hardware.safety import Guard
from autoarm_hardware.servos import ServoError
from autoarm_hardware.teleop.jog import FASTEST, Jog, Movement
from autoarm_hardware.teleop.keys import Event
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

Vector = NDArray[np.float64]
Kind = Literal["leader", "keyboard", "gamepad"]

_APPROACH: Final = 2.0
"""Degrees a step, and hundredths of the gripper's range, on the way to where the leader is: 60 a second."""
_FASTEST: Final = 15.0
"""Likewise once it follows: faster than a hand turns a joint, and half of what the guard lets pass."""
_MET: Final = 3.0
"""Degrees within which the follower has met the leader."""
_PATIENCE: Final = 10
"""Steps for which a leader need not answer; LeRobot waits for 50 ms in each."""


class Source(Protocol):
    """Who drives the arm."""

    help: str
    """How, in a line."""
    is_ready: bool
    """Whether it has the arm in hand. Until then it leads it to where it can."""

    def connect(self) -> None:
        """Make sure that it is there. Raises `AutoArmError`."""
        ...

    def start(self, goal: Vector) -> None:
        """Take over an arm that has goal positions `(6,)`."""
        ...

    def goal(self, pressed: Sequence[str]) -> Vector:
        """Goal positions `(6,)` of the next control step, given the keys that were pressed since the last."""
        ...

    def events(self) -> list[Event]:
        """What its own buttons say about the episode, since they were last asked."""
        ...

    def close(self) -> None:
        """Let go of it. Safe to call twice."""
        ...


class Leader:
    """A leader arm, through LeRobot's driver of it.

    The follower goes to where the leader is at a speed that leaves time to take a hand away, and follows it from then
    on. Where the leader cannot be read, the goal stays as it is, for a while.

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
        """Open its port, and leave it limp. Raises what `arm.connect_bus` raises."""
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
        """It has no buttons."""
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
    """Reads a leader with the care that a follower is read with; how far it may be turned is nobody's business."""

    def joints(self) -> Vector:
        """Where they are, `(6,)`. Raises `ServoError`."""
        read = self._read("Present_Position", normalize=True, tries=1)
        return np.array([read[joint] for joint in spec.JOINTS], np.float64)


_STEP: Final = 0.005
_TURN: Final = 3.0
_FINE: Final = 0.2
"""What of a movement is left with a capital letter."""

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
"""What a key press moves: 5 mm, 3 degrees, or a 25th of the gripper's range. None means anything to an episode."""


class Keyboard:
    """The terminal's keys.

    A terminal tells that a key went down, not that it came up: each press is a step, and a key held down repeats it as
    often as the keyboard says. LeRobot's own keyboard teleoperators want to know of both, which pynput tells them on a
    desktop; see `keys.TerminalKeys` for why not here.
    """

    help = (
        "i k: ahead, back; j l: left, right; u m: up, down; t g: tilt; v b: turn; o p: open, close the gripper; "
        "capitals: finer"
    )

    def __init__(self) -> None:
        self._jog = Jog()
        self.is_ready = True

    def connect(self) -> None:
        """Whoever made the keys knows that they are there."""

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
        """Its keys are those of the session."""
        return []

    def close(self) -> None:
        """See `Source`."""


class Gamepad:
    """A gamepad, through LeRobot's teleoperator of it; the directional pad tilts and turns, which LeRobot leaves out.

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
            return [Event.AGAIN]
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
    """A source, not connected; `leader` is LeRobot's driver of one.

    Raises:
        InvalidInputError: If no leader is given where one is needed.
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
