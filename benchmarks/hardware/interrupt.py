"""How long does an arm go on after Ctrl-C, or after the program was killed? Measured at its servos' end of the line.

`autoarm eval` drives a twin, in a process of its own, and gets a signal while the arm moves. The twin records when
goals and the command to switch off arrive.

Example: python benchmarks/hardware/interrupt.py --times 10
Example: python benchmarks/hardware/interrupt.py --times 10 --signal SIGKILL --park
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
import yaml
from campaign import goal_ticks

from autoarm_hardware.twin.control_table import REGISTERS
from autoarm_hardware.twin.device import Settings, Twin
from autoarm_hardware.twin.protocol import Instruction, Packet

IMAGE_SIZE = (48, 64)
"""Small: what is measured is not the cameras."""
_REST = 1.0
"""Seconds for which the arm is watched afterwards."""
_RESCUE = 8.0
"""Seconds for which a killed program's arm is watched: another process parks it."""


@dataclass(frozen=True)
class Interruption:
    """The twin's record of one interruption.

    Attributes:
        held: Seconds from the signal to the last goal: where the arm is held, or parked.
        released: Seconds from the signal to the first command to switch off; NaN without one.
        travel: Largest distance, over the joints, of the last goal from where the arm was when it came, degrees.
        code: The program's exit code.
        said: The program's output.
    """

    held: float
    released: float
    travel: float
    code: int
    said: str


def interrupt(twin: Twin, number: signal.Signals, park: bool, release: bool, moving: float = 1.0) -> Interruption:
    """Send `autoarm eval` a signal, on a served twin, once it has moved the arm for `moving` seconds of an episode."""
    goals: list[tuple[float, float]] = []
    switched: list[float] = []
    answer, body = twin.follower.bus.answer, twin.follower.body
    zero, scale = body._ticks_at_zero, body._ticks_per_radian
    offsets = np.array([servo["Homing_Offset"] for servo in twin.follower.servos])

    def witness(request: Packet, baud_rate: int) -> list[object]:
        if request.code == Instruction.SYNC_WRITE:
            now, address = time.monotonic(), request.parameters[0]
            if address == REGISTERS["Goal_Position"].address:
                wanted = (goal_ticks(request) + offsets - zero) / scale
                goals.append((now, float(np.rad2deg(np.abs(wanted - body.data.qpos[: len(wanted)]).max()))))
            elif address == REGISTERS["Torque_Enable"].address:
                switched.append(now)
        return answer(request, baud_rate)  # type: ignore[return-value]

    twin.follower.bus.answer = witness  # type: ignore[assignment, method-assign]
    file = twin.folder.path / "robot.yaml"
    robot = twin.folder.path.parent / "robot.yaml"
    robot.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"park": park, "release": release}))
    command = [sys.executable, "-m", "autoarm.cli", "eval", "random", "--body", "real", "--robot", str(robot)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        end = time.monotonic() + 120.0
        # The way to the start is a goal a thirtieth of a second, too: only a random policy asks for more than a step.
        while not (goals and goals[-1][1] > 20.0 and goals[-1][0] - goals[0][0] > moving):
            if program.poll() is not None or time.monotonic() > end:
                break
            time.sleep(0.005)
        # A random moment within the control loop.
        time.sleep(float(np.random.default_rng().uniform(0.0, 0.1)))
        sent = time.monotonic()
        program.send_signal(number)
        said, _ = program.communicate(timeout=60.0)
        if number == signal.SIGKILL:
            time.sleep(_RESCUE)
    finally:
        program.kill()
        twin.follower.bus.answer = answer  # type: ignore[method-assign]
    time.sleep(_REST)
    off = [moment for moment in switched if moment > sent]
    last, travel = goals[-1] if goals else (float("nan"), float("nan"))
    return Interruption(last - sent, off[0] - sent if off else float("nan"), travel, program.returncode, said)


@dataclass
class Arguments:
    """Interrupt evaluations on a twin."""

    times: int = 10
    """Number of interruptions, with the arm released in the end, and as many with it held."""
    signal: Literal["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"] = "SIGINT"
    """The signal."""
    park: bool = False
    """Whether the arm goes home in the end."""


def main() -> None:
    """Print the times that the twin recorded."""
    arguments = tyro.cli(Arguments, description=__doc__)
    number = signal.Signals[arguments.signal]
    for release in (True, False):
        found = []
        for _ in range(arguments.times):
            with (
                tempfile.TemporaryDirectory() as folder,
                Twin(Path(folder) / "twin", Settings(image_size=IMAGE_SIZE)) as twin,
            ):
                stop = threading.Event()
                server = threading.Thread(target=twin.serve, args=(stop,))
                server.start()
                found.append(interrupt(twin, number, arguments.park, release))
                stop.set()
                server.join()
            if found[-1].code not in (128 + number, -number):
                print(f"stopped by itself, and is not counted: {found.pop().said.strip().splitlines()[-1]}")
        if not found:
            continue
        for name in ("held", "released"):
            values = 1000 * np.array([getattr(each, name) for each in found])
            if np.isfinite(values).any():
                print(
                    f"release={release}: {name} after {np.nanmedian(values):.0f} ms (median),"
                    f" {np.nanmax(values):.0f} ms (worst of {len(values)})"
                )
        print(f"release={release}: the last goal is {max(each.travel for each in found):.1f} degrees away, at most")


if __name__ == "__main__":
    main()
