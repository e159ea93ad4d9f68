"""Faults of real buses, as settings: noise on the line, and incidents at given times."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from autoarm_hardware.twin.protocol import Status
from autoarm_hardware.twin.servo import Condition
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream


@dataclass(frozen=True)
class Noise:
    """Probabilities with which the line loses or damages a packet.

    At most one fault happens to an answer.
    """

    lost: float = 0.0
    """Share of requests that no servo receives."""
    dropped: float = 0.0
    """Share of answers that do not arrive."""
    truncated: float = 0.0
    """Share of answers that end early."""
    corrupted: float = 0.0
    """Share of answers with one byte changed."""
    wrong_checksum: float = 0.0
    """Share of answers with a wrong checksum."""
    late: float = 0.0
    """Share of answers that arrive `lateness` seconds late."""
    lateness: float = 0.2
    """How late a late answer is, seconds; LeRobot waits a little more than 50 ms."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            bound = math.inf if field.name == "lateness" else 1.0
            if not 0.0 <= value <= bound:
                raise InvalidInputError(f"{value} is not possible", field=field.name, cure=f"0 to {bound:g}")
        if sum(self.of_answers()) > 1.0:
            raise InvalidInputError("faults of answers add up to more than 1", field="noise", cure="lower them")

    def of_answers(self) -> tuple[float, ...]:
        """The probabilities of the faults of answers, in the order above."""
        return self.dropped, self.truncated, self.corrupted, self.wrong_checksum, self.late


class NoiseMaker:
    """Drops and damages packets at random; the same seed and name choose the same packets."""

    def __init__(self, noise: Noise, seed: int, name: str) -> None:
        self._noise = noise
        self._requests = stream(seed, name, "requests")
        self._answers = stream(seed, name, "answers")

    def loses_request(self) -> bool:
        """Whether the next request is lost."""
        return self._noise.lost > 0.0 and self._requests.random() < self._noise.lost

    def disturb(self, packet: bytes) -> list[tuple[bytes, float]]:
        """What arrives of an answer, with the seconds by which it is late; an empty list if it is dropped."""
        probabilities = self._noise.of_answers()
        if not any(probabilities):
            return [(packet, 0.0)]
        rng = self._answers
        # Always three draws a packet, so that raising one probability does not change the other packets.
        chance, where, change = rng.random(), rng.random(), int(rng.integers(1, 256))
        edges = [sum(probabilities[: count + 1]) for count in range(len(probabilities))]
        match next((kind for kind, edge in enumerate(edges) if chance < edge), None):
            case 0:
                return []
            case 1:
                return [(packet[: 1 + int(where * (len(packet) - 1))], 0.0)]
            case 2:
                return [(_changed(packet, int(where * len(packet)), change), 0.0)]
            case 3:
                return [(_changed(packet, len(packet) - 1, change), 0.0)]
            case 4:
                return [(packet, self._noise.lateness)]
        return [(packet, 0.0)]


def _changed(packet: bytes, place: int, change: int) -> bytes:
    out = bytearray(packet)
    out[place] ^= change
    return bytes(out)


class IncidentKind(StrEnum):
    """What can happen to a servo, to a camera (`FREEZE`, `DIE`), or to the whole arm (`UNPLUG`)."""

    SILENT = "silent"
    UNDERVOLTAGE = "undervoltage"
    OVERHEAT = "overheat"
    OVERLOAD = "overload"
    OVERCURRENT = "overcurrent"
    ENCODER = "encoder"
    UNPLUG = "unplug"
    FREEZE = "freeze"
    DIE = "die"


CONDITIONS: Final[dict[IncidentKind, Condition]] = {
    IncidentKind.UNDERVOLTAGE: Condition(voltage=3.5),
    IncidentKind.OVERHEAT: Condition(temperature=75.0),
    IncidentKind.OVERLOAD: Condition(error=Status.OVERLOAD),
    IncidentKind.OVERCURRENT: Condition(error=Status.OVERCURRENT),
    IncidentKind.ENCODER: Condition(error=Status.ENCODER),
}
"""The surroundings of a servo in the incidents that it reports."""


def _targets(kind: IncidentKind) -> tuple[str | None, ...]:
    """The joints or cameras to which a kind of incident can happen; `None` for the whole arm."""
    match kind:
        case IncidentKind.UNPLUG:
            return (None,)
        case IncidentKind.FREEZE | IncidentKind.DIE:
            return spec.CAMERAS
        case _:
            return spec.JOINTS


@dataclass(frozen=True)
class Incident:
    """A fault that begins and ends at given times.

    Attributes:
        kind: The kind of fault. A frozen camera repeats its last picture, a dead one sends none.
        start: Seconds after the arm was switched on.
        target: The servo's joint, or the camera, to which it happens; `None` for `UNPLUG`.
        end: Seconds after which it is over; an arm that was unplugged stays unplugged.
    """

    kind: IncidentKind
    start: float
    target: str | None = None
    end: float = math.inf

    @classmethod
    def parse(cls, text: str) -> Incident:
        """Read `KIND[:TARGET]@START[-END]`, such as `overheat:elbow_flex@5-8`, `freeze:top@3` or `unplug@20`."""
        what, _, when = text.partition("@")
        kind, _, target = what.partition(":")
        start, _, end = when.partition("-")
        try:
            incident = cls(IncidentKind(kind), float(start), target or None, float(end) if end else math.inf)
        except ValueError:
            raise InvalidInputError(
                f"{text!r} is not an incident",
                field="incidents",
                cure=f"KIND:TARGET@START or KIND:TARGET@START-END, in seconds; KIND one of {', '.join(IncidentKind)}",
            ) from None
        if incident.target not in (targets := _targets(incident.kind)):
            raise InvalidInputError(
                f"{text!r} names nothing that {incident.kind} can happen to",
                field="incidents",
                cure=f"one of {', '.join(filter(None, targets))}" if any(targets) else "name no joint or camera",
            )
        if not 0.0 <= incident.start < incident.end:
            raise InvalidInputError(f"{text!r} ends before it starts", field="incidents", cure="give END > START >= 0")
        return incident

    def is_on(self, now: float) -> bool:
        """Whether it is going on at `now`, seconds."""
        return self.start <= now < self.end
