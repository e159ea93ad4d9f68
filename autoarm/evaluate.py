"""Measure a policy: the same episodes and the same rows whatever the number of processes.

A frame is drawn only when the policy looks, which for a chunked policy is once a chunk. Videos are made afterwards, by
taking the same actions again from the same scene.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from pydantic_core import to_jsonable_python

from autoarm.platform_info import describe_platform
from autoarm.policies.loading import describe_policy, load_policy
from autoarm.policies.protocol import Policy
from autoarm.results import EpisodeRow, Interval, Result, Setting
from autoarm.rollout import Episode, Rollout, rollout
from autoarm.statistics import wilson_interval
from autoarm.video import film
from gym_autoarm import ENV_ID, spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream
from gym_autoarm.sampling import SceneDistribution

EVERYWHERE: Final = "everywhere"
"""The group of episodes whose cube may lie anywhere in the work area."""


@dataclass(frozen=True)
class PolicySource:
    """How every process makes its own copy of the policy and of the environment."""

    policy: str | Policy
    dataset: Path | None = None
    device: str = "cpu"
    image_size: tuple[int, int] = spec.IMAGE_SIZE
    time_limit: int = spec.TIME_LIMIT

    def load(self) -> Policy:
        """The policy itself, or the one that a reference names; see `load_policy`."""
        if isinstance(self.policy, str):
            return load_policy(self.policy, self.dataset, self.device, self.image_size)
        return self.policy


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
    videos: Path | None = None,
    relative_to: Path | None = None,
    progress: Callable[[EpisodeRow], None] | None = None,
    command: Sequence[str] = (),
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
        videos: Folder for a video of each group's first success and first failure.
        relative_to: Folder that the result's `video` paths start from; by default `videos`.
        progress: Called with every row as it comes in, in order.
        command: The command line, for the record.

    Raises:
        AutoArmError: If the policy cannot be loaded or the settings make no sense, before anything runs. What a policy
            raises later, and actions that are not six finite numbers, become a row with `error`.
    """
    distribution = distribution or SceneDistribution(cube="spots")
    planned = plan_episodes(distribution, episodes, seed)
    if workers < 1:
        raise InvalidInputError(f"{workers} processes do no work", field="workers", cure="at least 1")
    source = PolicySource(policy, dataset, device, image_size, time_limit)
    loaded = source.load()
    who = describe_policy(loaded)
    where = describe_platform(gl=loaded.needs_images)

    started = time.perf_counter()
    rollouts = []
    with processes(workers, source) as pool:
        for done in run_episodes(source, loaded, planned, pool):
            rollouts.append(done)
            if progress is not None:
                progress(done.row)
        seconds = time.perf_counter() - started
        rows = [done.row for done in rollouts]
        if videos is not None:
            rows = _with_videos(who.name, planned, rollouts, videos, relative_to or videos, pool)

    return Result(
        policy=who,
        setting=Setting(
            env_id=ENV_ID,
            distribution=to_jsonable_python(distribution),
            image_size=image_size,
            time_limit=time_limit,
            seed=seed,
            episodes=episodes,
            command=list(command),
        ),
        platform=where,
        rows=rows,
        overall=success_interval(rows),
        groups=group_intervals(rows),
        seconds=seconds,
    )


def plan_episodes(distribution: SceneDistribution, episodes: int, seed: int) -> list[Episode]:
    """The episodes of a run: group by group, each scene a function of `seed`, its group and its number in it alone.

    Raises:
        InvalidInputError: If there would be none.
    """
    if episodes < 1:
        raise InvalidInputError(f"{episodes} episodes measure nothing", field="episodes", cure="at least 1")
    if seed < 0:
        raise InvalidInputError(f"{seed} is no seed", field="seed", cure="choose 0 or more")
    groups = distribution.spots if distribution.cube == "spots" else (EVERYWHERE,)
    planned = []
    for place, group in enumerate(groups):
        # The first groups take one more where the episodes do not divide evenly.
        for index in range(episodes // len(groups) + (place < episodes % len(groups))):
            episode_seed = int(stream(seed, "episode", group, index).integers(2**32))
            scene = distribution.sample(episode_seed, None if group == EVERYWHERE else group)
            planned.append(Episode(group, index, episode_seed, scene))
    return planned


def success_interval(rows: Sequence[EpisodeRow]) -> Interval:
    """The success rate over `rows`, at least one, with its 95 % Wilson interval."""
    successes = sum(row.success for row in rows)
    low, high = wilson_interval(successes, len(rows))
    return Interval(successes=successes, episodes=len(rows), rate=successes / len(rows), low=low, high=high)


def group_intervals(rows: Sequence[EpisodeRow]) -> dict[str, Interval]:
    """The success rate of every group, in order of appearance."""
    members: dict[str, list[EpisodeRow]] = {}
    for row in rows:
        members.setdefault(row.group, []).append(row)
    return {group: success_interval(own) for group, own in members.items()}


# -- Processes ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def processes(workers: int, source: PolicySource) -> Iterator[Executor | None]:
    """A pool for `run_episodes`, or None where one process is to do it all."""
    if workers == 1:
        yield None
        return
    # Spawned rather than forked: neither torch's threads nor a GL context survive a fork.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (source,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def run_episodes(
    source: PolicySource, policy: Policy, episodes: Sequence[Episode], pool: Executor | None = None
) -> Iterator[Rollout]:
    """What comes of `episodes`, in their order, run here with `policy` or in a pool whose processes load their own."""
    if pool is not None:
        yield from pool.map(_run_in_worker, episodes)
        return
    runner = _Runner(source, policy)
    try:
        yield from map(runner.run, episodes)
    finally:
        runner.close()


class _Runner:
    """A policy and the environment it acts in."""

    def __init__(self, source: PolicySource, policy: Policy) -> None:
        self._policy = policy
        self._env = PickIntoBoxEnv(source.image_size, policy.needs_images, time_limit=source.time_limit)

    def run(self, episode: Episode) -> Rollout:
        with _one_torch_thread():
            return rollout(self._env, self._policy, episode)

    def close(self) -> None:
        self._env.close()


_worker_source: PolicySource | None = None
_worker_runner: _Runner | None = None


def _start_worker(source: PolicySource) -> None:
    global _worker_source
    # llvmpipe would start a thread a core in every process; it reads this before its first frame.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    _worker_source = source


def _run_in_worker(episode: Episode) -> Rollout:
    global _worker_runner
    if _worker_runner is None:
        # Here rather than in the initializer, so that an error comes home as itself.
        assert _worker_source is not None
        _worker_runner = _Runner(_worker_source, _worker_source.load())
    return _worker_runner.run(episode)


@contextlib.contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Sums split over several threads round differently: one thread gives the same actions on any number of cores."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# -- Videos ------------------------------------------------------------------------------------------------------------


def _with_videos(
    name: str,
    episodes: Sequence[Episode],
    rollouts: Sequence[Rollout],
    folder: Path,
    relative_to: Path,
    pool: Executor | None,
) -> list[EpisodeRow]:
    """The rows, the first success and the first failure of each group with a video."""
    first: dict[tuple[str, bool], int] = {}
    for number, done in enumerate(rollouts):
        first.setdefault((done.row.group, done.row.success), number)
    outcomes = ["success" if success else "failure" for _, success in first]
    paths = [folder / f"{group}-{outcome}.mp4" for (group, _), outcome in zip(first, outcomes, strict=True)]
    texts = [
        f"{name} · {group} {episodes[number].index + 1} · {outcome}"
        for ((group, _), number), outcome in zip(first.items(), outcomes, strict=True)
    ]
    scenes = [episodes[number].scene for number in first.values()]
    actions = [rollouts[number].actions for number in first.values()]
    list((map if pool is None else pool.map)(film, paths, scenes, actions, texts))
    rows = [done.row for done in rollouts]
    for number, path in zip(first.values(), paths, strict=True):
        beside = Path(os.path.relpath(path.resolve(), relative_to.resolve())).as_posix()
        rows[number] = rows[number].model_copy(update={"video": beside})
    return rows
