"""Where the videos of a result lie."""

from __future__ import annotations

from pathlib import Path

from autoarm.results.result import EpisodeRow


def video_file(folder: Path, row: EpisodeRow) -> Path | None:
    """The video of an episode, or `None` where there is none or it lies outside the result's folder."""
    if row.video is None:
        return None
    file = (folder / row.video).resolve()
    return file if file.is_file() and file.is_relative_to(folder.resolve()) else None
