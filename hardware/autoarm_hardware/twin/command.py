"""`autoarm twin`, also `python -m autoarm_hardware.twin`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from autoarm_hardware.twin.faults import Noise
from gym_autoarm import spec


@dataclass
class Twin:
    """Simulate an SO-101, follower and leader, behind serial ports: software for the real one runs unchanged.

    Makes the serial ports DIR/follower and DIR/leader and calibration files that fit, serves both cameras over ZMQ, and
    writes DIR/twin.json with the arguments for LeRobot's commands, and DIR/robot.yaml for those of AutoArm. Runs until
    it is stopped, and removes these files then.

    Example: autoarm twin --dir outputs/twin
    """

    dir: Path
    """Folder for ports and files: new, empty, or left by an earlier twin."""
    leader: Literal["rest", "wave", "sweep"] = "rest"
    """How a hand moves the leader: not at all, gently, or through all joint ranges, as for a calibration."""
    follower: Literal["free", "rest", "wave", "sweep"] = "free"
    """How a hand moves the follower while its motors are off; `free` without a hand."""
    calibrated: bool = True
    """Whether the servos are calibrated, by the calibration files in DIR if there are any."""
    speed: float = 1.0
    """Simulated seconds per second of real time."""
    pacing: bool = False
    """Whether bytes take as long as the baud rate says, and servos wait for their return delay."""
    noise: Noise = field(default_factory=Noise)
    """How often the serial lines drop or damage packets."""
    incidents: tuple[str, ...] = ()
    """Faults of follower and cameras, at simulated seconds: overheat:elbow_flex@5-8, freeze:top@3, unplug@20."""
    cameras: bool = True
    """Whether there are cameras; they are drawn only while a client is connected."""
    image_size: tuple[int, int] = spec.IMAGE_SIZE
    """Height and width of the cameras' frames; smaller ones are faster to draw."""
    top: Path | None = None
    """The top camera's file from `autoarm align`."""
    lateral: Path | None = None
    """The lateral camera's file from `autoarm align`."""
    body: str | None = None
    """How the arms answer: a name such as so101-12v (default) or so101, or a file of `autoarm twin-check --fit`."""
    seed: int = 0
    """Seed of the noise."""

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
        with device.Twin(self.dir, settings, self.body) as twin:
            note = json.loads((twin.folder.path / NOTE).read_text())
            for arm in (*ARMS, *(["cameras"] if self.cameras else [])):
                print(f"{arm}: {shlex.join(note[arm]['arguments'])}", flush=True)
            twin.serve(stop)
        return 0
