"""`autoarm release`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Release:
    """Switch an arm's motors off, wherever it is: hold it, or it falls.

    For an arm that was left holding, by `release: false` in the robot's file or by a program that was killed. It needs
    neither cameras nor a calibration that fits.

    Example: autoarm release --robot my-arm.yaml
    """

    robot: Path
    """The robot's file (YAML)."""

    def run(self) -> int:
        from autoarm_hardware.arm import make_robot, release
        from autoarm_hardware.config import load_robot

        config = load_robot(self.robot)
        print("Hold the arm: its motors are switched off now, and it falls.", flush=True)
        release(make_robot(config.type, config.port, config.id, config.calibration_dir))
        print("All motors are off.")
        return 0
