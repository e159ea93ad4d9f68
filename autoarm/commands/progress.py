"""The progress bar of the commands that run episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from autoarm.evaluation.bench import Progress as Done


@contextmanager
def progress_bar(name: str, console: Console) -> Iterator[Callable[[Done], None]]:
    """A bar, and what moves it; the successes it counts are those of this run."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
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
