"""Independent tasks over several processes, on one machine or, through Ray, on several.

A process that dies (killed by hand, by the system for want of memory, by a crash in native code) is replaced and its
task done again; whoever stops asking for results stops the processes. These are our own for that: `concurrent.futures`
and loky give up the whole pool when one of its processes is killed and do not say which task it was at, and pebble's
processes share one queue, whose lock a killed process can take with it. Here each has a pipe of its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from autoarm.runtime.execution import LossCounter, TaskExecutor, TaskOutcome, portable_error
from autoarm.runtime.threads import environment_for_children
from gym_autoarm.errors import InvalidInputError

_GOODBYE: Final = 10.0
"""Seconds that a process has to close what it made, once the work is done."""


def run_tasks[T, R](
    tasks: Sequence[T],
    start: Callable[[], Callable[[T], R]],
    *,
    workers: int = 1,
    ray: str | None = None,
    retries: int = 2,
    on_retry: Callable[[int, str], None] | None = None,
) -> Generator[tuple[int, R]]:
    """Do `tasks` in processes that hold one thread each, and yield each one's number and result when it is done.

    Closing the generator, and an interruption, end the processes at once. What a task returns must depend on the task
    alone; then the results are the same whatever the number of processes.

    Args:
        tasks: What to do; with several processes they must pickle, and so must `start` and the results.
        start: Called once in each process; makes the function that does a task. It may load what takes time. Where the
            function has a `close()`, that is called at the end.
        workers: Processes. One is this process itself. More need a `__main__` that can be imported, as
            `multiprocessing` says.
        ray: Address of a Ray cluster whose machines do the work, one CPU a process. `auto` is the cluster that
            `RAY_ADDRESS` names or that runs here, and one that is started for these tasks if there is none. Paths in
            the tasks must mean the same on every machine.
        retries: How often a task is tried again whose process died.
        on_retry: Called before that with the task's number and what happened.

    Raises:
        InvalidInputError: If the numbers make no sense, Ray is not installed, or the cluster cannot be reached.
        AutoArmError: If the process of one task died more than `retries` times.
        BaseException: What `start` and the tasks raise comes through as it is, and ends the run.
    """
    if workers < 1:
        raise InvalidInputError(f"{workers} processes do no work", field="workers", cure="at least 1")
    if retries < 0:
        raise InvalidInputError(f"{retries} is negative", field="retries", cure="0 or more")
    workers = min(workers, len(tasks))
    losses = LossCounter(retries, on_retry)
    if ray is not None:
        from autoarm.runtime.ray_workers import require_ray, run_in_ray

        require_ray()
        return run_in_ray(tasks, start, ray, workers, losses)
    if workers <= 1:
        return _run_here(tasks, start)
    return _run_in_processes(tasks, start, workers, losses)


def in_order[R](results: Generator[tuple[int, R]]) -> Generator[R]:
    """What `run_tasks` yields in the order of the tasks; each result as soon as those before it are there."""
    early: dict[int, R] = {}
    following = 0
    with contextlib.closing(results):
        for index, result in results:
            early[index] = result
            while following in early:
                yield early.pop(following)
                following += 1


# -- One task ----------------------------------------------------------------------------------------------------------


def _run_here[T, R](tasks: Sequence[T], start: Callable[[], Callable[[T], R]]) -> Generator[tuple[int, R]]:
    with contextlib.closing(TaskExecutor(start)) as executor:
        for index, task in enumerate(tasks):
            yield index, executor.do(task)


# -- Processes of this machine -----------------------------------------------------------------------------------------


def _run_in_processes[T, R](
    tasks: Sequence[T], start: Callable[[], Callable[[T], R]], workers: int, losses: LossCounter
) -> Generator[tuple[int, R]]:
    waiting = deque(range(len(tasks)))
    busy: list[_Worker[T, R]] = []
    leaving: list[_Worker[T, R]] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                busy.append(_Worker(start))
                busy[-1].give(waiting[0], tasks[waiting.popleft()])
            ready = wait([sign for worker in busy for sign in worker.signs])
            for worker in [worker for worker in busy if not worker.signs.isdisjoint(ready)]:
                index, outcome = worker.index, worker.take()
                if outcome is None:
                    busy.remove(worker)
                    waiting.appendleft(index)
                    losses.add(index, worker.ending())
                    continue
                result = outcome.get()
                # The next task before the result: the process works while the caller looks at it.
                if waiting:
                    worker.give(waiting[0], tasks[waiting.popleft()])
                else:
                    busy.remove(worker)
                    leaving.append(worker)
                    worker.dismiss()
                yield index, result
    except BaseException:
        for worker in (*busy, *leaving):
            worker.kill()
        raise
    finally:
        for worker in (*busy, *leaving):
            worker.join()


class _Worker[T, R]:
    """A process that does one task after another."""

    index: int
    """Number of the task it is doing."""

    def __init__(self, start: Callable[[], Callable[[T], R]]) -> None:
        # Spawned rather than forked: neither torch's threads nor a GL context survive a fork.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, start), daemon=True)
        with environment_for_children(), _without_interruptions():
            self._process.start()
        theirs.close()  # so that the connection ends with the process
        self.signs: frozenset[Any] = frozenset((self._connection, self._process.sentinel))
        """What `multiprocessing.connection.wait` finds ready when there is an outcome, or never will be."""

    def give(self, index: int, task: T) -> None:
        self.index = index
        # Where the process is dead, `take` will say so.
        with contextlib.suppress(OSError):
            self._connection.send((task,))

    def take(self) -> TaskOutcome[R] | None:
        """The outcome of its task; None if the process died over it."""
        try:
            if self._connection.poll():
                outcome: TaskOutcome[R] = self._connection.recv()
                return outcome
        except (EOFError, OSError):
            pass
        return None

    def ending(self) -> str:
        """How the process came to its end."""
        self.kill()  # it may have hung up without dying
        self.join()
        code = self._process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"process {self._process.pid} ended with {how}"

    def dismiss(self) -> None:
        """Let it close what it made and go."""
        with contextlib.suppress(OSError):
            self._connection.send(None)

    def kill(self) -> None:
        self._process.kill()

    def join(self) -> None:
        """Wait for its end, and not for ever."""
        self._process.join(_GOODBYE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._connection.close()


def _serve(connection: Connection[Any, Any], start: Callable[[], Callable[[Any], Any]]) -> None:
    """Do tasks until there are no more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.closing(TaskExecutor(start)) as executor:
        while (message := connection.recv()) is not None:
            outcome = TaskOutcome.of(executor, *message)
            try:
                connection.send(outcome)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                connection.send(TaskOutcome(error=portable_error(error), where="its result cannot be pickled"))


def _end_with_parent() -> None:
    # Otherwise a process whose parent was killed would finish its task first.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _without_interruptions() -> Iterator[None]:
    """Processes started in the block never see Ctrl-C: it is the parent's to handle, which gets its own afterwards."""
    # The first process brings multiprocessing's tracker with it, whose start would let interruptions through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
