"""The one engine behind every measurement: episodes in, rows out.

The rows are the same whatever the number of processes, and however often a run is interrupted: a journal beside the
result keeps every row as it is done. A frame is drawn only when the policy looks: once a chunk, for a policy that acts
in chunks. Videos are made afterwards, by taking the same actions again from the same scene.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoarm.evaluation.backend import check_robot
from autoarm.evaluation.films import plan_films, with_films
from autoarm.evaluation.rollout import Rollout, rollout
from autoarm.evaluation.source import PolicySource
from autoarm.evaluation.video import film
from autoarm.policies.describe import describe_policy
from autoarm.policies.protocol import Policy
from autoarm.results.journal import Journal, JournalHeader, journal_path
from autoarm.results.result import EpisodeRow, Result, Setting
from autoarm.runtime.tasks import in_order, run_tasks
from autoarm.runtime.threads import one_thread
from autoarm.suite.episodes import Episode, Key
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene import Scene


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: Rows that are there, those of an earlier run included.
        total: Rows that there will be.
        row: The one just done; None before the first.
    """

    done: int
    total: int
    row: EpisodeRow | None = None


@dataclass(frozen=True)
class Execution:
    """Where episodes are run, and who is told.

    Attributes:
        workers: Processes, here or in the cluster. More than one need the caller's `__main__` to be importable, as
            `multiprocessing` says.
        ray: Address of a Ray cluster whose machines run the episodes, or `auto`.
        progress: Called before the first episode and with every row as it comes in.
        on_retry: Called with an episode's number and what happened when it is run again because its process died.
    """

    workers: int = 1
    ray: str | None = None
    progress: Callable[[Progress], None] | None = None
    on_retry: Callable[[int, str], None] | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InvalidInputError(f"{self.workers} processes do no work", field="workers", cure="at least 1")

    def report(self, progress: Progress) -> None:
        """Tell whoever wants to know."""
        if self.progress is not None:
            self.progress(progress)


@dataclass(frozen=True)
class FilmTask:
    """A video to make: the actions that were taken, `(steps, 6)`, the scene that they were taken in, and a caption."""

    path: Path
    scene: Scene
    actions: NDArray[np.float64]
    text: str


class FilmMaker:
    """Makes one video after the other: what each process has."""

    def __call__(self, task: FilmTask) -> None:
        """Write the video."""
        film(task.path, task.scene, task.actions, task.text)


def make_films(tasks: Sequence[FilmTask], how: Execution) -> Generator[tuple[int, None]]:
    """Make videos on this machine, and yield each one's number as it is done."""
    return run_tasks(tasks, FilmMaker, workers=how.workers if how.ray is None else 1, on_retry=how.on_retry)


class EpisodeRunner:
    """A policy and the environment it acts in, on one thread: what each process has."""

    def __init__(self, source: PolicySource, policy: Policy | None = None) -> None:
        self._policy = source.load() if policy is None else policy
        self._env = source.make_env(self._policy.needs_images)
        self._robot = source.robot

    def __call__(self, episode: Episode) -> Rollout:
        """Run an episode."""
        table = None if self._robot is None else self._robot.scene(episode.scene)
        try:
            with one_thread():
                return rollout(self._env, self._policy, episode, table)
        except BaseException:
            # Whatever it was, Ctrl-C included: a real arm must not go on.
            self._env.close()
            raise

    def close(self) -> None:
        """Free the GL context; stop a real arm."""
        self._env.close()


def run(
    source: PolicySource, policy: Policy, episodes: Sequence[Episode], how: Execution
) -> Generator[tuple[int, Rollout]]:
    """Run episodes, and yield each one's number and what came of it as it is done.

    Args:
        source: How other processes load the policy.
        policy: What this process uses, where it does the work itself.
        episodes: What to run.
        how: Where they are run; its `progress` is the caller's to call.
    """
    here = how.workers == 1 and how.ray is None
    start = partial(EpisodeRunner, source, policy if here else None)
    return run_tasks(episodes, start, workers=how.workers, ray=how.ray, on_retry=how.on_retry)


def run_episodes(
    source: PolicySource, policy: Policy, episodes: Sequence[Episode], how: Execution | None = None
) -> Generator[Rollout]:
    """What comes of `episodes`, in their order, the same whatever the number of processes."""
    return in_order(run(source, policy, episodes, how or Execution()))


def measure(
    source: PolicySource,
    policy: Policy,
    episodes: Sequence[Episode],
    setting: Setting,
    how: Execution,
    *,
    out: Path | None = None,
    videos: Path | None = None,
    videos_from: Path | None = None,
) -> Result:
    """Run episodes and add up their rows.

    Args:
        source: How every process makes its policy and environment.
        policy: Loaded from it.
        episodes: What to run, in the order of the rows.
        setting: What the result says was run.
        how: Where episodes are run.
        out: File for the result. Beside it a journal keeps every row until the result is written; a run that finds the
            journal of the same run goes on from there.
        videos: Folder for a video of each group's first success and first failure.
        videos_from: Folder that the rows' `video` paths start from; by default that of `out`, or else `videos`.

    Raises:
        AutoArmError: If a real arm cannot do this, or the journal is another run's, before anything runs. What a policy
            raises later, and actions that must not reach the motors, become a row with `error`.
    """
    if source.robot is not None:
        check_robot(source.robot, policy, workers=how.workers, ray=how.ray, videos=videos, kept=out is not None)
    header = JournalHeader.of(describe_policy(policy), setting, source.describe_platform(policy))
    rows: dict[Key, EpisodeRow] = {}
    taken: dict[Key, NDArray[np.float64]] = {}
    with contextlib.nullcontext() if out is None else Journal(journal_path(out), header) as journal:
        if journal is not None:
            rows = {row.key: row for row in journal.rows}
        before, started = 0.0 if journal is None else journal.seconds, time.perf_counter()
        todo = [each for each in episodes if each.key not in rows]
        how.report(Progress(len(episodes) - len(todo), len(episodes)))
        # Closed whatever happens: an interrupted run leaves no process behind.
        with contextlib.closing(run(source, policy, todo, how)) as done:
            for _, each in done:
                rows[each.row.key] = each.row
                if videos is not None:
                    taken[each.row.key] = each.actions
                if journal is not None:
                    journal.add(each.row, before + time.perf_counter() - started)
                how.report(Progress(len(rows), len(episodes), each.row))
        seconds = before + time.perf_counter() - started
        ordered = [rows[each.key] for each in episodes]
        if videos is not None:
            films = plan_films(header.policy.name, ordered, videos)
            # Of rows that an earlier run has left, the actions are not known: these episodes are run again.
            lost = [episodes[one.row] for one in films if episodes[one.row].key not in taken]
            taken |= {again.row.key: again.actions for again in run_episodes(source, policy, lost, how)}
            tasks = []
            for one in films:
                episode = episodes[one.row]
                tasks.append(FilmTask(one.path, episode.scene, taken[episode.key], one.text))
            with contextlib.closing(make_films(tasks, how)) as made:
                for _ in made:
                    pass
            ordered = with_films(ordered, films, videos_from or (videos if out is None else out.parent))
        result = Result.from_rows(header.policy, setting, header.platform, ordered, seconds)
        if out is not None and journal is not None:
            result.save(out)
            journal.remove()
    return result
