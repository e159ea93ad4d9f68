"""What long commands show while they run and when they are interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from autoarm.evaluation.engine import Progress as Done
    from autoarm.runtime.bars import Bars
    from autoarm.training.schedule import Progress as Steps


@contextmanager
def progress_bar(name: str, console: Console) -> Iterator[Callable[[Done], None]]:
    """A bar, and what moves it; the successes it counts are those of this run."""
    from autoarm.runtime.bars import Bars

    with Bars(console=console, transient=True) as bar:
        task = bar.add_task(f"{name}: getting ready", total=None)
        successes = 0

        def advance(done: Done) -> None:
            nonlocal successes
            if done.row is None:
                bar.reset(task, total=done.total, completed=done.done, description=name)
                return
            successes += done.row.success
            what = f"{name}: {done.row.group} {done.row.level}".rstrip()
            bar.update(task, completed=done.done, description=f"{what}, {successes} succeeded")

        yield advance


@contextmanager
def episode_bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar of recorded episodes, and what moves it: how many there are, and how many are wanted."""
    from autoarm.runtime.bars import Bars

    with Bars(console=console, transient=True) as bar:
        task = bar.add_task("episodes", total=None)
        yield lambda done, wanted: bar.update(task, completed=done, total=wanted)


def show_training(bars: Bars, task: TaskID) -> Callable[[Steps], None]:
    """What moves a bar of training."""
    return lambda now: bars.update(task, completed=now.step, note=now.note)


@contextmanager
def resumable(out: Path | None, console: Console) -> Iterator[None]:
    """Say, if a run that writes `out` is interrupted, where its rows so far are."""
    from autoarm.results.journal import journal_path

    try:
        yield
    except KeyboardInterrupt:
        if out is not None and (kept := journal_path(out)).is_file():
            console.print(f"rows so far: {kept}; the same command goes on from there", markup=False)
        raise
