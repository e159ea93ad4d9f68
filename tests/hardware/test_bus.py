"""Who answers what on a line that servos share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autoarm_hardware.twin import protocol
from autoarm_hardware.twin.bus import Bus, Reply
from autoarm_hardware.twin.control_table import REGISTERS
from autoarm_hardware.twin.protocol import BROADCAST_ID, Packet, Parser
from autoarm_hardware.twin.servo import Condition, Servo

BAUD = 1_000_000
ID = REGISTERS["ID"].address
GOAL = REGISTERS["Goal_Position"].address
P = REGISTERS["P_Coefficient"].address


@pytest.fixture
def line(joint: Any) -> Callable[..., Bus]:
    def make(*ids: int, **options: Any) -> Bus:
        return Bus([Servo(joint, servo) for servo in ids], **options)

    return make


def heard(replies: list[Reply]) -> list[Packet]:
    return Parser().feed(b"".join(reply.data for reply in replies))


def test_ping_is_answered_by_who_was_called(line: Callable[..., Bus]) -> None:
    bus = line(1, 2, 3)
    assert heard(bus.answer(protocol.ping(2), BAUD)) == [Packet(2, 0)]
    assert bus.answer(protocol.ping(9), BAUD) == []
    assert [packet.id for packet in heard(bus.answer(protocol.ping(BROADCAST_ID), BAUD))] == [1, 2, 3]


def test_broadcast_writes_reach_everyone_and_nobody_answers(line: Callable[..., Bus]) -> None:
    bus = line(1, 2)
    assert bus.answer(protocol.write(BROADCAST_ID, P, b"\x15"), BAUD) == []
    assert [servo["P_Coefficient"] for servo in bus.servos] == [21, 21]
    assert bus.answer(protocol.read(BROADCAST_ID, P, 1), BAUD) == []


def test_sync_read_answers_in_the_order_asked(line: Callable[..., Bus]) -> None:
    bus = line(1, 2, 3)
    bus.servos[1]["P_Coefficient"] = 7
    answers = heard(bus.answer(protocol.sync_read([3, 2, 8], P, 1), BAUD))
    assert answers == [Packet(3, 0, b"\x20"), Packet(2, 0, b"\x07")]


def test_sync_write_sets_each_and_nobody_answers(line: Callable[..., Bus]) -> None:
    bus = line(1, 2)
    assert bus.answer(protocol.sync_write({1: b"\x10\x01", 2: b"\x20\x82", 5: b"\0\0"}, GOAL), BAUD) == []
    assert [servo["Goal_Position"] for servo in bus.servos] == [0x110, -0x220]


def test_reg_write_and_action(line: Callable[..., Bus]) -> None:
    bus = line(1, 2)
    for servo in (1, 2):
        assert heard(bus.answer(protocol.reg_write(servo, P, b"\x01"), BAUD)) == [Packet(servo, 0)]
    assert [servo["P_Coefficient"] for servo in bus.servos] == [32, 32]
    assert bus.answer(protocol.action(), BAUD) == []
    assert [servo["P_Coefficient"] for servo in bus.servos] == [1, 1]


def test_reset(line: Callable[..., Bus]) -> None:
    bus = line(4)
    bus.servos[0]["P_Coefficient"] = 1
    assert heard(bus.answer(protocol.reset(4), BAUD)) == [Packet(4, 0)]
    assert bus.servos[0]["P_Coefficient"] == 32


def test_quiet_servo_answers_reads_and_pings_only(line: Callable[..., Bus]) -> None:
    bus = line(1)
    bus.servos[0]["Response_Status_Level"] = 0
    assert bus.answer(protocol.write(1, P, b"\x09"), BAUD) == []
    assert heard(bus.answer(protocol.read(1, P, 1), BAUD)) == [Packet(1, 0, b"\x09")]
    assert heard(bus.answer(protocol.ping(1), BAUD)) == [Packet(1, 0)]


def test_new_id_holds_after_the_answer(line: Callable[..., Bus]) -> None:
    bus = line(1)
    assert heard(bus.answer(protocol.write(1, ID, b"\x06"), BAUD)) == [Packet(1, 0)]
    assert bus.answer(protocol.ping(1), BAUD) == []
    assert heard(bus.answer(protocol.ping(6), BAUD)) == [Packet(6, 0)]


def test_other_baud_rate_is_not_understood(line: Callable[..., Bus]) -> None:
    bus = line(1)
    assert bus.answer(protocol.ping(1), 500_000) == []
    assert heard(bus.answer(protocol.write(1, REGISTERS["Baud_Rate"].address, b"\x01"), BAUD)) == [Packet(1, 0)]
    assert bus.answer(protocol.ping(1), BAUD) == []
    assert heard(bus.answer(protocol.ping(1), 500_000)) == [Packet(1, 0)]


def test_status_is_in_every_answer(line: Callable[..., Bus]) -> None:
    bus = line(1)
    bus.servos[0].condition = Condition(voltage=3.0)
    assert heard(bus.answer(protocol.ping(1), BAUD)) == [Packet(1, 1)]


def test_two_servos_of_one_id_spoil_each_others_answers(line: Callable[..., Bus]) -> None:
    bus = line(1, 1)
    assert heard(bus.answer(protocol.ping(1), BAUD)) == [Packet(1, 0)]  # both say the same
    bus.servos[0]["P_Coefficient"], bus.servos[1]["P_Coefficient"] = 0x55, 0x2A
    assert heard(bus.answer(protocol.read(1, P, 1), BAUD)) == []


def test_silent_servo_neither_hears_nor_answers(line: Callable[..., Bus]) -> None:
    bus = line(1, 2)
    bus.silent.add(2)
    assert bus.answer(protocol.ping(2), BAUD) == []
    bus.answer(protocol.write(BROADCAST_ID, P, b"\x01"), BAUD)
    assert [servo["P_Coefficient"] for servo in bus.servos] == [1, 32]


@pytest.mark.parametrize(
    "request_", [Packet(1, 0x77, b"abc"), Packet(1, 2), Packet(1, 3, b"\x15"), Packet(BROADCAST_ID, 0x82, b"\x15")]
)
def test_what_makes_no_sense_is_ignored(line: Callable[..., Bus], request_: Packet) -> None:
    assert line(1).answer(request_, BAUD) == []


def test_pacing_takes_the_time_of_the_bytes_and_of_the_servos(line: Callable[..., Bus]) -> None:
    bus = line(1, 2, pacing=True)
    bus.servos[1]["Return_Delay_Time"] = 0
    replies = bus.answer(protocol.sync_read([1, 2], P, 2), BAUD)
    # Ten bits a byte: a request of 10 bytes, 250 * 2 us of the first servo, answers of 8 bytes.
    first = 10 * 10e-6 + 500e-6 + 8 * 10e-6
    assert [reply.delay for reply in replies] == pytest.approx([first, first + 8 * 10e-6])
    assert [reply.delay for reply in line(1).answer(protocol.ping(1), BAUD)] == [0.0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # a bus is made anew each time
@given(
    st.lists(
        st.builds(
            Packet,
            st.sampled_from([0, 1, 2, 3, BROADCAST_ID]),
            st.sampled_from([1, 2, 3, 4, 5, 6, 0x82, 0x83]) | st.integers(0, 255),
            st.binary(max_size=60),
        ),
        max_size=8,
    )
)
@example([Packet(1, 3, bytes(15))])  # a limit of 0 degrees, over which the servo complains from then on
def test_no_request_breaks_a_bus(line: Callable[..., Bus], requests: list[Packet]) -> None:
    bus = line(1, 2)
    for request in requests:
        ids = [servo.id for servo in bus.servos]  # as the request finds them: it may change one
        for reply in bus.answer(request, BAUD):
            (answer,) = Parser().feed(reply.data)
            assert answer.id in ids
            assert answer.code in {servo.status for servo, was in zip(bus.servos, ids, strict=True) if was == answer.id}


@pytest.mark.parametrize("length", [0, 1, 87, 244, 245, 255])
def test_reads_of_any_length(line: Callable[..., Bus], length: int) -> None:
    for request in (protocol.read(1, 0, length), protocol.sync_read([1], 0, length)):
        lengths = [len(answer.parameters) for answer in heard(line(1).answer(request, BAUD))]
        assert lengths == ([length] if length <= 244 else [])  # what a frame of 250 bytes holds
