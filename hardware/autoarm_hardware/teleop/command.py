"""`autoarm teleop`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass
class Teleop:
    """Drive an arm: with a leader arm, the keyboard or a gamepad; the simulated arm, a real one, or a twin.

    Nothing is recorded: for that, `autoarm collect --teleop`. A robot's file says where a real arm and a leader are;
    `autoarm twin --dir DIR` writes DIR/robot.yaml, with which both can be tried without an arm. Keys are shown when it
    starts. Success, or `n`, leads to the next episode, `r` to the same one again, `q` ends it.

    Example: autoarm teleop --teleop leader --body real --robot my-arm.yaml --view live
    """

    teleop: Literal["leader", "keyboard", "gamepad"] = "keyboard"
    """Who drives. The keyboard is that of the terminal; a gamepad needs pygame."""
    body: Literal["sim", "real"] = "sim"
    """Which arm is driven."""
    robot: Path | None = None
    """The robot's file (YAML): of the real arm, and of the leader, in its section `leader`."""
    view: str | None = None
    """`live` opens a window of rerun's, NAME.rrd writes a file for it: cameras, state and goal."""
    spot: str | None = None
    """Where the cube lies, by name or as x:y in metres; anywhere in the work area by default."""
    seed: int = 0
    """Of the first episode's scene; the next one's is one more."""
    seconds: float | None = None
    """Stop after so many, pauses not counted."""

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
