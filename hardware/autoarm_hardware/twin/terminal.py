"""A pseudo-terminal that looks like the USB adapter of a servo bus."""

from __future__ import annotations

import fcntl
import heapq
import os
import struct
import sys
import termios
import tty
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from autoarm_hardware.twin.bus import Bus
from autoarm_hardware.twin.protocol import Parser

_TIMEOUT: Final = 0.05
"""Seconds after which the beginning of a packet is dropped."""
_CHUNK: Final = 4096
# Linux tells a terminal's speed as a number in `struct termios2`, which Python's termios module does not know.
_TCGETS2: Final = 0x802C542A
_TERMIOS2: Final = struct.Struct("@4I20B2I")


class Terminal:
    """One bus behind a pseudo-terminal; `link` leads to it while it exists.

    The baud rate is the one that the host sets; servos set to another one receive nothing.
    """

    def __init__(self, bus: Bus, link: Path) -> None:
        self.bus = bus
        self.link = link
        self.is_plugged = True
        self._parser = Parser()
        self._heard = 0.0
        self._due: list[tuple[float, int, bytes]] = []
        self._order = count()
        # Both ends stay open: without any user, reading from the host's end would fail.
        self._host, self._device = os.openpty()
        tty.setraw(self._device)
        os.set_blocking(self._host, False)
        link.symlink_to(os.ttyname(self._device))

    def fileno(self) -> int:
        return self._host

    def receive(self, now: float) -> None:
        """Take what the host has sent, let the servos act on it, and send the answers that are due."""
        try:
            data = os.read(self._host, _CHUNK)
        except BlockingIOError:
            return
        if self._parser.is_waiting and now - self._heard > _TIMEOUT:
            self._parser.clear()
        self._heard = now
        for request in self._parser.feed(data):
            for reply in self.bus.answer(request, self._baud_rate()):
                heapq.heappush(self._due, (now + reply.delay, next(self._order), reply.data))
        self.send(now)

    def send(self, now: float) -> None:
        """Send the answers that are due."""
        while self._due and self._due[0][0] <= now:
            _, _, data = heapq.heappop(self._due)
            # If the host does not read, bytes are lost, as on a real line.
            with suppress(BlockingIOError):
                os.write(self._host, data)

    @property
    def next_due(self) -> float | None:
        """When the next answer is to be sent."""
        return self._due[0][0] if self._due else None

    def unplug(self) -> None:
        """Remove the device, as pulling the cable does: programs that use it get an error from the system."""
        if self.is_plugged:
            self.is_plugged = False
            self.link.unlink(missing_ok=True)
            os.close(self._device)
            os.close(self._host)

    def _baud_rate(self) -> int:
        if sys.platform == "linux":
            fields = _TERMIOS2.unpack(fcntl.ioctl(self._device, _TCGETS2, bytes(_TERMIOS2.size)))
            return int(fields[-1])
        return int(termios.tcgetattr(self._device)[5])
