"""Measure a policy: the same episodes and the same rows whatever the number of processes.

A frame is drawn only when the policy looks, which for a chunked policy is once a chunk. Videos are made afterwards, by
taking the same actions again from the same scene.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_jsonable_python

from autoarm.parallel import in_order, run_tasks
from autoarm.platform_info import describe_platform
from autoarm.policies.loading import describe_policy, load_policy
from autoarm.policies.protocol import Policy
from autoarm.results import EpisodeRow, Result, Setting
from autoarm.rollout import Episode, Rollout, rollout
from autoarm.threads import one_thread
from autoarm.video import film
from gym_autoarm import ENV_ID, spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene

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
    ray: str | None = None,
    videos: Path | None = None,
    relative_to: Path | None = None,
    progress: Callable[[EpisodeRow], None] | None = None,
    on_retry: Callable[[int, str], None] | None = None,
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
        ray: Address of a Ray cluster whose machines run the episodes, or `auto`.
        videos: Folder for a video of each group's first success and first failure.
        relative_to: Folder that the result's `video` paths start from; by default `videos`.
        progress: Called with every row as it comes in, in order.
        on_retry: Called when an episode is run again because its process died.
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
    with contextlib.closing(run_episodes(source, loaded, planned, workers, ray, on_retry)) as done_in_order:
        for done in done_in_order:
            rollouts.append(done)
            if progress is not None:
                progress(done.row)
    seconds = time.perf_counter() - started
    rows = [done.row for done in rollouts]
    if videos is not None:
        rows = _with_videos(who.name, planned, rollouts, videos, relative_to or videos, workers)

    setting = Setting(
        env_id=ENV_ID,
        distribution=to_jsonable_python(distribution),
        image_size=image_size,
        time_limit=time_limit,
        seed=seed,
        episodes=episodes,
        command=list(command),
    )
    return Result.from_rows(who, setting, where, rows, seconds)


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


# -- Running -----------------------------------------------------------------------------------------------------------


class Runner:
    """A policy and the environment it acts in, on one thread."""

    def __init__(self, source: PolicySource, policy: Policy | None = None) -> None:
        self._policy = source.load() if policy is None else policy
        self._env = PickIntoBoxEnv(source.image_size, self._policy.needs_images, time_limit=source.time_limit)

    def run(self, episode: Episode) -> Rollout:
        """What comes of an episode."""
        with one_thread():
            return rollout(self._env, self._policy, episode)

    __call__ = run

    def close(self) -> None:
        """Free the GL context."""
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
    films = [
        Film(path, episodes[number].scene, rollouts[number].actions, text)
        for path, number, text in zip(paths, first.values(), texts, strict=True)
    ]
    for _ in run_tasks(films, Camera, workers=workers):
        pass
    rows = [done.row for done in rollouts]
    for number, path in zip(first.values(), paths, strict=True):
        beside = Path(os.path.relpath(path.resolve(), relative_to.resolve())).as_posix()
        rows[number] = rows[number].model_copy(update={"video": beside})
    return rows
