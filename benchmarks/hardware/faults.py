"""Inject thousands of faults into a guarded arm, and count violations of its safety.

Example: python benchmarks/hardware/faults.py --faults 10000
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import tyro
from campaign import Summary, campaigns
from rich.console import Console
from rich.progress import Progress


@dataclass
class Arguments:
    """Campaigns of faults against LeRobot's driver, `safety.Guard` and the twin's servos, in simulated time."""

    faults: int = 10_000
    """Number of faults to inject."""
    seed: int = 0
    """Seed of the first campaign."""


def main() -> None:
    """Run campaigns and print their counts. Exit code 1 if there were violations."""
    arguments = tyro.cli(Arguments, description=__doc__)
    console = Console()
    start = time.process_time()
    with Progress(console=console) as bar:
        task = bar.add_task("faults", total=arguments.faults)

        def show(summary: Summary) -> None:
            bar.update(task, completed=summary.faults)

        summary = campaigns(arguments.faults, arguments.seed, show)
    console.print(
        f"{summary.faults} faults in {summary.campaigns} campaigns, {summary.commands} commands; the arm was stopped in"
        f" {summary.stopped} of them; {len(summary.violations)} violations; {time.process_time() - start:.0f} s of CPU"
    )
    for kind, count in sorted(summary.by_kind.items()):
        console.print(f"  {kind:16} {count:6}")
    for violation in summary.violations[:20]:
        console.print(f"  {violation}", style="red")
    sys.exit(1 if summary.violations else 0)


if __name__ == "__main__":
    main()
