"""`autoarm film`."""

from __future__ import annotations

from dataclasses import dataclass

import tyro

from autoarm.commands.arguments import DatasetFolder, PolicyName, ResultFile


@dataclass
class Film:
    """Film a result: the first success and the first failure of each axis, in a folder beside it of its name.

    The episodes are run again, with the policy that was measured. `autoarm leaderboard` shows the videos.

    Example: autoarm film benchmarks/results/five-spots-v1/act-five-spots.json --axis seen interpolation
    """

    file: tyro.conf.Positional[ResultFile]
    """What `autoarm bench` or `autoarm eval` wrote; it is written again, naming the videos."""
    axis: tuple[str, ...] = ()
    """Axes to film; all by default."""
    policy: PolicyName | None = None
    """Where the policy is, if it is not where the result says."""
    suite: str | None = None
    """YAML file of the suite, if it is not shipped with autoarm."""
    dataset: DatasetFolder | None = None
    """Folder of the demonstrations that a baseline is made from, if they are not where the result says."""
    workers: int = 1
    """Processes."""
    device: str = "cpu"
    """Torch device of a checkpoint, such as cpu or cuda."""

    def run(self) -> int:
        """Make the videos and say where they are."""
        from autoarm.evaluation.film_result import film_result
        from autoarm.runtime.bars import Bars

        with Bars(transient=True) as bar:
            task = bar.add_task(self.file.name, total=None)
            made = film_result(
                self.file,
                axes=self.axis,
                policy=self.policy,
                suite=self.suite,
                dataset=self.dataset,
                device=self.device,
                workers=self.workers,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        size = sum(path.stat().st_size for path in made) / 1e6
        print(f"{len(made)} videos, {size:.1f} MB: {self.file.with_suffix('')}")
        return 0
