"""A servo on a bench, for tests of what one servo does, and a twin that serves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from scservo_sdk import PortHandler

from autoarm_hardware import signals
from autoarm_hardware.twin.device import Settings, Twin
from autoarm_hardware.twin.servo import Drive, Motion, Servo

LEAST_WAIT = 1000.0
"""How long Feetech's SDK waits for an answer at least, in milliseconds."""


@pytest.fixture(autouse=True)
def _patient_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feetech's SDK waits longer than the 50 ms that LeRobot tells it to: a busy machine may take them all."""

    def is_packet_timeout(port: PortHandler) -> bool:
        return bool(port.getTimeSinceStart() > max(port.packet_timeout, LEAST_WAIT))

    monkeypatch.setattr(PortHandler, "isPacketTimeout", is_packet_timeout)


@pytest.hookimpl(tryfirst=True)  # before tests are selected by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what uses `running`, below: a neighbour that takes the processor would make its arms stand still."""
    for item in items:
        if "running" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_time)


class BenchJoint:
    """A joint whose motion the test sets, and that remembers how it was driven last."""

    def __init__(self) -> None:
        self.now = Motion(2000.0)
        self.driven = Drive(powered=False)

    def motion(self) -> Motion:
        return self.now

    def drive(self, drive: Drive) -> None:
        self.driven = drive


@pytest.fixture
def joint() -> BenchJoint:
    return BenchJoint()


@pytest.fixture
def servo(joint: BenchJoint) -> Servo:
    return Servo(joint, 1)


@pytest.fixture
def running(tmp_path: Path) -> Callable[..., AbstractContextManager[Twin]]:
    """Makes a context manager, given a twin's settings: a twin in `tmp_path/twin` that serves from a thread."""

    @contextmanager
    def run(**settings: Any) -> Iterator[Twin]:
        stop = threading.Event()
        with Twin(tmp_path / "twin", Settings(**settings)) as twin:
            server = threading.Thread(target=twin.serve, args=(stop,))
            server.start()
            try:
                yield twin
            finally:
                stop.set()
                server.join()

    return run


@pytest.fixture(autouse=True)
def _no_arm_stays_connected() -> Iterator[None]:
    """Tests leave arms connected that nothing holds any more, and with them the handlers of signals."""
    yield
    for arm in list(signals._HANDLING.arms):
        signals.disconnected(arm)
