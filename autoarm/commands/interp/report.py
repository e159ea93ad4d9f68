"""`autoarm interp report`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from autoarm.commands.arguments import DatasetFolder, PolicyName


@dataclass
class Report:
    """Put what the methods find about a policy on one page, for people who have not read the papers.

    Example: autoarm interp report act-five-spots outputs/demonstrations --out outputs/inside
    """

    policy: tyro.conf.Positional[PolicyName]
    """A checkpoint folder of LeRobot's ACT, or a shipped policy."""
    dataset: tyro.conf.Positional[DatasetFolder]
    """LeRobotDataset folder."""
    out: Path = Path("outputs/inside")
    """Folder for the page and its figures with their data."""
    sections: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAMES")] = ()
    """Which; all by default."""
    frames: int = 400
    """Frames of the dataset, spread over its episodes."""
    samples: int = 100_000
    """Activations seen in training a sparse autoencoder."""
    scenes: int = 10
    """Scenes of each axis of the benchmark to draw, for how the policy tells new ones."""
    positions: int = 7
    """Places of the cube along each side of the work area, in the sections that draw it at places of their choice."""
    episodes: int = 0
    """In which to let the policy act with parts taken out, each way; none by default."""
    seed: int = 0
    """Random seed."""
    device: str = "cpu"
    """Torch device, such as cpu or cuda."""

    def run(self) -> int:
        """Write the page."""
        from autoarm.commands.interp.loading import load_act
        from autoarm.data.dataset import check_dataset
        from autoarm.interp.report.report import write_interp_report
        from autoarm.runtime.bars import Bars

        info = check_dataset(self.dataset)
        policy = load_act(self.policy, self.device, info.image_size)
        with Bars(transient=True) as bar:
            task = bar.add_task("getting ready", total=None)
            page = write_interp_report(
                policy,
                self.dataset,
                self.out,
                sections=self.sections,
                frames=self.frames,
                samples=self.samples,
                positions=self.positions,
                episodes=self.episodes,
                reference=self.policy,
                scenes=self.scenes,
                seed=self.seed,
                command=["autoarm", *sys.argv[1:]],
                progress=lambda name, number, count: bar.update(
                    task, description=f"section {name}", completed=number, total=count
                ),
            )
        print(f"report: {page}")
        return 0
