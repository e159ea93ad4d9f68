"""Progress of a long command: bars in a terminal, and a line now and then in a file."""

from __future__ import annotations

import time
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn

_EVERY: Final = 10.0
"""Seconds between two lines."""


class Bars(Progress):
    """Rich's progress bars, which become plain lines where there is no terminal: a log file has no use for bars.

    A line says what is done, how much of it, and about how long the rest takes. Tasks may have a field `note`.

    Args:
        columns: What a bar shows; by default description, bar, note or count, and the time that is left.
        console: Where it is shown; standard error, by default.
        quiet: Nothing is shown at all.
        transient: Whether bars vanish when they are done.
    """

    def __init__(
        self, *columns: ProgressColumn, console: Console | None = None, quiet: bool = False, transient: bool = False
    ) -> None:
        console = console or Console(stderr=True)
        shown = columns or (TextColumn("{task.description}"), BarColumn(), _HowMuch(), TimeRemainingColumn())
        self._lines = not (quiet or console.is_terminal)
        self._said = time.monotonic()
        super().__init__(*shown, console=console, transient=transient, disable=quiet or self._lines)

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Move a bar; see rich. Where there is no terminal, say how far it is, unless that was said just now."""
        super().update(task_id, **changes)
        if self._lines and (now := time.monotonic()) - self._said >= _EVERY:
            self._said = now
            task = next(task for task in self.tasks if task.id == task_id)
            self.console.print(line(task), markup=False, highlight=False, soft_wrap=True)


def line(task: Task) -> str:
    """How far a task is, in words."""
    left = task.time_remaining
    rest = "" if left is None else f", {_duration(left)} left"
    return f"{task.description}: {how_much(task)}{rest}"


def how_much(task: Task) -> str:
    """The task's note if it has one, or how many of how many."""
    note: str = task.fields.get("note", "")
    total = "" if task.total is None else f"/{task.total:g}"
    return note or f"{task.completed:g}{total}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


class _HowMuch(ProgressColumn):
    def render(self, task: Task) -> str:
        return how_much(task)
