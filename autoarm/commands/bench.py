"""`autoarm bench`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from autoarm.commands.arguments import DatasetFolder, PolicyName
from autoarm.commands.as_json import print_json, result_data
from autoarm.commands.next_step import next_step
from autoarm.commands.progress import progress_bar, resumable

if TYPE_CHECKING:
    from rich.table import Table

    from autoarm.results.result import EpisodeRow, Interval, Result

BAR = 10
"""Characters of a full bar."""


@dataclass
class Bench:
    """Measure how far a policy generalises, axis by axis. Interrupted, the same command goes on.

    Example: autoarm bench outputs/act --size quick --axis fresh --axis camera --out outputs/act-bench.json
    """

    policy: tyro.conf.Positional[PolicyName]
    """A checkpoint folder, a baseline (expert, no-op, ...), a shipped policy, or module:Class."""
    out: Path
    """File for the result (JSON)."""
    suite: str = "five-spots-v1"
    """Name of a suite, or a YAML file."""
    axis: Annotated[tyro.conf.UseAppendAction[list[str]], tyro.conf.arg(metavar="NAME")] = field(default_factory=list)
    """An axis of the suite; repeat it for several. All by default."""
    size: Literal["quick", "standard", "full"] = "standard"
    """Number of episodes, as the suite says; a larger size begins with the episodes of a smaller one."""
    episodes: int | None = None
    """Episodes at every level, instead of a size."""
    dataset: DatasetFolder | None = None
    """Folder of demonstrations, for the baselines that are made from them."""
    workers: int = 1
    """Processes; the rows are the same for any number."""
    ray: str | None = None
    """Run in a Ray cluster: `auto`, or its address."""
    videos: bool = False
    """Keep the first success and the first failure of each axis, in a folder beside the result."""
    device: str = "cpu"
    """Torch device of a checkpoint, such as cpu or cuda."""
    body: Literal["sim", "real"] = "sim"
    """The simulated arm, or a real one; axes that only a simulation can do are then left out."""
    robot: Path | None = None
    """With --body real: the arm's file (YAML). `autoarm twin --dir DIR` writes DIR/robot.yaml."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        """Run the suite, print the table and write the result."""
        from rich.console import Console

        from autoarm.evaluation.backend import choose_robot
        from autoarm.evaluation.bench import bench
        from autoarm.suite.real_table import left_out
        from autoarm.suite.suite import load_suite

        console = Console(stderr=True)
        robot = choose_robot(self.body, self.robot)
        if robot is not None and not self.axis:
            for axis, what in left_out(load_suite(self.suite)).items():
                console.print(f"left out: axis {axis} takes {what}, which only a simulation can do", markup=False)
        with progress_bar(self.policy, console) as advance, resumable(self.out, console):
            result = bench(
                self.policy,
                self.suite,
                axes=self.axis,
                size=self.size,
                episodes=self.episodes,
                out=self.out,
                dataset=self.dataset,
                device=self.device,
                workers=self.workers,
                ray=self.ray,
                videos=self.videos,
                progress=advance,
                on_retry=lambda task, reason: console.print(f"episode {task} again: {reason}", markup=False),
                command=["autoarm", *sys.argv[1:]],
                robot=robot,
            )
        code = int(any(row.error is not None for row in result.rows))
        if self.json:
            print_json(result_data(result, self.out))
            return code
        console = Console()
        console.print(bench_table(result))
        for row in [row for row in result.rows if row.error is not None][:5]:
            console.print(f"{row_name(row)}: {row.error}", markup=False, style="red")
        console.print(f"result: {self.out}", markup=False, highlight=False)
        next_step("film", self.out)
        return code


def bench_table(result: Result) -> Table:
    """Successes and their interval, a row a level, and one for each axis that has several."""
    from rich.table import Table

    from autoarm.policies.track import track_of

    suite = result.setting.suite
    assert suite is not None
    what = f"{suite.name}, {suite.size}, {len(result.rows)} episodes, track {track_of(result.policy)}"
    table = Table(title=f"{result.policy.name}: {what}")
    table.add_column("axis and level", no_wrap=True)
    for heading in ("success", "rate", "95 % interval"):
        table.add_column(heading, justify="right")
    table.add_column("", min_width=BAR)
    for name, axis in suite.axes.items():
        table.add_row(axis.title, *_cells(result.groups[name]), style="bold")
        for level in axis.levels:
            if level:
                table.add_row(f"  {level}", *_cells(result.levels[f"{name}/{level}"]))
    table.add_section()
    table.add_row("all episodes", *_cells(result.overall), style="bold")
    return table


def row_name(row: EpisodeRow) -> str:
    """A row in a few words."""
    return " ".join(part for part in (row.group, row.level, str(row.index)) if part)


def _cells(interval: Interval) -> list[str]:
    return [
        f"{interval.successes}/{interval.episodes}",
        f"{interval.rate:.0%}",
        f"{interval.low:.0%} to {interval.high:.0%}",
        "█" * round(BAR * interval.rate),
    ]
