"""The port of an arm's bus: opened, locked and closed; and switching motors off, which needs no answer."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from autoarm_hardware import signals, watchdog
from autoarm_hardware.servos import first_line
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

_WRITE_TIME: Final = 0.1
"""Seconds after which a write to a port is given up: a packet takes less than a millisecond, and without a limit an
adapter that hangs would keep the arm from being stopped."""
_RELEASES: Final = 5
"""How often motors are told to switch off: servos do not acknowledge that, and a packet may be lost."""
_SDKS: Final = ("scservo_sdk", "dynamixel_sdk")
"""The SDKs that open serial ports; a test's port, which is no file, comes from elsewhere."""


def open_bus(bus: Any, release: bool) -> None:
    """Open and lock the port of a bus of LeRobot's, and handle signals from now on. `disconnect_bus` ends both.

    Args:
        bus: The bus, not connected.
        release: Whether the motors are switched off if the program ends before `disconnect_bus`.

    Raises:
        InvalidInputError: If the port cannot be used.
    """
    if type(bus.port_handler).__module__.startswith(_SDKS):
        check_port(bus.port)
    signals.connected(bus, partial(switch_off, bus) if release else lambda: None)
    _open(bus)
    _lock(bus)


def switch_off(bus: Any) -> None:
    """Switch the motors of an open bus off, in whatever state it is. Does not raise if servos do not answer."""
    for _ in range(_RELEASES):
        # After an exchange that was interrupted, the SDK's port stays marked as in use.
        bus.port_handler.is_using = False
        with suppress(Exception):  # LeRobot, its SDK and pyserial raise kinds of their own
            # One packet for all servos: writing to each would wait for the answer of a silent one.
            bus.sync_write("Torque_Enable", dict.fromkeys(spec.JOINTS, 0), normalize=False)


def disconnect_bus(robot: Any) -> None:
    """Close the port and leave the motors as they are. Safe to call twice, or after the port is gone."""
    watchdog.dismiss(robot.bus)
    try:
        robot.bus.port_handler.is_using = False
        if robot.bus.is_connected:
            robot.bus.port_handler.closePort()
    except Exception:
        # The device is gone, and so is the connection; LeRobot asks this flag.
        robot.bus.port_handler.is_open = False
    signals.disconnected(robot.bus)


def check_port(port: str) -> None:
    """Raise `InvalidInputError` unless a port exists, may be used, and is used by no other program."""

    def error(message: str, cure: str) -> InvalidInputError:
        return InvalidInputError(message, field=f"port {port}", cure=cure)

    try:
        mode = os.stat(port).st_mode
    except FileNotFoundError:
        raise error("there is no such port", "plug the arm in, and find its port with lerobot-find-port") from None
    except OSError as problem:
        raise error(f"cannot be used: {problem.strerror}", "find the port with lerobot-find-port") from problem
    if not stat.S_ISCHR(mode):
        raise error("is no serial port", "find the port with lerobot-find-port")
    if not os.access(port, os.R_OK | os.W_OK):
        raise error("no permission", "join the group that owns it: sudo usermod -aG dialout $USER, then log in again")
    user = _user_of(port)
    if user is not None:
        raise error(f"is busy: {user} uses it", "stop that program")


# -- Inside ----------------------------------------------------------------------------------------------------------


def _open(bus: Any) -> None:
    try:
        bus.connect(handshake=False)
    except Exception as error:  # LeRobot's, pyserial's and the system's
        reason = error.__cause__ or error
        raise InvalidInputError(
            f"cannot be opened: {first_line(reason)}",
            field=f"port {bus.port}",
            cure="stop other programs that use it, or find the port with lerobot-find-port",
        ) from error
    bus.port_handler.ser.write_timeout = _WRITE_TIME


def _lock(bus: Any) -> None:
    """Lock the port, as pyserial's `exclusive` does: two programs on one line would take each other's answers."""
    descriptor = getattr(bus.port_handler.ser, "fileno", None)
    if descriptor is None:
        return
    try:
        fcntl.flock(descriptor(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InvalidInputError(
            "is busy: another program has locked it", field=f"port {bus.port}", cure="stop that program"
        ) from error


def _user_of(port: str) -> str | None:
    """Name and process id of another program that has a port open, on Linux; `None` if there is none."""
    device = os.path.realpath(port)
    if not sys.platform.startswith("linux"):
        return None
    for folder in Path("/proc").glob("[0-9]*/fd"):
        process = folder.parent
        if int(process.name) == os.getpid():
            continue
        try:
            open_files = {os.readlink(descriptor) for descriptor in folder.iterdir()}
            # The program that made a pseudo-terminal has its other end open: it is the twin, not another user.
            if device in open_files and not open_files & {"/dev/ptmx", "/dev/pts/ptmx"}:
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue  # not ours to look into, or gone meanwhile
    return None
