"""`autoarm restage`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from autoarm.commands.arguments import DatasetFolder
from autoarm.commands.next_step import next_step


@dataclass
class Restage:
    """Draw a recorded dataset again under other appearances: the same motions, other table tops, lamps and cameras.

    Interrupted, the same command goes on from there.

    Example: autoarm restage outputs/five-spots --out outputs/five-spots-restaged --vary surface light --copies 3
    """

    dataset: tyro.conf.Positional[DatasetFolder]
    """Folder of a dataset that was recorded in simulation."""
    out: Path
    """Folder of the new one."""
    vary: tuple[Literal["light", "surface", "camera", "noise"], ...] = ("light", "surface", "camera", "noise")
    """What is drawn at random."""
    copies: int = 1
    """How many times each episode is drawn."""
    seed: int = 0
    """Seed of the appearances."""
    workers: int | None = None
    """Processes; one for each core, up to four, by default."""

    def run(self) -> int:
        """Draw, and say what there is."""
        from rich.console import Console

        from autoarm.commands.progress import episode_bar
        from autoarm.data.restage import restage

        with episode_bar(Console(stderr=True)) as recorded:
            collected = restage(
                self.dataset,
                self.out,
                names=self.vary,
                copies=self.copies,
                seed=self.seed,
                workers=self.workers,
                on_progress=recorded,
            )
        episodes = collected.collection.episodes
        print(f"{len(episodes)} episodes, {sum(episode.frames for episode in episodes)} frames: {collected.folder}")
        next_step("train", self.dataset, collected.folder, "--out", "outputs/act")
        return 0
