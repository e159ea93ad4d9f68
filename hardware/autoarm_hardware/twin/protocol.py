"""Packets of the Feetech STS protocol ("protocol 0" in LeRobot).

Requests and answers share one frame, `FF FF id length code parameters checksum`: in a request the code is the
instruction, in an answer the servo's status. Numbers of two bytes go low byte first. Source: Feetech, "SMS/STS
communication protocol manual"; constants as in its SDK (scservo_sdk).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

HEADER: Final = b"\xff\xff"
BROADCAST_ID: Final = 0xFE
MAX_LENGTH: Final = 250
"""Bytes of the longest frame that Feetech's SDK sends or takes."""
MAX_PARAMETERS: Final = MAX_LENGTH - 6
"""Bytes of parameters in the longest frame."""


class Instruction(IntEnum):
    """What a request asks for."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    """A write that waits for ACTION."""
    ACTION = 0x05
    RESET = 0x06
    """Back to factory settings; newer SDKs call it recovery."""
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


class Status(IntFlag):
    """Errors of a servo: the code of its answers, and its register 65."""

    OK = 0
    VOLTAGE = 0x01
    ENCODER = 0x02
    OVERHEAT = 0x04
    OVERCURRENT = 0x08
    OVERLOAD = 0x20


@dataclass(frozen=True)
class Packet:
    """One request or answer.

    Attributes:
        id: The servo's id; `BROADCAST_ID` addresses all servos.
        code: An `Instruction`, or in an answer a `Status`.
        parameters: The parameters of the instruction, or the data of the answer.
    """

    id: int
    code: int
    parameters: bytes = b""

    def encode(self) -> bytes:
        """The bytes on the wire."""
        body = bytes((self.id, len(self.parameters) + 2, self.code)) + self.parameters
        return HEADER + body + bytes((checksum(body),))


def checksum(body: bytes) -> int:
    """The checksum of the bytes between header and checksum."""
    return ~sum(body) & 0xFF


def ping(servo: int) -> Packet:
    """The request whether a servo is there."""
    return Packet(servo, Instruction.PING)


def read(servo: int, address: int, length: int) -> Packet:
    """The request for `length` bytes from `address` on."""
    return Packet(servo, Instruction.READ, bytes((address, length)))


def write(servo: int, address: int, data: bytes) -> Packet:
    """The request to write `data` at `address`."""
    return Packet(servo, Instruction.WRITE, bytes((address,)) + data)


def reg_write(servo: int, address: int, data: bytes) -> Packet:
    """The request to write `data` at `address` at the next ACTION."""
    return Packet(servo, Instruction.REG_WRITE, bytes((address,)) + data)


def action(servo: int = BROADCAST_ID) -> Packet:
    """The request to carry out the writes of REG_WRITE."""
    return Packet(servo, Instruction.ACTION)


def reset(servo: int) -> Packet:
    """The request for factory settings."""
    return Packet(servo, Instruction.RESET)


def sync_read(servos: Sequence[int], address: int, length: int) -> Packet:
    """The request for the same registers of several servos, which answer one after the other."""
    return Packet(BROADCAST_ID, Instruction.SYNC_READ, bytes((address, length, *servos)))


def sync_write(values: Mapping[int, bytes], address: int) -> Packet:
    """The request to write data of one length, by id, at `address`; servos do not answer."""
    (length,) = {len(data) for data in values.values()}
    parameters = b"".join(bytes((servo,)) + data for servo, data in values.items())
    return Packet(BROADCAST_ID, Instruction.SYNC_WRITE, bytes((address, length)) + parameters)


class Parser:
    """Finds packets in a stream of bytes that may hold other bytes, too."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that are complete with `data`; the rest is kept for the next call."""
        self._pending += data
        packets = []
        while (packet := self._next()) is not None:
            packets.append(packet)
        return packets

    def clear(self) -> None:
        """Forget the beginning of a packet whose rest has not come."""
        self._pending.clear()

    @property
    def is_waiting(self) -> bool:
        """Whether the beginning of a packet has come, and not its end."""
        return bool(self._pending)

    def _next(self) -> Packet | None:
        pending = self._pending
        while (start := pending.find(HEADER)) >= 0:
            del pending[:start]
            if len(pending) < 4:
                return None
            servo, length = pending[2], pending[3]
            if servo <= BROADCAST_ID and 2 <= length <= MAX_PARAMETERS + 2:
                if len(pending) < length + 4:
                    return None
                body = bytes(pending[2 : length + 3])
                if checksum(body) == pending[length + 3]:
                    del pending[: length + 4]
                    return Packet(servo, body[2], body[3:])
            # Not a packet: the header that counts may begin at the next byte.
            del pending[0]
        # A last FF may be the first half of a header.
        del pending[: len(pending) - int(pending.endswith(b"\xff"))]
        return None
