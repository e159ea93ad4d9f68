"""The twin's bus without a terminal, on a simulated clock: LeRobot's driver and its SDK talk to it directly.

Only simulated time is waited for, so that results are the same on every machine, however busy it is.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final, Protocol

import serial  # type: ignore[import-untyped]

from autoarm_hardware.twin.bus import Reply
from autoarm_hardware.twin.protocol import Parser

_POLL: Final = 0.0005
"""Seconds that pass each time the SDK asks whether its timeout is over, which it does in a loop."""
_TURNAROUND: Final = 0.0002
"""Seconds from a request to its answers, USB included; LeRobot reaches about a thousand exchanges a second."""


class Listener(Protocol):
    """The other end of a line; see `autoarm_hardware.twin.bus.Bus`."""

    def answer(self, request: Any, baud_rate: int) -> Sequence[Reply]:
        """The replies to a request."""
        ...


class Requests(Protocol):
    """Finds requests in a stream of bytes; see `autoarm_hardware.twin.protocol.Parser`."""

    def feed(self, data: bytes) -> Sequence[Any]:
        """The requests that are complete with `data`."""
        ...


class VirtualLine:
    """A serial port with a bus at the other end, in simulated time: the `PortHandler` of Feetech's and Robotis' SDKs.

    Args:
        bus: Answers the requests.
        advance: Called with the seconds that pass, for the physics behind the servos.
        parser: Finds requests in the bytes that are sent; for Feetech's protocol if nothing is given.

    Attributes:
        is_plugged: Set to `False`, every use raises pyserial's exception.
        interrupt_in: Number of uses after which one is interrupted, as Ctrl-C may do anywhere.
        interrupt: What interrupts it: raises `KeyboardInterrupt` if nothing else is put here.
    """

    def __init__(
        self,
        bus: Listener,
        advance: Callable[[float], None] = lambda seconds: None,
        parser: Requests | None = None,
    ) -> None:
        self.bus = bus
        self.is_plugged = True
        self.interrupt_in: int | None = None
        self.interrupt: Callable[[], None] = _interrupt
        self.is_open = False
        self.is_using = False
        self.baudrate = 1_000_000
        self.tx_time_per_byte = 10_000 / self.baudrate
        self.ser = self
        self._advance = advance
        self._time = 0.0
        self._parser = parser or Parser()
        self._received = bytearray()
        self._due: list[tuple[float, int, bytes]] = []
        self._order = count()
        self._deadline = 0.0
        self._held_up_until, self._lag = 0.0, 0.0

    def hold_up(self, seconds: float, lag: float) -> None:
        """Delay all answers to requests of the next `seconds` by `lag` seconds, as a busy USB hub does."""
        self._held_up_until, self._lag = self._time + seconds, lag

    # -- A clock -----------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Simulated seconds since the line was made."""
        return self._time

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        seconds = max(0.0, seconds)
        self._time += seconds
        self._advance(seconds)
        while self._due and self._due[0][0] <= self._time:
            self._received += heapq.heappop(self._due)[2]

    # -- What the SDK and LeRobot call; the names are theirs ---------------------------------------------------------

    def openPort(self) -> bool:
        self._check()
        self.is_open = True
        return True

    def closePort(self) -> None:
        self.is_open = False

    def clearPort(self) -> None:
        self._check()

    def reset_input_buffer(self) -> None:
        """Throw away what has been received and not read."""
        self._check()
        self._received.clear()

    def getBytesAvailable(self) -> int:
        self._check()
        return len(self._received)

    def getBaudRate(self) -> int:
        return self.baudrate

    def setBaudRate(self, baudrate: int) -> bool:
        self.baudrate = baudrate
        return self.openPort()

    def readPort(self, length: int) -> bytes:
        self._check()
        data = bytes(self._received[:length])
        del self._received[:length]
        return data

    def writePort(self, packet: list[int]) -> int:
        self._check()
        for request in self._parser.feed(bytes(packet)):
            lag = self._lag if self._time < self._held_up_until else 0.0
            for reply in self.bus.answer(request, self.baudrate):
                due = self._time + _TURNAROUND + reply.delay + lag
                heapq.heappush(self._due, (due, next(self._order), reply.data))
        self.sleep(_TURNAROUND)
        return len(packet)

    def setPacketTimeout(self, packet_length: int) -> None:
        # 50 ms, as in LeRobot's driver.
        self._deadline = self._time + (self.tx_time_per_byte * (packet_length + 3) + 50) / 1000

    def setPacketTimeoutMillis(self, msec: float) -> None:
        self._deadline = self._time + msec / 1000

    def isPacketTimeout(self) -> bool:
        # Time passes until the next answer, or the deadline.
        upcoming = self._due[0][0] if self._due else self._deadline + _POLL
        self.sleep(max(_POLL, min(upcoming, self._deadline + _POLL) - self._time))
        return self._time > self._deadline

    # -- Inside ------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self.interrupt_in is not None:
            self.interrupt_in -= 1
            if self.interrupt_in == 0:
                self.interrupt_in = None
                self.interrupt()
        if not self.is_plugged:
            raise serial.SerialException("device disconnected")


def _interrupt() -> None:
    raise KeyboardInterrupt


def plug_in(bus: Any, line: VirtualLine) -> None:
    """Make a bus of LeRobot's, not connected yet, use a virtual line instead of its serial port."""
    bus.port_handler = line
    bus.sync_reader = type(bus.sync_reader)(line, bus.packet_handler, 0, 0)
    bus.sync_writer = type(bus.sync_writer)(line, bus.packet_handler, 0, 0)
