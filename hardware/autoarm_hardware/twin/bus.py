"""Servos on one half-duplex line: a request in, answers out, without input and output or a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

from autoarm_hardware.twin.faults import NoiseMaker
from autoarm_hardware.twin.protocol import BROADCAST_ID, MAX_PARAMETERS, Instruction, Packet
from autoarm_hardware.twin.servo import Servo

_BITS: Final = 10
"""Bits of a byte on the line, with start and stop bit."""


@dataclass(frozen=True)
class Reply:
    """Bytes that the host receives together, `delay` seconds after the last byte of its request."""

    data: bytes
    delay: float = 0.0


class Bus:
    """Servos that share a line.

    Args:
        servos: The servos, in any order.
        noise: Damages and drops packets on the line; `None` for a perfect line.
        pacing: Whether bytes take the time that the baud rate gives them, and servos their Return_Delay_Time.
    """

    def __init__(self, servos: Sequence[Servo], *, noise: NoiseMaker | None = None, pacing: bool = False) -> None:
        self.servos = tuple(servos)
        self.silent: set[int] = set()
        """Ids of servos that neither receive nor answer."""
        self._noise = noise
        self._pacing = pacing

    def answer(self, request: Packet, baud_rate: int) -> list[Reply]:
        """Carry out `request`, sent at `baud_rate`, and return the replies, in order.

        A servo set to another baud rate receives nothing, and a request to an id that no servo has gets no answer.
        """
        if self._noise is not None and self._noise.loses_request():
            return []
        listeners = [servo for servo in self.servos if servo.baud_rate == baud_rate and servo.id not in self.silent]
        sent = len(request.encode()) * _BITS / baud_rate if self._pacing else 0.0
        replies = []
        for delay, answer in self._answers(request, listeners):
            if self._pacing:
                # One line: each waits until the one before has ended.
                sent += delay + len(answer) * _BITS / baud_rate
            arrived = [(answer, 0.0)] if self._noise is None else self._noise.disturb(answer)
            replies += [Reply(data, sent + late) for data, late in arrived]
        return replies

    def _answers(self, request: Packet, listeners: list[Servo]) -> list[tuple[float, bytes]]:
        parameters = request.parameters
        match request.code:
            case Instruction.SYNC_READ if len(parameters) > 2 and parameters[1] <= MAX_PARAMETERS:
                address, length, *ids = parameters
                named = [servo for wanted in ids for servo in listeners if servo.id == wanted]
                return _one_by_one(named, [servo.read(address, length) for servo in named])
            case Instruction.SYNC_WRITE if len(parameters) > 2:
                _sync_write(parameters, listeners)
                return []
            case Instruction.PING if request.id == BROADCAST_ID:
                named = sorted(listeners, key=lambda servo: servo.id)
                return _one_by_one(named, [b""] * len(named))
        addressed = [servo for servo in listeners if request.id in (servo.id, BROADCAST_ID)]
        answers = []
        for servo in addressed:
            silent = request.id == BROADCAST_ID or not servo.acknowledges
            match request.code:
                case Instruction.PING:
                    data, silent = b"", False
                case Instruction.READ if len(parameters) == 2 and parameters[1] <= MAX_PARAMETERS:
                    data, silent = servo.read(*parameters), request.id == BROADCAST_ID
                case Instruction.WRITE if len(parameters) > 1:
                    data = b""
                    servo.write(parameters[0], parameters[1:])
                case Instruction.REG_WRITE if len(parameters) > 1:
                    data = b""
                    servo.reg_write(parameters[0], parameters[1:])
                case Instruction.ACTION:
                    data = b""
                    servo.action()
                case Instruction.RESET:
                    data = b""
                    servo.reset()
                case _:
                    continue
            if not silent:
                # With the id of the request, even if the request has changed it.
                answers.append((servo.return_delay, Packet(request.id, servo.status, data).encode()))
        return [_collide(answers)] if answers else []


def _one_by_one(servos: list[Servo], data: list[bytes]) -> list[tuple[float, bytes]]:
    return [
        (servo.return_delay, Packet(servo.id, servo.status, read).encode())
        for servo, read in zip(servos, data, strict=True)
    ]


def _sync_write(parameters: bytes, listeners: list[Servo]) -> None:
    address, length = parameters[:2]
    for start in range(2, len(parameters) - length, length + 1):
        for servo in listeners:
            if servo.id == parameters[start]:
                servo.write(address, parameters[start + 1 : start + 1 + length])


def _collide(answers: list[tuple[float, bytes]]) -> tuple[float, bytes]:
    """The bytes received when servos of one id answer at once: a zero on the line wins."""
    delay = max(delay for delay, _ in answers)
    heard = reduce(lambda one, other: bytes(a & b for a, b in zip(one, other, strict=False)), [a for _, a in answers])
    return delay, heard
