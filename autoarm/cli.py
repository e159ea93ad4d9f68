"""The `autoarm` command."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from importlib.metadata import version
from operator import or_
from typing import Annotated, Any, Final

import tyro

DESCRIPTION: Final = """Teach an SO-101 arm to put a cube in a box, and measure where that skill ends.

Start with `autoarm demo`, or `autoarm doctor` if something does not work. `--debug`, anywhere in a command, shows where
an error arose; `--version` says which version this is."""


@dataclass(frozen=True)
class Entry:
    """A command by name, so that only the one that was asked for is imported.

    Attributes:
        module: Where its class is. `autoarm` and `autoarm_hardware` know nothing of each other, but for this.
        kind: The class: what tyro fills, with `run() -> int`, which gives the exit code.
        summary: The first sentence of the class's docstring, for the list of commands.
    """

    module: str
    kind: str
    summary: str

    def load(self) -> Any:
        """The class."""
        return getattr(import_module(self.module), self.kind)


COMMANDS: Final[dict[str, Entry]] = {
    "demo": Entry(
        "autoarm.commands.demo",
        "Demo",
        "Record demonstrations, measure a policy beside two baselines and write a report with maps and videos.",
    ),
    "collect": Entry(
        "autoarm.commands.collect",
        "Collect",
        "Record the scripted expert, or with --teleop a person, as a LeRobotDataset with videos.",
    ),
    "restage": Entry(
        "autoarm.commands.restage",
        "Restage",
        "Draw a recorded dataset again under other appearances: the same motions, other table tops, lamps and cameras.",
    ),
    "pretrain": Entry(
        "autoarm.commands.pretrain",
        "Pretrain",
        "Make a backbone in simulation: render random scenes and learn to say where cube and gripper are.",
    ),
    "distil": Entry(
        "autoarm.commands.distil",
        "Distil",
        "Make a backbone that sees as a network from ImageNet does, from a dataset's frames and without a hub.",
    ),
    "train": Entry(
        "autoarm.commands.train",
        "Train",
        "Train a policy on a collected dataset; run again to continue after a stop.",
    ),
    "finetune": Entry(
        "autoarm.commands.finetune",
        "Finetune",
        "Train chosen parts of an ACT policy on new demonstrations, everything before them computed once.",
    ),
    "eval": Entry(
        "autoarm.commands.eval",
        "Eval",
        "Measure how often a policy puts the cube in the box.",
    ),
    "bench": Entry(
        "autoarm.commands.bench",
        "Bench",
        "Measure how far a policy generalises, axis by axis. Interrupted, the same command goes on.",
    ),
    "verify": Entry(
        "autoarm.commands.verify",
        "Verify",
        "Run a result again and compare it row by row.",
    ),
    "compare": Entry(
        "autoarm.commands.compare",
        "Compare",
        "Compare two policies on the episodes that both ran, and say how many more would settle which is better.",
    ),
    "film": Entry(
        "autoarm.commands.film",
        "Film",
        "Film a result: the first success and the first failure of each axis, in a folder beside it of its name.",
    ),
    "leaderboard": Entry(
        "autoarm.commands.leaderboard",
        "Leaderboard",
        "Build a static site from results: rankings, a page a policy, comparisons of any two.",
    ),
    "interp": Entry(
        "autoarm.commands.interp",
        "Interp",
        "Look inside a policy: where it looks, what it computes, and what can be captured and changed in it.",
    ),
    "study": Entry(
        "autoarm.commands.study",
        "Study",
        "Test hypotheses that were written down before anything was measured, and say what came out.",
    ),
    "twin-check": Entry(
        "autoarm.commands.twin_check",
        "TwinCheck",
        "Compare an arm with its simulation, joint by joint, and fit the simulated servos to it.",
    ),
    "replay": Entry(
        "autoarm.commands.replay",
        "Replay",
        "Give a recorded episode's actions to the simulated arm, and show what it does beside what the real one did.",
    ),
    "doctor": Entry(
        "autoarm.commands.doctor",
        "Doctor",
        "Check this machine: versions, OpenGL, cameras, serial ports, disk, and how to mend what is missing.",
    ),
    "align": Entry(
        "autoarm_hardware.alignment.command",
        "Align",
        "Measure where the real cameras are and what they see, so that the simulated ones see the same.",
    ),
    "teleop": Entry(
        "autoarm_hardware.teleop.command",
        "Teleop",
        "Drive an arm: with a leader arm, the keyboard or a gamepad; the simulated arm, a real one, or a twin.",
    ),
    "park": Entry(
        "autoarm_hardware.park",
        "Park",
        "Move an arm home, slowly, on a way that touches nothing, and release it there.",
    ),
    "release": Entry(
        "autoarm_hardware.release",
        "Release",
        "Switch an arm's motors off, wherever it is: hold it, or it falls.",
    ),
    "twin": Entry(
        "autoarm_hardware.twin.command",
        "Twin",
        "Simulate an SO-101, follower and leader, behind serial ports: software for the real one runs unchanged.",
    ),
}


@dataclass(frozen=True)
class _Unloaded:
    """Stands for a command that was not asked for: its name is listed, and it takes no options."""


def command_type(arguments: Sequence[str]) -> Any:
    """What tyro reads a command line as: one of the subcommands."""
    # Completions, which tyro writes for shells, know every option of every command.
    everything = any(argument.startswith("--tyro-") for argument in arguments)
    # tyro takes twin_check for twin-check.
    names = (argument.replace("_", "-") for argument in arguments)
    asked = next((name for name in names if name in COMMANDS), None)
    kinds = []
    for name, entry in COMMANDS.items():
        if everything or name == asked:
            kinds.append(Annotated[entry.load(), tyro.conf.subcommand(name)])
        else:
            kinds.append(Annotated[_Unloaded, tyro.conf.subcommand(name, description=entry.summary)])
    return reduce(or_, kinds)


def unknown_command(name: str) -> str | None:
    """What to say about a first word that is no command; None for one that is, and for options."""
    if name.startswith("-") or name.replace("_", "-") in COMMANDS:
        return None
    # Gymnasium and NumPy come with it, for which the list of commands need not wait.
    from gym_autoarm.errors import did_you_mean

    return f"there is no command {name!r} ({did_you_mean(name, COMMANDS)}choose from {', '.join(COMMANDS)})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 done, 1 a check or a policy failed, 2 bad input."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if arguments == ["--version"]:
        print(f"autoarm {version('autoarm')}")
        return
    if arguments and (hint := unknown_command(arguments[0])):
        print(f"autoarm: error: {hint}", file=sys.stderr)
        sys.exit(2)
    if os.environ.get("NO_COLOR"):
        tyro._experimental_options["ansi_codes"] = False  # rich looks for itself, see no-color.org
    command = tyro.cli(command_type(arguments), prog="autoarm", description=DESCRIPTION, args=arguments)
    from autoarm.commands.arguments import check_arguments
    from gym_autoarm.errors import AutoArmError

    try:
        check_arguments(command)
        sys.exit(command.run())
    except AutoArmError as error:
        if debug:
            traceback.print_exc()
        print(f"autoarm: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("autoarm: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
