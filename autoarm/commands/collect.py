"""`autoarm collect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass
class Collect:
    """Record the scripted expert as a LeRobotDataset with videos.

    Killed or interrupted, it keeps every finished episode in OUT.partial; the same command goes on from there.

    Example: autoarm collect --out data/five-spots --spots five --episodes-per-spot 10 --seed 0
    """

    out: Path
    """Folder of the dataset."""
    spots: str = "five"
    """`five`, `everywhere`, or spots joined by commas, by name or as x:y in metres."""
    episodes_per_spot: int = 10
    """Episodes at each spot."""
    episodes: int | None = None
    """Episodes in all, with `--spots everywhere`; 50 by default."""
    seed: int = 0
    """Equal seeds give equal episodes."""
    image_size: tuple[int, int] = (480, 640)
    """Height and width of the frames."""
    vcodec: Literal["h264", "libsvtav1"] = "h264"
    """Video codec: `h264` plays everywhere, `libsvtav1` is smaller and slower."""
    workers: int | None = None
    """Processes that record; one for each core, up to four, by default."""

    def run(self) -> int:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from autoarm.collect import collect

        console = Console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        bar = Progress(*columns, console=console, transient=True)
        with bar:
            task = bar.add_task("episodes", total=None)
            collected = collect(
                self.out,
                spots=self.spots,
                episodes_per_spot=self.episodes_per_spot,
                episodes=self.episodes,
                seed=self.seed,
                image_size=self.image_size,
                vcodec=self.vcodec,
                workers=self.workers,
                on_progress=lambda done, wanted: bar.update(task, completed=done, total=wanted),
            )
        episodes = collected.collection.episodes
        if collected.kept:
            console.print(f"{collected.kept} of {len(episodes)} episodes were there already")
        for index, episode in enumerate(episodes):
            if episode.attempts > 1:
                console.print(f"episode {index}: the expert needed {episode.attempts} attempts")
        print(f"{len(episodes)} episodes, {sum(episode.frames for episode in episodes)} frames: {collected.folder}")
        return 0
