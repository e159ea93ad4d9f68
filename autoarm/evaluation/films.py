"""Which episodes of a run are filmed: the first success and the first failure of every group."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoarm.results.result import EpisodeRow


@dataclass(frozen=True)
class PlannedFilm:
    """A film to be made.

    Attributes:
        row: Number of the episode's row.
        path: The video.
        text: Its caption.
    """

    row: int
    path: Path
    text: str


def plan_films(
    name: str, rows: Sequence[EpisodeRow], folder: Path, groups: Collection[str] | None = None
) -> list[PlannedFilm]:
    """The films of a run.

    Args:
        name: The policy's name, for captions.
        rows: Rows of all episodes.
        folder: Folder for the videos.
        groups: Those that are filmed; all by default.
    """
    first: dict[tuple[str, bool], int] = {}
    for number, row in enumerate(rows):
        if groups is None or row.group in groups:
            first.setdefault((row.group, row.success), number)
    films = []
    for (group, success), number in first.items():
        outcome = "success" if success else "failure"
        where = " ".join(part for part in (group, rows[number].level) if part)
        text = f"{name} · {where} {rows[number].index + 1} · {outcome}"
        films.append(PlannedFilm(number, folder / f"{group}-{outcome}.mp4", text))
    return films


def with_films(rows: Sequence[EpisodeRow], films: Sequence[PlannedFilm], folder: Path) -> list[EpisodeRow]:
    """The rows, those that were filmed with their video's address from `folder`."""
    found = list(rows)
    for each in films:
        beside = Path(os.path.relpath(each.path.resolve(), folder.resolve())).as_posix()
        found[each.row] = found[each.row].model_copy(update={"video": beside})
    return found
