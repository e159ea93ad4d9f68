"""One task, in whatever process it is done: run it, bring its result or its error home, count lost processes."""

from __future__ import annotations

import pickle
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from autoarm.runtime.threads import one_thread
from gym_autoarm.errors import AutoArmError


class TaskExecutor[T, R]:
    """Where tasks are done, in any kind of process: makes the function when the first task comes, and holds threads."""

    def __init__(self, start: Callable[[], Callable[[T], R]]) -> None:
        self._start = start
        self._function: Callable[[T], R] | None = None

    def do(self, task: T) -> R:
        if self._function is None:
            with one_thread():
                self._function = self._start()
        with one_thread():  # once more: of libraries that were loaded in between, too
            return self._function(task)

    def close(self) -> None:
        close = getattr(self._function, "close", None)
        if callable(close):
            close()


@dataclass(frozen=True)
class TaskOutcome[R]:
    """What came of a task in another process: a result, or an error and where it was raised."""

    result: R | None = None
    error: BaseException | None = None
    where: str = ""

    @classmethod
    def of[T](cls, executor: TaskExecutor[T, R], task: T) -> TaskOutcome[R]:
        """Do the task."""
        try:
            return cls(executor.do(task))
        except BaseException as error:
            return cls(error=portable_error(error), where=traceback.format_exc())

    def get(self) -> R:
        """The result. Raises the error."""
        if self.error is not None:
            self.error.add_note(f"\nIn the process that did the task:\n{self.where}")
            raise self.error
        return self.result  # type: ignore[return-value]


def portable_error(error: BaseException) -> BaseException:
    """The error, or where it cannot travel between processes, one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class LossCounter:
    """Counts, task by task, how often the process died that was at it."""

    def __init__(self, retries: int, on_retry: Callable[[int, str], None] | None) -> None:
        self._retries = retries
        self._on_retry = on_retry
        self._counts: Counter[int] = Counter()

    def add(self, index: int, reason: str) -> None:
        """Raises `AutoArmError` if it was once too often."""
        self._counts[index] += 1
        if self._counts[index] > self._retries:
            raise AutoArmError(
                f"its process died {self._counts[index]} times; the last time, {reason}",
                field=f"task {index}",
                cure="if the system lacks memory, use fewer workers",
            )
        if self._on_retry is not None:
            self._on_retry(index, reason)
