"""Run a policy through a suite: the same rows whatever the number of processes, and however often it is interrupted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoarm.evaluation.backend import Robot, check_body
from autoarm.evaluation.evaluate import PolicySource, Runner
from autoarm.evaluation.films import plan_films, with_films
from autoarm.evaluation.video import film
from autoarm.policies.describe import describe_policy
from autoarm.policies.protocol import Policy
from autoarm.results.journal import Journal, JournalHeader, journal_path
from autoarm.results.result import EpisodeRow, Result, Setting, Size
from autoarm.runtime.files import check_writable
from autoarm.runtime.tasks import run_tasks
from autoarm.suite.draw import plan_suite
from autoarm.suite.episodes import Episode
from autoarm.suite.real_table import doable_axes
from autoarm.suite.suite import DEFAULT_SUITE, Suite, load_suite
from gym_autoarm.errors import InvalidInputError

Key = tuple[str, str, int, int]


@dataclass(frozen=True)
class Progress:
    """How far a run is: rows done, those of an earlier run included, of all there will be, and the row just done."""

    done: int
    total: int
    row: EpisodeRow | None = None


@dataclass(frozen=True)
class Film:
    """A task: run an episode once more and keep what it looked like."""

    episode: Episode
    path: Path
    text: str


def bench(
    policy: str | Policy,
    suite: str | Path | Suite = DEFAULT_SUITE,
    *,
    axes: Sequence[str] = (),
    size: Size = "standard",
    episodes: int | None = None,
    out: Path | None = None,
    dataset: Path | None = None,
    device: str = "cpu",
    image_size: tuple[int, int] | None = None,
    workers: int = 1,
    ray: str | None = None,
    videos: bool = False,
    progress: Callable[[Progress], None] | None = None,
    on_retry: Callable[[int, str], None] | None = None,
    command: Sequence[str] = (),
    robot: Robot | None = None,
) -> Result:
    """Measure a policy on a suite.

    Args:
        policy: What `load_policy` takes, or a policy; with several workers one that can be pickled.
        suite: A name, a YAML file, or a suite.
        axes: Names of axes; none stands for all.
        size: How many episodes, as the suite says.
        episodes: Instead of `size`: how many at every level.
        out: File for the result. Beside it a journal keeps every row until the result is written; a run that finds the
            journal of the same run goes on from there.
        dataset: For the baselines that are made from one.
        device: Of torch, for a checkpoint.
        image_size: Height and width of the frames, where they are not to be the suite's.
        workers: Processes, here or in the cluster.
        ray: Address of a Ray cluster, or `auto`.
        videos: Keep the first success and the first failure of every axis, in a folder beside `out` of its name.
        progress: Called before the first episode and with every row as it comes in.
        on_retry: Called when an episode is run again because its process died.
        command: The command line, for the record.
        robot: A real arm to act with instead of the simulated one; see `autoarm.evaluation.backend.load_robot`. Axes
            that only a simulation can do are left out, where `axes` does not name any.

    Raises:
        AutoArmError: If the policy, suite or settings are not usable, before anything runs, or if rows cannot be
            written. What a policy raises, and actions that are not six finite numbers, become a row with `error`.
    """
    if not isinstance(suite, Suite):
        suite = load_suite(suite)
    if episodes is not None:
        size = "custom"
    if robot is not None:
        axes = doable_axes(suite, axes)
    counts = suite.counts(size, episodes, axes)
    planned = plan_suite(suite, counts)
    if workers < 1:
        raise InvalidInputError(f"{workers} processes do no work", field="workers", cure="at least 1")
    if videos and out is None:
        raise InvalidInputError("there is no place for them", field="videos", cure="say where the result goes: `out`")
    if out is not None:
        check_writable(out)
    if image_size is None:
        image_size = suite.image_size if robot is None else robot.image_size
    source = PolicySource(policy, dataset, device, image_size, suite.time_limit, robot)
    loaded = source.load()
    if robot is not None:
        check_body(robot, loaded, workers=workers, ray=ray, videos=videos, kept=out is not None)
    header = JournalHeader.of(
        describe_policy(loaded),
        Setting(
            env_id=source.env_id,
            distribution={},
            image_size=source.image_size,
            time_limit=source.time_limit,
            seed=0,
            episodes=len(planned),
            suite=suite.record(size, counts),
        ),
        source.describe_platform(loaded),
    )
    start = start_tasks(source, loaded, workers, ray)
    pool = _Pool(start, workers, ray, on_retry)
    report = progress or (lambda _: None)
    rows: dict[Key, EpisodeRow] = {}
    with contextlib.nullcontext() if out is None else Journal(journal_path(out), header) as journal:
        if journal is not None:
            rows = {row.key: row for row in journal.rows}
        before, started = 0.0 if journal is None else journal.seconds, time.perf_counter()
        todo = [each for each in planned if episode_key(each) not in rows]
        report(Progress(len(planned) - len(todo), len(planned)))
        for row in pool.rows(todo):
            rows[row.key] = row
            if journal is not None:
                journal.add(row, before + time.perf_counter() - started)
            report(Progress(len(rows), len(planned), row))
        seconds = before + time.perf_counter() - started
        ordered = [rows[episode_key(each)] for each in planned]
        if videos and out is not None:
            ordered = pool.with_videos(header.policy.name, planned, ordered, out)
        setting = header.setting.model_copy(update={"command": list(command)})
        result = Result.from_rows(header.policy, setting, header.platform, ordered, seconds)
        if out is not None and journal is not None:
            result.save(out)
            journal.remove()
    return result


def episode_key(episode: Episode) -> Key:
    """The `key` of the episode's row."""
    return episode.key


# -- Tasks -------------------------------------------------------------------------------------------------------------


Start = Callable[[], Callable[[Episode | Film], EpisodeRow]]


def start_tasks(source: PolicySource, loaded: Policy, workers: int, ray: str | None) -> Start:
    """What `run_tasks` calls in each process: this one has a policy already, others load their own."""
    return partial(Worker, source, loaded if workers == 1 and ray is None else None)


class Worker:
    """Runs episodes with one policy in one environment."""

    def __init__(self, source: PolicySource, loaded: Policy | None = None) -> None:
        self._runner = Runner(source, source.load() if loaded is None else loaded)

    def __call__(self, task: Episode | Film) -> EpisodeRow:
        if isinstance(task, Episode):
            return self._runner.run(task).row
        done = self._runner.run(task.episode)
        film(task.path, task.episode.scene, done.actions, task.text)
        return done.row

    def close(self) -> None:
        """Free the GL context."""
        self._runner.close()


@dataclass(frozen=True)
class _Pool:
    start: Start
    workers: int
    ray: str | None
    on_retry: Callable[[int, str], None] | None

    def rows(self, episodes: Sequence[Episode]) -> Iterator[EpisodeRow]:
        """The rows of episodes, as they are done."""
        for _, row in self.run(episodes):
            yield row

    def run(self, tasks: Sequence[Episode | Film]) -> Iterator[tuple[int, EpisodeRow]]:
        if tasks:
            # Closed whatever happens: an interrupted run leaves no process behind.
            done = run_tasks(tasks, self.start, workers=self.workers, ray=self.ray, on_retry=self.on_retry)
            with contextlib.closing(done):
                yield from done

    def with_videos(
        self, name: str, episodes: Sequence[Episode], rows: Sequence[EpisodeRow], out: Path
    ) -> list[EpisodeRow]:
        """The rows of a result, the first success and the first failure of each axis with a video."""
        films = plan_films(name, rows, out.with_suffix(""))
        for _ in self.run([Film(episodes[each.row], each.path, each.text) for each in films]):
            pass
        return with_films(rows, films, out.parent)
