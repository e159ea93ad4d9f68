"""`python -m autoarm_hardware.twin`: the twin, without the rest of `autoarm`."""

from __future__ import annotations

import sys

import tyro

from autoarm_hardware.twin.command import Twin
from gym_autoarm.errors import AutoArmError


def main() -> None:
    """Run the twin. Exit codes: 0 stopped, 2 bad input."""
    command = tyro.cli(Twin, prog="python -m autoarm_hardware.twin")
    try:
        sys.exit(command.run())
    except AutoArmError as error:
        print(f"twin: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
