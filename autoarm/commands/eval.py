"""`autoarm eval`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from gym_autoarm import spec

if TYPE_CHECKING:
    from rich.table import Table

    from autoarm.results import Interval, Result


@dataclass
class Eval:
    """Measure how often a policy puts the cube in the box.

    Example: autoarm eval outputs/act-five-spots --episodes 50 --cube everywhere --out outputs/everywhere.json
    """

    policy: tyro.conf.Positional[str]
    """A checkpoint folder, a baseline (expert, random, no-op, replay, nearest, nearest-state, nearest-image, rbf,
    position-fed, blind:CHECKPOINT), a shipped policy, or module:Class."""
    episodes: int = 50
    """How many, in all."""
    seed: int = 0
    """Of the run; the same seed gives every policy the same scenes."""
    cube: Literal["spots", "everywhere"] = "spots"
    """Where the cube lies: at the five training spots, or anywhere in the work area."""
    out: Path | None = None
    """File for the result (JSON)."""
    dataset: Path | None = None
    """Folder of demonstrations, for the baselines that are made from them."""
    videos: Path | None = None
    """Folder for a video of each group's first success and first failure."""
    workers: int = 1
    """Processes; the result is the same for any number."""
    ray: str | None = None
    """Run in a Ray cluster: `auto`, or its address."""
    image_size: tuple[int, int] = spec.IMAGE_SIZE
    """Height and width of the frames."""
    time_limit: int = spec.TIME_LIMIT
    """Steps before an episode is given up."""
    device: str = "cpu"
    """Torch device of a checkpoint, such as cpu or cuda."""

    def run(self) -> int:
        """Evaluate, print the table and write the result."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from autoarm.evaluate import evaluate
        from autoarm.files import check_writable
        from autoarm.results import EpisodeRow
        from gym_autoarm.sampling import SceneDistribution

        if self.out is not None:
            check_writable(self.out)
        if self.videos is not None:
            check_writable(self.videos / "video.mp4")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(self.policy, total=self.episodes)
            successes = 0

            def advance(row: EpisodeRow) -> None:
                nonlocal successes
                successes += row.success
                bar.update(task, advance=1, description=f"{self.policy}: {successes} succeeded")

            result = evaluate(
                self.policy,
                distribution=SceneDistribution(cube=self.cube),
                episodes=self.episodes,
                seed=self.seed,
                dataset=self.dataset,
                device=self.device,
                image_size=self.image_size,
                time_limit=self.time_limit,
                workers=self.workers,
                ray=self.ray,
                videos=self.videos,
                relative_to=None if self.out is None else self.out.parent,
                progress=advance,
                command=["autoarm", *sys.argv[1:]],
            )
        if self.out is not None:
            result.save(self.out)
        console = Console()
        console.print(result_table(result))
        for row in result.rows:
            if row.error is not None:
                console.print(f"seed {row.seed}: {row.error}", markup=False, style="red")
        if self.out is not None:
            console.print(f"result: {self.out}", markup=False, highlight=False)
        return 0


def result_table(result: Result) -> Table:
    """Successes, their interval, and how many episodes reached each stage, a row a group."""
    from rich.table import Table

    table = Table(title=f"{result.policy.name}: {result.overall.episodes} episodes, seed {result.setting.seed}")
    table.add_column("cube at")
    for heading in ("success", "rate", "95 % interval", *spec.STAGES[1:]):
        table.add_column(heading, justify="right")
    for group, interval in result.groups.items():
        table.add_row(group, *_cells(interval, [row.stage for row in result.rows if row.group == group]))
    if len(result.groups) > 1:
        table.add_section()
        table.add_row("all", *_cells(result.overall, [row.stage for row in result.rows]), style="bold")
    return table


def _cells(interval: Interval, stages: list[str]) -> list[str]:
    reached = [sum(spec.STAGES.index(stage) >= least for stage in stages) for least in range(1, len(spec.STAGES))]
    return [
        f"{interval.successes}/{interval.episodes}",
        f"{interval.rate:.0%}",
        f"{interval.low:.0%} to {interval.high:.0%}",
        *(str(count) for count in reached),
    ]
