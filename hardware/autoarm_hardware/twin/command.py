"""`autoarm twin`, also `python -m autoarm_hardware.twin`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from autoarm_hardware.twin.faults import Noise
from gym_autoarm import spec


@dataclass
class Twin:
    """Plug in a simulated SO-101, follower and leader: software for the real one runs against them unchanged.

    Makes the serial ports DIR/follower and DIR/leader, calibration files that fit, serves both cameras over ZMQ, and
    leaves DIR/twin.json with the arguments that LeRobot's commands want, and DIR/robot.yaml for ours. Runs until it is
    stopped, and takes them away again.

    Example: autoarm twin --dir outputs/twin
    """

    dir: Path
    """New, empty, or left by an earlier twin."""
    leader: Literal["rest", "wave", "sweep"] = "rest"
    """How a hand moves the leader: not at all, gently, or through all ranges as calibration asks for."""
    follower: Literal["free", "rest", "wave", "sweep"] = "free"
    """How a hand moves the follower while its motors are off."""
    calibrated: bool = True
    """Whether the arms are calibrated already, as files left in DIR say if there are any."""
    speed: float = 1.0
    """Simulated seconds a second."""
    pacing: bool = False
    """Let bytes take the time that the baud rate gives them, and servos their return delay."""
    noise: Noise = field(default_factory=Noise)
    """How the lines mistreat packets."""
    incidents: tuple[str, ...] = ()
    """What happens to follower and cameras, in simulated seconds: overheat:elbow_flex@5-8, freeze:top@3, unplug@20."""
    cameras: bool = True
    """Whether there are cameras; they cost nothing until somebody connects to them."""
    image_size: tuple[int, int] = spec.IMAGE_SIZE
    """Height and width of their frames: smaller ones cost less."""
    top: Path | None = None
    """Where the top camera is: a file of `autoarm align`."""
    lateral: Path | None = None
    """Where the lateral camera is, likewise."""
    body: Path | None = None
    """How the follower answers: a file of `autoarm twin-check --fit`."""
    seed: int = 0
    """Of the noise."""

    def run(self) -> int:
        """Serve until SIGINT or SIGTERM."""
        import json
        import shlex
        import signal
        from threading import Event

        from autoarm_hardware.twin import device
        from autoarm_hardware.twin.faults import Incident
        from autoarm_hardware.twin.folder import ARMS, NOTE
        from autoarm_hardware.twin.hand import hand
        from gym_autoarm.rendering import check_image_size
        from gym_autoarm.scene_files import load_scene

        stop = Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        settings = device.Settings(
            scene=load_scene(top=self.top, lateral=self.lateral, body=self.body),
            follower_hand=None if self.follower == "free" else hand(self.follower),
            leader_hand=hand(self.leader),
            speed=self.speed,
            pacing=self.pacing,
            noise=self.noise,
            incidents=tuple(Incident.parse(text) for text in self.incidents),
            seed=self.seed,
            calibrated=self.calibrated,
            image_size=check_image_size(self.image_size) if self.cameras else None,
        )
        with device.Twin(self.dir, settings) as twin:
            note = json.loads((twin.folder.path / NOTE).read_text())
            for arm in (*ARMS, *(["cameras"] if self.cameras else [])):
                print(f"{arm}: {shlex.join(note[arm]['arguments'])}", flush=True)
            twin.serve(stop)
        return 0
