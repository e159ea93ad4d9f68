"""Packets against bytes written out by hand, Feetech's SDK, and noise."""

from __future__ import annotations

import pytest
import scservo_sdk
from hypothesis import given
from hypothesis import strategies as st

from autoarm_hardware.twin import protocol
from autoarm_hardware.twin.protocol import BROADCAST_ID, Packet, Parser

IDS = st.integers(0, BROADCAST_ID)
PACKETS = st.builds(Packet, IDS, st.integers(0, 255), st.binary(max_size=200))


@pytest.mark.parametrize(
    ("packet", "wire"),
    [
        # Worked out by hand from the layout: header, id, length, instruction, parameters, checksum.
        (protocol.ping(1), "FF FF 01 02 01 FB"),
        (Packet(1, 0), "FF FF 01 02 00 FC"),
        (protocol.read(1, 0x38, 2), "FF FF 01 04 02 38 02 BE"),
        (Packet(1, 0, b"\x18\x05"), "FF FF 01 04 00 18 05 DD"),
        (protocol.write(BROADCAST_ID, 5, b"\x01"), "FF FF FE 04 03 05 01 F4"),
        (
            protocol.write(1, 0x2A, bytes.fromhex("0008 0000 E803")),
            "FF FF 01 09 03 2A 00 08 00 00 E8 03 D5",
        ),
        (
            protocol.sync_write({servo: bytes.fromhex("0008 0000 E803") for servo in (1, 2, 3, 4)}, 0x2A),
            "FF FF FE 20 83 2A 06 01 00 08 00 00 E8 03 02 00 08 00 00 E8 03"
            " 03 00 08 00 00 E8 03 04 00 08 00 00 E8 03 58",
        ),
    ],
)
def test_bytes_are_as_worked_out_by_hand(packet: Packet, wire: str) -> None:
    assert packet.encode() == bytes.fromhex(wire)
    assert Parser().feed(bytes.fromhex(wire)) == [packet]


class RecordingPort:
    """What the SDK needs of a port, to see what it sends."""

    is_using = False

    def __init__(self) -> None:
        self.sent = b""

    def clearPort(self) -> None:
        pass

    def writePort(self, packet: list[int]) -> int:
        self.sent = bytes(packet)
        return len(packet)

    def setPacketTimeout(self, length: int) -> None:
        pass


@given(st.integers(0, BROADCAST_ID - 2), st.integers(0, 80), st.binary(min_size=1, max_size=6))
def test_bytes_are_those_of_the_sdk(servo: int, address: int, data: bytes) -> None:
    port, sdk = RecordingPort(), scservo_sdk.PacketHandler(0)
    sdk.readTx(port, servo, address, len(data))
    assert port.sent == protocol.read(servo, address, len(data)).encode()
    port.is_using = False
    sdk.writeTxOnly(port, servo, address, len(data), list(data))
    assert port.sent == protocol.write(servo, address, data).encode()
    port.is_using = False
    sdk.regWriteTxOnly(port, servo, address, len(data), list(data))
    assert port.sent == protocol.reg_write(servo, address, data).encode()
    port.is_using = False
    sdk.syncReadTx(port, address, len(data), [servo, 3], 2)
    assert port.sent == protocol.sync_read([servo, 3], address, len(data)).encode()
    port.is_using = False
    sdk.syncWriteTxOnly(port, address, len(data), [servo, *data], len(data) + 1)
    assert port.sent == protocol.sync_write({servo: data}, address).encode()
    port.is_using = False
    sdk.action(port, BROADCAST_ID)
    assert port.sent == protocol.action().encode()


@given(st.lists(PACKETS, max_size=4), st.integers(1, 30))
def test_packets_come_back_however_the_stream_is_cut(packets: list[Packet], size: int) -> None:
    stream = b"".join(packet.encode() for packet in packets)
    parser = Parser()
    found = [packet for start in range(0, len(stream), size) for packet in parser.feed(stream[start : start + size])]
    assert found == packets
    assert not parser.is_waiting


@given(st.binary(max_size=60).filter(lambda noise: protocol.HEADER not in noise), PACKETS)
def test_packet_is_found_after_noise(noise: bytes, packet: Packet) -> None:
    assert Parser().feed(noise + packet.encode()) == [packet]


@given(PACKETS, st.data())
def test_damaged_packet_is_not_taken_and_the_next_one_is(packet: Packet, data: st.DataObject) -> None:
    wire = bytearray(packet.encode())
    wire[data.draw(st.integers(4, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    parser = Parser()
    assert packet not in parser.feed(bytes(wire))
    parser.clear()
    assert parser.feed(packet.encode()) == [packet]


@given(st.binary(max_size=600))
def test_any_bytes_are_survived(data: bytes) -> None:
    parser = Parser()
    parser.feed(data)
    # 300 zeros end whatever packet seemed to have begun.
    parser.feed(bytes(300))
    assert parser.feed(protocol.ping(3).encode()) == [protocol.ping(3)]


def test_sync_write_wants_data_of_one_length() -> None:
    with pytest.raises(ValueError, match="too many values"):
        protocol.sync_write({1: b"a", 2: b"bc"}, 42)
