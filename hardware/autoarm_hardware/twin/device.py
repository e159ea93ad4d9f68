"""The whole twin in real time: follower and leader behind serial ports, and cameras."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Final, Self

from autoarm_hardware.twin.body import Body
from autoarm_hardware.twin.bus import Bus
from autoarm_hardware.twin.calibration import (
    Calibration,
    Encoders,
    follower_calibration,
    leader_calibration,
    write_calibration,
)
from autoarm_hardware.twin.cameras import Cameras, camera_argument
from autoarm_hardware.twin.faults import CONDITIONS, Incident, IncidentKind, Noise, NoiseMaker
from autoarm_hardware.twin.folder import TwinFolder
from autoarm_hardware.twin.hand import Hand, rest
from autoarm_hardware.twin.servo import Condition, Servo
from autoarm_hardware.twin.table import TableServer
from autoarm_hardware.twin.terminal import Terminal
from gym_autoarm import spec
from gym_autoarm.body_files import body_name
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.model import TIMESTEP
from gym_autoarm.scene import Scene

_TICK: Final = 0.01
"""Seconds between two updates of the physics when no request comes."""
_LONGEST_GAP: Final = 0.25
"""Most seconds that are caught up with after the process was held up; the twin skips the rest."""
_SLICE: Final = 0.02
"""Seconds of catching up after which requests are answered: on a machine that is too slow for both, physics is late and
answers are not, for which LeRobot waits 50 ms at most."""


@dataclass(frozen=True)
class Settings:
    """How a twin behaves.

    Attributes:
        scene: The table in front of the follower, and both arms' body and start.
        follower_hand: The hand that moves the follower while its motors are off; `None` for no hand.
        leader_hand: The hand that moves the leader.
        speed: Simulated seconds per second of real time.
        pacing: Whether bytes take as long as the baud rate says.
        noise: How often the lines drop or damage packets.
        incidents: Faults of the follower and of the cameras, with their times.
        seed: Seed of the noise.
        calibrated: Whether the servos hold a calibration, as those of an arm in use do.
        image_size: Height and width of the cameras' frames; `None` for no cameras.
    """

    scene: Scene = field(default_factory=Scene)
    follower_hand: Hand | None = None
    leader_hand: Hand = rest
    speed: float = 1.0
    pacing: bool = False
    noise: Noise = field(default_factory=Noise)
    incidents: tuple[Incident, ...] = ()
    seed: int = 0
    calibrated: bool = True
    image_size: tuple[int, int] | None = spec.IMAGE_SIZE

    def __post_init__(self) -> None:
        if not 0.0 < self.speed <= 20.0:
            raise InvalidInputError(f"{self.speed} is not possible", field="speed", cure="above 0, at most 20")


class Arm:
    """One arm: body, servos, bus.

    Args:
        name: `follower` or `leader`; also names its stream of noise.
        settings: Its scene, noise, seed and pacing are used.
        calibration: The calibration that fits the arm.
        mover: The hand that moves it while its motors are off; `None` for no hand.
    """

    def __init__(self, name: str, settings: Settings, calibration: Calibration, mover: Hand | None = None) -> None:
        self.name = name
        self.calibration = calibration
        self.body = Body(settings.scene, Encoders.mounted(calibration), mover)
        self.servos = tuple(Servo(joint, index + 1) for index, joint in enumerate(self.body.joints))
        self.body.firmware = self._run_firmware
        self.bus = Bus(self.servos, noise=NoiseMaker(settings.noise, settings.seed, name), pacing=settings.pacing)

    def _run_firmware(self, seconds: float) -> None:
        for servo in self.servos:
            servo.advance(seconds)


class Twin:
    """Follower and leader behind the ports `folder/follower` and `folder/leader`, and cameras; a context manager.

    Args:
        folder: The folder for links, calibration files and the note `twin.json`; see `TwinFolder`. Calibration files
            that LeRobot has left there are used.
        settings: How arms and cameras behave; `Settings()` if nothing is given.
        body: Name or file of the settings' body, for the robot's file; by default the name of a body equal to it.
    """

    def __init__(self, folder: Path, settings: Settings | None = None, body: str | None = None) -> None:
        self.settings = settings or Settings()
        self._body = body or body_name(self.settings.scene.body) or None
        self.follower = Arm("follower", self.settings, follower_calibration(), self.settings.follower_hand)
        self.leader = Arm("leader", self.settings, leader_calibration(), self.settings.leader_hand)
        self.folder = TwinFolder(folder)
        self._happening: dict[Incident, bool] = {}
        self._terminals: list[Terminal] = []
        self.cameras: Cameras | None = None
        self.table: TableServer | None = None

    def __enter__(self) -> Self:
        try:
            watched: dict[str, object] = {}
            if self.settings.image_size is not None:
                self.cameras = Cameras(self.follower.body.model, self.settings.image_size)
                configuration = self.cameras.configuration()
                watched = {"cameras": {**configuration, "arguments": [camera_argument(configuration)]}}
            # The note comes first: after a crash it tells that the folder's files are a twin's.
            self.folder.write_note(speed=self.settings.speed, seed=self.settings.seed, **watched)
            if self.cameras is not None:
                self.table = TableServer(self.follower.body)
                self.folder.write_robot(self.cameras.configuration(), self.table.port, self._body)
            for arm in (self.follower, self.leader):
                if self.settings.calibrated:
                    # A real arm's servos keep LeRobot's last calibration.
                    write_calibration(arm.servos, self.folder.keep_calibration(arm.name, arm.calibration))
                self._terminals.append(Terminal(arm.bus, self.folder.link(arm.name)))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unplug both arms, stop the cameras, and clear the folder."""
        if self.cameras is not None:
            self.cameras.close()
        if self.table is not None:
            self.table.close()
        for terminal in self._terminals:
            terminal.unplug()
        self.folder.clear()

    def serve(self, stop: Event) -> None:
        """Answer requests and simulate until `stop` is set, or until both arms are unplugged."""
        poll = select.poll()
        listening = {terminal.fileno(): terminal for terminal in self._terminals}
        table = self.table
        for number in (*listening, *([] if table is None else [table.fileno()])):
            poll.register(number, select.POLLIN)
        start = last = time.monotonic()
        behind = 0.0
        while listening and not stop.is_set():
            due = [moment for terminal in listening.values() if (moment := terminal.next_due) is not None]
            wait = min([_TICK - behind, *(moment - last for moment in due)])
            # poll() waits whole milliseconds; the rest passes by polling without waiting.
            ready = poll.poll(max(0, int(1000 * wait)))
            now = time.monotonic()
            behind, last = min(behind + now - last, _LONGEST_GAP), now
            behind = self._catch_up(behind, now + _SLICE)
            if self.cameras is not None:
                self.cameras.show(self.follower.body.data.qpos)
            self._let_happen((now - start) * self.settings.speed)
            for number, _ in ready:
                if table is not None and number == table.fileno():
                    table.receive()
                elif listening[number].is_plugged:
                    listening[number].receive(now)
            for number, terminal in list(listening.items()):
                if terminal.is_plugged:
                    terminal.send(now)
                else:
                    poll.unregister(number)
                    del listening[number]

    def _catch_up(self, behind: float, until: float) -> float:
        """Simulate both arms until `until` at most; returns the seconds by which they are still behind."""
        step = TIMESTEP / self.settings.speed
        while behind >= step:
            for arm in (self.follower, self.leader):
                arm.body.advance(TIMESTEP)
            behind -= step
            if time.monotonic() > until:
                break
        return behind

    def _let_happen(self, now: float) -> None:
        for incident in self.settings.incidents:
            is_on = incident.is_on(now)
            if is_on != self._happening.get(incident, False):
                self._happening[incident] = is_on
                self._change(incident, is_on)

    def _change(self, incident: Incident, is_on: bool) -> None:
        if incident.kind in (IncidentKind.FREEZE, IncidentKind.DIE):
            if self.cameras is not None and incident.target is not None:
                struck = self.cameras.frozen if incident.kind is IncidentKind.FREEZE else self.cameras.dead
                (struck.add if is_on else struck.discard)(incident.target)
            return
        if incident.target is None:
            if is_on:
                self._terminals[0].unplug()
            return
        servo = self.follower.servos[spec.JOINTS.index(incident.target)]
        if incident.kind is IncidentKind.SILENT:
            (self.follower.bus.silent.add if is_on else self.follower.bus.silent.discard)(servo.id)
        else:
            servo.condition = CONDITIONS[incident.kind] if is_on else Condition()
