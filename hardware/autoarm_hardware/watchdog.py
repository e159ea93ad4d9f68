"""A process beside the one that drives an arm: if that one is killed, it holds the arm, parks it, and releases it.

Signals that a program can handle stop the arm in that program (`signals`). SIGKILL, a library that crashes or a lack of
memory leaves motors on, at the last goal. `rescue.py` is what runs in the other process: it needs the servos' SDK, and
nothing of LeRobot's.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from autoarm_hardware import rescue
from autoarm_hardware.rescue import Orders, Register
from autoarm_hardware.servos import ServoError
from gym_autoarm import spec

_START: Final = 30.0
"""Seconds that the process may take to start; it takes less than one."""
_END: Final = 2.0
_SDK: Final = "scservo_sdk"


class Home(NamedTuple):
    """Where an arm is parked.

    Attributes:
        position: Joint positions `(6,)`, in the contract's units.
        height: Height of what stands on the table, metres; see `Links`.
    """

    position: tuple[float, ...]
    height: float


_watching: dict[Hashable, subprocess.Popen[bytes]] = {}


def watch(bus: Any, release: bool, home: Home | None = None) -> None:
    """Watch over an arm from now on, until `dismiss(bus)`. Returns once the process is ready.

    Only Feetech's servos on a real port are watched over: nothing else is known to `rescue.py`.

    Args:
        bus: LeRobot's bus, calibrated, its port open.
        release: Whether the motors are switched off in the end.
        home: Where the arm is to be parked before; nowhere by default.

    Raises:
        ServoError: If the process does not start.
    """
    if not type(bus.port_handler).__module__.startswith(_SDK) or sys.platform == "win32":
        return
    orders = json.dumps(asdict(_orders(bus, release, home)))
    process = subprocess.Popen(
        [sys.executable, rescue.__file__, orders],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # or Ctrl-C and a closed terminal would end it, too
    )
    assert process.stdout is not None
    _watching[bus] = process
    ready, _, _ = select.select([process.stdout], [], [], _START)
    if not (ready and process.stdout.readline()):
        dismiss(bus)
        raise ServoError(
            "the process that would stop a killed program's arm does not start",
            field="watchdog",
            cure="close other programs, and see whether memory is left",
        )


def dismiss(bus: Hashable) -> None:
    """Watch no longer. Safe to call twice."""
    process = _watching.pop(bus, None)
    if process is None:
        return
    with suppress(OSError, subprocess.TimeoutExpired):
        process.communicate(rescue.DISMISSED, timeout=_END)
    if process.poll() is None:
        process.kill()
        process.wait()


def _orders(bus: Any, release: bool, home: Home | None) -> Orders:
    servos = [bus.motors[joint] for joint in spec.JOINTS]
    table = bus.model_ctrl_table[servos[0].model]
    # Ticks are a linear function of the contract's units, which LeRobot's calibration knows.
    at = [bus._unnormalize({servo.id: value for servo in servos}) for value in (10.0, 60.0)]
    scale = [(at[1][servo.id] - at[0][servo.id]) / 50.0 for servo in servos]
    zero = [at[0][servo.id] - 10.0 * each for servo, each in zip(servos, scale, strict=True)]
    return Orders(
        parent=os.getpid(),
        port=bus.port,
        baud_rate=bus.port_handler.getBaudRate(),
        ids=[servo.id for servo in servos],
        zero=zero,
        scale=scale,
        goal=Register(*table["Goal_Position"]),
        present=Register(*table["Present_Position"]),
        torque=Register(*table["Torque_Enable"]),
        release=release,
        home=None if home is None else list(home.position),
        height=0.0 if home is None else home.height,
    )
