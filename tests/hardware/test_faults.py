"""Noise that can be repeated, and incidents as people write them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from autoarm_hardware.twin import protocol
from autoarm_hardware.twin.bus import Bus
from autoarm_hardware.twin.faults import Incident, IncidentKind, Noise, NoiseMaker
from autoarm_hardware.twin.protocol import Packet, Parser
from autoarm_hardware.twin.servo import Servo
from gym_autoarm.errors import InvalidInputError

ANSWER = Packet(3, 0, b"\x18\x05").encode()
COUNT = 2000


def arrivals(noise: Noise, seed: int = 0) -> list[list[tuple[bytes, float]]]:
    maker = NoiseMaker(noise, seed, "arm")
    return [maker.disturb(ANSWER) for _ in range(COUNT)]


def test_no_noise_changes_nothing() -> None:
    assert arrivals(Noise()) == [[(ANSWER, 0.0)]] * COUNT
    assert not NoiseMaker(Noise(), 0, "arm").loses_request()


def test_seed_decides() -> None:
    noise = Noise(dropped=0.1, truncated=0.1, corrupted=0.1, wrong_checksum=0.1, late=0.1)
    assert arrivals(noise, 5) == arrivals(noise, 5)
    assert arrivals(noise, 5) != arrivals(noise, 6)


def test_faults_come_as_often_as_asked_and_look_as_named() -> None:
    noise = Noise(dropped=0.05, truncated=0.1, corrupted=0.15, wrong_checksum=0.2, late=0.1, lateness=0.3)
    found = {"dropped": 0, "truncated": 0, "corrupted": 0, "checksum": 0, "late": 0, "well": 0}
    for arrived in arrivals(noise):
        if not arrived:
            found["dropped"] += 1
            continue
        ((data, delay),) = arrived
        assert delay in (0.0, 0.3)
        if delay:
            assert data == ANSWER
            found["late"] += 1
        elif len(data) < len(ANSWER):
            assert ANSWER.startswith(data)
            assert data
            found["truncated"] += 1
        elif data == ANSWER:
            found["well"] += 1
        else:
            assert sum(a != b for a, b in zip(data, ANSWER, strict=True)) == 1
            assert Parser().feed(data) == []
            found["checksum" if data[:-1] == ANSWER[:-1] else "corrupted"] += 1
    # A corrupted byte is the checksum one time in eight.
    rates = {
        "dropped": 0.05,
        "truncated": 0.1,
        "corrupted": 0.15 * 7 / 8,
        "checksum": 0.2 + 0.15 / 8,
        "late": 0.1,
        "well": 0.4,
    }
    for kind, rate in rates.items():
        assert abs(found[kind] / COUNT - rate) < 4 * math.sqrt(rate * (1 - rate) / COUNT), kind


def test_lost_request_has_no_effect(joint: Any) -> None:
    bus = Bus([Servo(joint, 1)], noise=NoiseMaker(Noise(lost=1.0), 0, "arm"))
    assert bus.answer(protocol.write(1, 21, b"\x05"), 1_000_000) == []
    assert bus.servos[0]["P_Coefficient"] == 32


@pytest.mark.parametrize("bad", [{"lost": 1.1}, {"late": -0.1}, {"lateness": -1.0}, {"dropped": 0.6, "late": 0.6}])
def test_impossible_noise_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError):
        Noise(**bad)


def test_incidents_as_people_write_them() -> None:
    assert Incident.parse("overheat:elbow_flex@5-8.5") == Incident(IncidentKind.OVERHEAT, 5.0, "elbow_flex", 8.5)
    assert Incident.parse("freeze:top@3") == Incident(IncidentKind.FREEZE, 3.0, "top")
    assert Incident.parse("unplug@20") == Incident(IncidentKind.UNPLUG, 20.0)
    incident = Incident.parse("silent:gripper@1-2")
    assert [incident.is_on(moment) for moment in (0.9, 1.0, 1.9, 2.0)] == [False, True, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fire:gripper@1",
        "silent@1",
        "silent:thumb@1",
        "unplug:gripper@1",
        "silent:gripper@x",
        "unplug@3-2",
        "die:gripper@1",
    ],
)
def test_other_incidents_are_refused_with_a_cure(text: str) -> None:
    with pytest.raises(InvalidInputError, match="incidents") as caught:
        Incident.parse(text)
    assert caught.value.field == "incidents"
    assert caught.value.message.startswith(repr(text))
