"""The `autoarm` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import tyro

from autoarm.commands.bench import Bench
from autoarm.commands.collect import Collect
from autoarm.commands.demo import Demo
from autoarm.commands.doctor import Doctor
from autoarm.commands.eval import Eval
from autoarm.commands.film import Film
from autoarm.commands.finetune import Finetune
from autoarm.commands.interp import Interp
from autoarm.commands.leaderboard import Leaderboard
from autoarm.commands.pretrain import Pretrain
from autoarm.commands.study import Study
from autoarm.commands.train import Train
from autoarm.commands.twin_check import TwinCheck
from autoarm.commands.verify import Verify
from gym_autoarm.errors import AutoArmError

Command = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Collect, tyro.conf.subcommand("collect")]
    | Annotated[Pretrain, tyro.conf.subcommand("pretrain")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Finetune, tyro.conf.subcommand("finetune")]
    | Annotated[Eval, tyro.conf.subcommand("eval")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Film, tyro.conf.subcommand("film")]
    | Annotated[Leaderboard, tyro.conf.subcommand("leaderboard")]
    | Annotated[Interp, tyro.conf.subcommand("interp")]
    | Annotated[Study, tyro.conf.subcommand("study")]
    | Annotated[TwinCheck, tyro.conf.subcommand("twin-check")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)

DESCRIPTION = """Teach an SO-101 arm to put a cube in a box, and measure where that skill ends.

Start with `autoarm demo`, or `autoarm doctor` if something does not work."""


def command_type() -> Any:
    """What tyro reads a command line as: one of the subcommands."""
    # `autoarm` and `autoarm_hardware` know nothing of each other: a command that lives there is found by its name.
    align = import_module("autoarm_hardware.alignment.command").Align
    teleop = import_module("autoarm_hardware.teleop.command").Teleop
    twin = import_module("autoarm_hardware.twin.command").Twin
    return (
        Command
        | Annotated[align, tyro.conf.subcommand("align")]
        | Annotated[teleop, tyro.conf.subcommand("teleop")]
        | Annotated[twin, tyro.conf.subcommand("twin")]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 done, 1 a check failed, 2 bad input."""
    command = tyro.cli(command_type(), prog="autoarm", description=DESCRIPTION, args=arguments)
    try:
        sys.exit(command.run())
    except AutoArmError as error:
        print(f"autoarm: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("autoarm: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
