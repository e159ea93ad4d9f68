"""Measure a policy: the same episodes and the same rows whatever the number of processes.

A frame is drawn only when the policy looks, which for a chunked policy is once a chunk. Videos are made afterwards, by
taking the same actions again from the same scene.
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
from pydantic_core import to_jsonable_python

from autoarm.evaluation.backend import REAL_ENV_ID, Env, Robot, check_body, describe_body
from autoarm.evaluation.films import plan_films, with_films
from autoarm.evaluation.rollout import Rollout, rollout
from autoarm.evaluation.video import film
from autoarm.policies.describe import describe_policy
from autoarm.policies.loading import load_policy
from autoarm.policies.protocol import Policy
from autoarm.results.journal import Journal, JournalHeader
from autoarm.results.platform import describe_platform
from autoarm.results.result import EpisodeRow, Platform, Result, Setting
from autoarm.runtime.tasks import in_order, run_tasks
from autoarm.runtime.threads import one_thread
from autoarm.suite.episodes import Episode, plan_episodes
from gym_autoarm import ENV_ID, spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene


@dataclass(frozen=True)
class PolicySource:
    """How every process makes its own copy of the policy and of the environment."""

    policy: str | Policy
    dataset: Path | None = None
    device: str = "cpu"
    image_size: tuple[int, int] = spec.IMAGE_SIZE
    time_limit: int = spec.TIME_LIMIT
    robot: Robot | None = None

    def load(self) -> Policy:
        """The policy itself, or the one that a reference names; see `load_policy`."""
        if isinstance(self.policy, str):
            return load_policy(self.policy, self.dataset, self.device, self.image_size)
        return self.policy

    def make_env(self, cameras: bool) -> Env:
        """The environment to act in: the robot's, if there is one; `cameras` says whether frames are drawn at all."""
        if self.robot is not None:
            env: Env = self.robot.make_env(image_size=self.image_size, time_limit=self.time_limit)
            return env
        return PickIntoBoxEnv(self.image_size, cameras, time_limit=self.time_limit)

    def describe_platform(self, policy: Policy) -> Platform:
        """Where `policy` is measured."""
        if self.robot is None:
            return describe_platform(gl=policy.needs_images)
        return describe_platform(gl=False).model_copy(update={"body": describe_body(self.robot)})

    @property
    def env_id(self) -> str:
        """What Gymnasium calls the environment."""
        return ENV_ID if self.robot is None else REAL_ENV_ID


def evaluate(
    policy: str | Policy,
    *,
    distribution: SceneDistribution | None = None,
    episodes: int = 50,
    seed: int = 0,
    dataset: Path | None = None,
    device: str = "cpu",
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
    time_limit: int = spec.TIME_LIMIT,
    workers: int = 1,
    ray: str | None = None,
    videos: Path | None = None,
    relative_to: Path | None = None,
    progress: Callable[[EpisodeRow], None] | None = None,
    on_retry: Callable[[int, str], None] | None = None,
    command: Sequence[str] = (),
    robot: Robot | None = None,
    journal: Path | None = None,
) -> Result:
    """Run a policy on freshly drawn scenes.

    Args:
        policy: What `load_policy` takes, or a policy; with several workers one that can be pickled.
        distribution: How scenes are drawn; by default at the five training spots.
        episodes: How many in all; spread evenly over the spots, where the distribution has spots.
        seed: Of the run; every episode's own is derived from it.
        dataset: For the baselines that are made from one.
        device: Of torch, for a checkpoint.
        image_size: Height and width of the frames that the policy sees.
        time_limit: Steps before an episode is truncated.
        workers: Processes. More than one need the caller's `__main__` to be importable, as `multiprocessing` says.
        ray: Address of a Ray cluster whose machines run the episodes, or `auto`.
        videos: Folder for a video of each group's first success and first failure.
        relative_to: Folder that the result's `video` paths start from; by default `videos`.
        progress: Called with every row as it comes in, in order.
        on_retry: Called when an episode is run again because its process died.
        command: The command line, for the record.
        robot: A real arm to act with instead of the simulated one; see `autoarm.evaluation.backend.load_robot`.
        journal: File that keeps every row as it comes in; a run that finds that of the same run goes on from there. It
            is the caller's to delete, once the result is in its place. Goes without videos.

    Raises:
        AutoArmError: If the policy cannot be loaded or the settings make no sense, before anything runs. What a policy
            raises later, and actions that are not six finite numbers, become a row with `error`.
    """
    distribution = distribution or SceneDistribution(cube="spots")
    planned = plan_episodes(distribution, episodes, seed)
    if workers < 1:
        raise InvalidInputError(f"{workers} processes do no work", field="workers", cure="at least 1")
    if videos is not None and journal is not None:
        raise InvalidInputError("are of whole runs", field="videos", cure="leave out the journal, or the videos")
    source = PolicySource(policy, dataset, device, image_size, time_limit, robot)
    loaded = source.load()
    if robot is not None:
        check_body(robot, loaded, workers=workers, ray=ray, videos=videos, kept=journal is not None)
    setting = Setting(
        env_id=source.env_id,
        distribution=to_jsonable_python(distribution),
        image_size=image_size,
        time_limit=time_limit,
        seed=seed,
        episodes=episodes,
        command=list(command),
    )
    header = JournalHeader.of(describe_policy(loaded), setting, source.describe_platform(loaded))
    rollouts: list[Rollout] = []
    with contextlib.nullcontext() if journal is None else Journal(journal, header) as kept:
        rows = {} if kept is None else {row.key: row for row in kept.rows}
        before, started = 0.0 if kept is None else kept.seconds, time.perf_counter()
        for row in rows.values():
            if progress is not None:
                progress(row)
        todo = [each for each in planned if each.key not in rows]
        with contextlib.closing(run_episodes(source, loaded, todo, workers, ray, on_retry)) as done_in_order:
            for done in done_in_order:
                rollouts.append(done)
                rows[done.row.key] = done.row
                if kept is not None:
                    kept.add(done.row, before + time.perf_counter() - started)
                if progress is not None:
                    progress(done.row)
        seconds = before + time.perf_counter() - started
    ordered = [rows[each.key] for each in planned]
    if videos is not None:
        ordered = _with_videos(header.policy.name, planned, rollouts, videos, relative_to or videos, workers)
    return Result.from_rows(header.policy, setting, header.platform, ordered, seconds)


# -- Running -----------------------------------------------------------------------------------------------------------


class Runner:
    """A policy and the environment it acts in, on one thread."""

    def __init__(self, source: PolicySource, policy: Policy | None = None) -> None:
        self._policy = source.load() if policy is None else policy
        self._env = source.make_env(self._policy.needs_images)
        self._robot = source.robot

    def run(self, episode: Episode) -> Rollout:
        """What comes of an episode."""
        table = None if self._robot is None else self._robot.scene(episode.scene)
        try:
            with one_thread():
                return rollout(self._env, self._policy, episode, table)
        except BaseException:
            # Whatever it was, Ctrl-C included: a real arm must not go on.
            self._env.close()
            raise

    __call__ = run

    def close(self) -> None:
        """Free the GL context; stop a real arm."""
        self._env.close()


def run_episodes(
    source: PolicySource,
    policy: Policy,
    episodes: Sequence[Episode],
    workers: int = 1,
    ray: str | None = None,
    on_retry: Callable[[int, str], None] | None = None,
) -> Generator[Rollout]:
    """What comes of `episodes`, in their order, the same whatever the number of processes.

    Args:
        source: How other processes load the policy.
        policy: What this one uses, where it does the work itself.
        episodes: What to run.
        workers: Processes, here or in the cluster; one of those that dies is replaced.
        ray: Address of a Ray cluster, or `auto`.
        on_retry: Called with an episode's number and what happened, before it is run again.
    """
    start = partial(Runner, source, policy if workers == 1 and ray is None else None)
    return in_order(run_tasks(episodes, start, workers=workers, ray=ray, on_retry=on_retry))


# -- Videos ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Film:
    """What to film: the actions that were taken, from the scene that they were taken in."""

    path: Path
    scene: Scene
    actions: NDArray[np.float64]
    text: str


class Camera:
    """Makes one film after the other."""

    def __call__(self, task: Film) -> None:
        """Write the video of a film."""
        film(task.path, task.scene, task.actions, task.text)


def _with_videos(
    name: str,
    episodes: Sequence[Episode],
    rollouts: Sequence[Rollout],
    folder: Path,
    relative_to: Path,
    workers: int,
) -> list[EpisodeRow]:
    """The rows, those of the films with a video."""
    rows = [done.row for done in rollouts]
    films = plan_films(name, rows, folder)
    tasks = [Film(each.path, episodes[each.row].scene, rollouts[each.row].actions, each.text) for each in films]
    for _ in run_tasks(tasks, Camera, workers=workers):
        pass
    return with_films(rows, films, relative_to)
