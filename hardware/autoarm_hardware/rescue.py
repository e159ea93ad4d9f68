"""What `watchdog.py` runs: waits for a program that drives an arm to be killed; then holds, parks and releases the arm.

It is run as a file, so that being ready takes the servos' SDK alone; the planner is loaded afterwards.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

DISMISSED: Final = b"q"
"""What the program says before it lets go of its arm."""
_LOOK: Final = 0.02
"""Seconds between two looks whether the program is there."""
_FREE: Final = 0.3
"""Seconds within which a port must be free that the program had locked."""
_TRIES: Final = 5
"""How often servos are told something, or asked."""
_SPEED: Final = 120.0
"""Degrees a second on the way home: twice as quick as with a person there, who can hold the arm."""
_RATE: Final = 30.0
_BLOCKED: Final = 25.0
"""Degrees that a joint may be behind its goal: at this speed it is ten."""


class Register(NamedTuple):
    """A register's address and length, bytes."""

    address: int
    length: int


@dataclass(frozen=True)
class Orders:
    """What to do, and with which arm; lists have one entry for each joint.

    Attributes:
        parent: The program's process.
        port: The arm's port.
        baud_rate: Bits a second.
        ids: The servos' ids.
        zero: Ticks at 0 of the contract's units.
        scale: Ticks for each of them.
        goal: Where a servo's goal is.
        present: Where its position is.
        torque: Where its motor is switched.
        release: Whether motors are switched off in the end.
        home: Where the arm is parked, in the contract's units; `None` if it is not.
        height: Height of what stands on the table, metres.
    """

    parent: int
    port: str
    baud_rate: int
    ids: list[int]
    zero: list[float]
    scale: list[float]
    goal: Register
    present: Register
    torque: Register
    release: bool
    home: list[float] | None
    height: float

    @classmethod
    def parse(cls, text: str) -> Orders:
        """Orders from JSON."""
        fields = json.loads(text)
        return cls(**{**fields, **{name: Register(*fields[name]) for name in ("goal", "present", "torque")}})


class Arm:
    """The servos, by their SDK.

    Raises:
        OSError: If the port cannot be used, or is another program's.
    """

    def __init__(self, orders: Orders) -> None:
        import scservo_sdk as sdk  # type: ignore[import-untyped]

        self._sdk, self._orders = sdk, orders
        self._port = sdk.PortHandler(orders.port)
        self._packets = sdk.PacketHandler(0)
        self._port.baudrate = orders.baud_rate
        self._port.openPort()
        deadline = time.monotonic() + _FREE
        while True:
            try:
                fcntl.flock(self._port.ser.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK)
        self._port.ser.write_timeout = 0.1

    def read(self) -> list[int] | None:
        """Positions, ticks; `None` if a servo does not answer."""
        register = self._orders.present
        for _ in range(_TRIES):
            reader = self._sdk.GroupSyncRead(self._port, self._packets, *register)
            for servo in self._orders.ids:
                reader.addParam(servo)
            with suppress(Exception):  # the SDK stumbles over answers that are too short
                self._port.ser.reset_input_buffer()
                if reader.txRxPacket() == self._sdk.COMM_SUCCESS:
                    return [int(reader.getData(servo, *register)) for servo in self._orders.ids]
            self._port.is_using = False
        return None

    def write(self, register: Register, values: list[int]) -> None:
        """Write to all servos at once; they do not acknowledge that."""
        writer = self._sdk.GroupSyncWrite(self._port, self._packets, *register)
        for servo, value in zip(self._orders.ids, values, strict=True):
            writer.addParam(servo, list(int(value).to_bytes(register.length, "little")))
        with suppress(Exception):
            writer.txPacket()
        self._port.is_using = False

    def switch_off(self) -> None:
        """Switch all motors off."""
        for _ in range(_TRIES):
            self.write(self._orders.torque, [0] * len(self._orders.ids))


def main() -> None:
    """Wait for the program's end."""
    orders = Orders.parse(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the program ends first, and says so
    import scservo_sdk  # noqa: F401  # whatever takes long to load must be there when it is needed

    os.write(1, b"ready\n")
    threading.Thread(target=_load_planner, daemon=True).start()
    if _was_killed(orders.parent):
        rescue(orders)


def rescue(orders: Orders) -> None:
    """Hold an arm, park it, and release it, as ordered."""
    try:
        arm = Arm(orders)
    except OSError as error:
        print(f"The arm at {orders.port} may still be on: {error}", file=sys.stderr)
        return
    try:
        if (ticks := arm.read()) is not None:
            arm.write(orders.goal, ticks)
            if orders.home is not None:
                for goal in _way_home(orders, ticks, orders.home):
                    if not _follow(arm, orders, goal):
                        break
    finally:
        if orders.release:
            arm.switch_off()


def _was_killed(parent: int) -> bool:
    """Wait until the program lets go, or is gone; whether it is gone."""
    listens = True
    while os.getppid() == parent:
        if not listens:
            time.sleep(_LOOK)
        elif select.select([0], [], [], _LOOK)[0]:
            said = os.read(0, 1)
            if said == DISMISSED:
                return False
            listens = bool(said)
    return True


def _load_planner() -> None:
    import autoarm_hardware.planning  # noqa: F401  # takes a second, which an arm should not wait for


def _way_home(orders: Orders, ticks: list[int], home: list[float]) -> Iterator[list[int]]:
    """Goals on the way home, ticks, one for each step; none if there is no way."""
    import numpy as np

    from autoarm_hardware.links import Links
    from autoarm_hardware.planning import along, plan_way
    from gym_autoarm.errors import UnreachablePoseError

    zero, scale = np.array(orders.zero), np.array(orders.scale)
    try:
        way = plan_way((np.array(ticks) - zero) / scale, home, Links(orders.height))
    except UnreachablePoseError as error:
        print(f"The arm could not go home: {error}", file=sys.stderr)
        return
    for position in along(way, _SPEED / _RATE):
        yield np.rint(zero + scale * position).astype(int).tolist()


def _follow(arm: Arm, orders: Orders, goal: list[int]) -> bool:
    """Go towards a goal for a step; whether the arm is near enough to go on."""
    start = time.monotonic()
    arm.write(orders.goal, goal)
    time.sleep(max(0.0, 1 / _RATE - (time.monotonic() - start)))
    here: Any = arm.read()
    if here is None:
        return False
    behind = max(abs((wanted - found) / scale) for wanted, found, scale in zip(goal, here, orders.scale, strict=True))
    if behind > _BLOCKED:
        arm.write(orders.goal, here)
        return False
    return True


if __name__ == "__main__":
    main()
