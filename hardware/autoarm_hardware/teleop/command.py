"""`autoarm teleop`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass
class Teleop:
    """Drive an arm: with a leader arm, the keyboard or a gamepad; the simulated arm, a real one, or a twin.

    Nothing is recorded; `autoarm collect --teleop` records. A robot's file says where a real arm and a leader are;
    `autoarm twin --dir DIR` writes DIR/robot.yaml, to try both without an arm. The keys are shown at the start. After
    success, or `n`, the next episode begins; `r` repeats the same one, `q` quits.

    Example: autoarm teleop --teleop leader --body real --robot my-arm.yaml --view live
    """

    teleop: Literal["leader", "keyboard", "gamepad"] = "keyboard"
    """What drives the arm. The keyboard is the terminal's; a gamepad needs pygame."""
    body: Literal["sim", "real"] = "sim"
    """The simulated arm, or a real one (or its twin)."""
    robot: Path | None = None
    """The robot's file (YAML), with the real arm and, in its section `leader`, the leader."""
    view: str | None = None
    """Show cameras, state and goal: `live` in rerun's window, NAME.rrd in a file for rerun."""
    spot: str | None = None
    """Place of the cube, by name or as x:y in metres; anywhere in the work area by default."""
    seed: int = 0
    """Seed of the first episode's scene; the next episode's seed is one more."""
    seconds: float | None = None
    """Seconds after which to stop, pauses not counted."""

    def run(self) -> int:
        import math
        import sys
        from functools import partial

        from autoarm_hardware.teleop.rig import open_session

        say = partial(print, file=sys.stderr, flush=True)
        with open_session(
            self.teleop, body=self.body, robot=self.robot, view=self.view, with_images=False, say=say
        ) as session:
            steps = session.drive(self.seed, self.spot, math.inf if self.seconds is None else self.seconds)
        print(f"{steps} steps driven; {session.timing}")
        return 0
