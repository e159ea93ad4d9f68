"""Tasks over the machines of a Ray cluster; `autoarm.runtime.tasks` says what a task is."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from autoarm.runtime.execution import LossCounter, TaskExecutor, TaskOutcome
from autoarm.runtime.threads import ENVIRONMENT
from gym_autoarm.errors import AutoArmError, InvalidInputError
from gym_autoarm.extras import require_extra

_STORE: Final = 80 * 2**20
"""Bytes of shared memory for a cluster of our own; tasks and results are small. Ray wants 75 MiB at least."""
_FAILED_STARTS: Final = 3
"""Actors that may die before their first task. That is the cluster's doing, not a task's."""
_GOODBYE: Final = 10.0
"""Seconds that an actor has to close what it made."""
_REACH: Final = 5.0
"""Seconds in which a cluster must answer; Ray by itself would try for half a minute."""

# Ray reads these when it is imported: no statistics sent home, and tasks that ask for no GPU may still see one.
_QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def require_ray() -> None:
    """Raise `MissingDependencyError` unless Ray is installed."""
    require_extra("ray", "Ray", "ray")


def run_in_ray[T, R](
    tasks: Sequence[T], start: Callable[[], Callable[[T], R]], address: str, workers: int, losses: LossCounter
) -> Generator[tuple[int, R]]:
    """See `autoarm.runtime.tasks.run_tasks`."""
    if not tasks:
        return
    with _connected(address, workers) as ray:
        # Without Ray's own restarts and retries: an actor that dies is replaced wherever there is room, and the task
        # counts its losses itself, as it does without Ray.
        hire = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Actor).remote
        waiting = deque(range(len(tasks)))
        actors: list[Any] = []
        calls: dict[Any, tuple[Any, int | None]] = {}  # what is awaited: by whom, and at which task
        failed_starts = 0

        def employ() -> None:
            actors.append(hire(start))
            # No task before the actor is there: one that the cluster has no room for would keep it waiting.
            calls[actors[-1].ready.remote()] = actors[-1], None

        def give(actor: Any, index: int) -> None:
            calls[actor.do.remote(tasks[index])] = actor, index

        try:
            for _ in range(workers):
                employ()
            left = len(tasks)
            while left:
                (call, *_), _ = ray.wait(list(calls))
                actor, index = calls.pop(call)
                try:
                    outcome = ray.get(call)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error  # such as a result that cannot be pickled
                except ray.exceptions.RayError as error:
                    reason = f"{type(error).__name__} on the cluster"
                    actors.remove(actor)
                    ray.kill(actor)  # it may only be out of reach
                    if index is not None:
                        waiting.appendleft(index)
                        losses.add(index, reason)
                    else:
                        failed_starts += 1
                        if failed_starts > _FAILED_STARTS:
                            raise AutoArmError(
                                f"{failed_starts} processes died before their first task; the last time, {reason}",
                                field="ray",
                                cure="look at the cluster's logs",
                            ) from error
                    if waiting:
                        employ()
                    continue
                result: Any = None if index is None else outcome.get()
                if waiting:
                    give(actor, waiting.popleft())
                if index is not None:
                    left -= 1
                    yield index, result
            with contextlib.suppress(ray.exceptions.RayError):
                closing = [actor.close.remote() for actor in actors]
                ray.wait(closing, num_returns=len(closing), timeout=_GOODBYE)
        finally:
            for actor in actors:
                ray.kill(actor)


class _Actor:
    """A executor in a process of the cluster."""

    def __init__(self, start: Callable[[], Callable[[Any], Any]]) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._desk = TaskExecutor(start)

    def ready(self) -> None:
        """Returns when the actor is there."""

    def do(self, task: Any) -> TaskOutcome[Any]:
        return TaskOutcome.of(self._desk, task)

    def close(self) -> None:
        self._desk.close()


@contextlib.contextmanager
def _connected(address: str, workers: int) -> Iterator[Any]:
    """The module `ray`, connected to a cluster. A connection that the caller has made is used, and left as it is."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "auto")
    try:
        if address == "auto":
            try:
                ray.init("auto", **quiet)
            except ConnectionError:
                ray.init("local", num_cpus=workers, include_dashboard=False, object_store_memory=_STORE, **quiet)
        else:
            _check_reachable(address)
            ray.init(address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InvalidInputError(
            f"no Ray cluster at {address!r}: {reason}",
            field="ray",
            cure="start one with `ray start --head` and give its address, host:port",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise `OSError` or `ValueError` unless something listens at `host:port` or `ray://host:port`."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    if not parts.hostname or not parts.port:
        raise ValueError("not host:port")
    socket.create_connection((parts.hostname, parts.port), _REACH).close()
