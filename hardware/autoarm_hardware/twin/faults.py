"""What goes wrong on real buses, as settings: noise on the line, and incidents at set times."""

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
    """How often, of packets, the line mistreats one: each a probability.

    A packet meets at most one of the faults of answers.
    """

    lost: float = 0.0
    """Requests that no servo hears."""
    dropped: float = 0.0
    """Answers that do not arrive."""
    truncated: float = 0.0
    """Answers that end early."""
    corrupted: float = 0.0
    """Answers with one byte changed."""
    wrong_checksum: float = 0.0
    """Answers whose last byte alone is wrong."""
    late: float = 0.0
    """Answers that arrive `lateness` seconds late."""
    lateness: float = 0.2
    """Seconds; LeRobot waits for 50 ms and a little more."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            bound = math.inf if field.name == "lateness" else 1.0
            if not 0.0 <= value <= bound:
                raise InvalidInputError(f"{value} is not possible", field=field.name, cure=f"0 to {bound:g}")
        if sum(self.of_answers()) > 1.0:
            raise InvalidInputError("faults of answers add up to more than 1", field="noise", cure="lower them")

    def of_answers(self) -> tuple[float, ...]:
        """Probabilities of what can befall an answer, in the order above."""
        return self.dropped, self.truncated, self.corrupted, self.wrong_checksum, self.late


class NoiseMaker:
    """Mistreats packets at random; the same seed and name mistreat the same ones."""

    def __init__(self, noise: Noise, seed: int, name: str) -> None:
        self._noise = noise
        self._requests = stream(seed, name, "requests")
        self._answers = stream(seed, name, "answers")

    def loses_request(self) -> bool:
        """Whether the next request is lost."""
        return self._noise.lost > 0.0 and self._requests.random() < self._noise.lost

    def disturb(self, packet: bytes) -> list[tuple[bytes, float]]:
        """What arrives of an answer, with the seconds that it is late; nothing if it is dropped."""
        probabilities = self._noise.of_answers()
        if not any(probabilities):
            return [(packet, 0.0)]
        rng = self._answers
        # Three draws a packet whatever happens, so that raising one probability leaves the other packets alone.
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


class Kind(StrEnum):
    """What can happen to a servo, to a camera, or, with `UNPLUG`, to the whole arm."""

    SILENT = "silent"
    UNDERVOLTAGE = "undervoltage"
    OVERHEAT = "overheat"
    OVERLOAD = "overload"
    OVERCURRENT = "overcurrent"
    ENCODER = "encoder"
    UNPLUG = "unplug"
    FREEZE = "freeze"
    DIE = "die"


CONDITIONS: Final[dict[Kind, Condition]] = {
    Kind.UNDERVOLTAGE: Condition(voltage=3.5),
    Kind.OVERHEAT: Condition(temperature=75.0),
    Kind.OVERLOAD: Condition(complaint=Status.OVERLOAD),
    Kind.OVERCURRENT: Condition(complaint=Status.OVERCURRENT),
    Kind.ENCODER: Condition(complaint=Status.ENCODER),
}
"""What a servo meets in the incidents that it reports."""


def _victims(kind: Kind) -> tuple[str | None, ...]:
    """To whom something can happen."""
    match kind:
        case Kind.UNPLUG:
            return (None,)
        case Kind.FREEZE | Kind.DIE:
            return spec.CAMERAS
        case _:
            return spec.JOINTS


@dataclass(frozen=True)
class Incident:
    """Something that happens once.

    Attributes:
        kind: What.
        start: Seconds after the arm was switched on.
        victim: The joint of the servo, or the camera, to which it happens; nothing for `UNPLUG`.
            A frozen camera repeats its last picture, a dead one sends none.
        end: When it is over; an arm that was unplugged stays so.
    """

    kind: Kind
    start: float
    victim: str | None = None
    end: float = math.inf

    @classmethod
    def parse(cls, text: str) -> Incident:
        """Read `KIND[:WHO]@START[-END]`, such as `overheat:elbow_flex@5-8`, `freeze:top@3` or `unplug@20`."""
        what, _, when = text.partition("@")
        kind, _, victim = what.partition(":")
        start, _, end = when.partition("-")
        try:
            incident = cls(Kind(kind), float(start), victim or None, float(end) if end else math.inf)
        except ValueError:
            raise InvalidInputError(
                f"{text!r} is not an incident",
                field="incidents",
                cure=f"KIND:WHO@START or KIND:WHO@START-END, in seconds; KIND one of {', '.join(Kind)}",
            ) from None
        if incident.victim not in (victims := _victims(incident.kind)):
            raise InvalidInputError(
                f"{text!r} names nobody whom {incident.kind} can befall",
                field="incidents",
                cure=f"one of {', '.join(filter(None, victims))}" if any(victims) else "name nobody",
            )
        if not 0.0 <= incident.start < incident.end:
            raise InvalidInputError(f"{text!r} ends before it starts", field="incidents", cure="give END > START >= 0")
        return incident

    def is_on(self, now: float) -> bool:
        """Whether it is happening at `now`."""
        return self.start <= now < self.end
