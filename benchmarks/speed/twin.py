"""How fast LeRobot's unmodified driver reads and commands the twin, with physics behind it.

Run with `python benchmarks/speed/twin.py`. A cycle is what a control loop does: sync read of six positions, sync
write of six goals. The twin runs in a process of its own, as `autoarm twin` does, and moves all the while. The best of
the rounds counts, because others may use the machine; the loop at the environment's rate shows how late its steps come.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from lerobot.cameras.zmq import ZMQCameraConfig
from lerobot.robots.so_follower import SO101Follower, SOFollowerRobotConfig

from gym_autoarm import spec


@dataclass(frozen=True)
class Options:
    """Measure the twin's serial line.

    Example: python benchmarks/speed/twin.py --json twin.json
    """

    rounds: int = 5
    """How often the rate is measured."""
    cycles: int = 500
    """In a round."""
    seconds: float = 10.0
    """For the loop at the environment's rate."""
    cameras: bool = False
    """Let both cameras be drawn, sent and read meanwhile, at full size."""
    json: Path | None = None
    """File for the numbers."""


@dataclass(frozen=True)
class Measured:
    """Cycles a second, the best round of each; and of the loop, how late steps start, in milliseconds."""

    cycles_per_second: float
    paced_cycles_per_second: float
    loop_late_median_ms: float
    loop_late_95_ms: float


def goals(step: int) -> dict[str, float]:
    """An arm that waves about the middle of its ranges."""
    wave = 10.0 * np.sin(step / spec.FPS)
    return {name: 50.0 + wave if name == "gripper.pos" else wave for name in spec.FEATURES}


def rate(robot: SO101Follower, options: Options) -> float:
    """Cycles a second, as many as there can be; the best round."""
    best = 0.0
    for _ in range(options.rounds):
        start = time.perf_counter()
        for step in range(options.cycles):
            robot.get_observation()
            robot.send_action(goals(step))
        best = max(best, options.cycles / (time.perf_counter() - start))
    return best


def lateness(robot: SO101Follower, seconds: float) -> list[float]:
    """Milliseconds by which the steps of a loop at the environment's rate come late."""
    late = []
    start = time.perf_counter()
    for step in range(int(seconds * spec.FPS)):
        due = start + step / spec.FPS
        time.sleep(max(0.0, due - time.perf_counter()))
        late.append(1e3 * (time.perf_counter() - due))
        robot.get_observation()
        robot.send_action(goals(step))
    return late


def camera_configs(note: dict[str, Any]) -> dict[str, ZMQCameraConfig]:
    """LeRobot's configurations of the twin's cameras."""
    fields = {name: dict(note["cameras"][name]) for name in spec.CAMERAS}
    return {name: ZMQCameraConfig(**{key: each[key] for key in each if key != "type"}) for name, each in fields.items()}


def measure(options: Options) -> Measured:
    """Plug a twin in, connect to it, and measure; without and with the pace of 1 Mbaud."""
    rates = {}
    late: list[float] = []
    for pacing in ("--no-pacing", "--pacing"):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "autoarm_hardware.twin", "--dir", folder, pacing]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as twin:
                try:
                    assert twin.stdout is not None
                    if not twin.stdout.readline():
                        raise SystemExit("the twin did not start")
                    note: dict[str, Any] = json.loads((Path(folder) / "twin.json").read_text())
                    robot = SO101Follower(
                        SOFollowerRobotConfig(
                            port=note["follower"]["port"],
                            id="follower",
                            calibration_dir=Path(folder) / "calibration",
                            cameras=camera_configs(note) if options.cameras else {},
                        )
                    )
                    robot.connect()
                    rates[pacing] = rate(robot, options)
                    if pacing == "--no-pacing":
                        late = lateness(robot, options.seconds)
                    robot.disconnect()
                finally:
                    twin.terminate()
    return Measured(rates["--no-pacing"], rates["--pacing"], *map(float, np.quantile(late, (0.5, 0.95))))


def main(options: Options) -> None:
    """Measure, print, and write the numbers where asked."""
    logging.disable(logging.WARNING)
    measured = measure(options)
    print(f"sync read and sync write of six servos: {measured.cycles_per_second:.0f} cycles a second")
    print(f"at the pace of 1 Mbaud: {measured.paced_cycles_per_second:.0f} cycles a second")
    print(
        f"loop at {spec.FPS} Hz: steps {measured.loop_late_median_ms:.2f} ms late in the median,"
        f" 95 % within {measured.loop_late_95_ms:.2f} ms"
    )
    if options.json is not None:
        from autoarm.runtime.files import write_text

        write_text(options.json, json.dumps(asdict(measured), indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
