"""Measure a policy on freshly drawn scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic_core import to_jsonable_python

from autoarm.evaluation.backend import Robot
from autoarm.evaluation.engine import Execution, Progress, measure
from autoarm.evaluation.source import PolicySource
from autoarm.policies.protocol import Policy
from autoarm.results.result import Result, Setting
from autoarm.runtime.files import check_writable
from autoarm.suite.episodes import plan_episodes
from gym_autoarm import spec
from gym_autoarm.body_files import body_name
from gym_autoarm.sampling import SceneDistribution


def evaluate(
    policy: str | Policy,
    *,
    distribution: SceneDistribution | None = None,
    episodes: int = 50,
    seed: int = 0,
    out: Path | None = None,
    dataset: Path | None = None,
    device: str = "cpu",
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
    time_limit: int = spec.TIME_LIMIT,
    workers: int = 1,
    ray: str | None = None,
    videos: Path | None = None,
    videos_from: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    on_retry: Callable[[int, str], None] | None = None,
    command: Sequence[str] = (),
    robot: Robot | None = None,
) -> Result:
    """Run a policy on freshly drawn scenes.

    Args:
        policy: What `load_policy` takes, or a policy; with several workers one that can be pickled.
        distribution: How scenes are drawn; by default at the five training spots.
        episodes: How many in all; spread evenly over the spots, where the distribution has spots.
        seed: Seed of the run, from which every episode's own is derived.
        out: File for the result; an interrupted run goes on from the journal beside it. See `engine.measure`.
        dataset: Folder of demonstrations, for the baselines that are made from them.
        device: Torch device of a checkpoint.
        image_size: Height and width of the frames that the policy sees.
        time_limit: Steps before an episode is truncated.
        workers: Processes. More than one need the caller's `__main__` to be importable, as `multiprocessing` says.
        ray: Address of a Ray cluster whose machines run the episodes, or `auto`.
        videos: Folder for a video of each group's first success and first failure.
        videos_from: Folder that the rows' `video` paths start from; by default that of `out`, or else `videos`.
        progress: Called before the first episode and with every row as it comes in.
        on_retry: Called when an episode is run again because its process died.
        command: The command line, for the record.
        robot: A real arm to act with instead of the simulated one; see `autoarm.evaluation.backend.load_robot`.

    Raises:
        AutoArmError: If the policy cannot be loaded or the settings make no sense, before anything runs. What a policy
            raises later, and actions that must not reach the motors, become a row with `error`.
    """
    distribution = distribution or SceneDistribution(cube="spots")
    planned = plan_episodes(distribution, episodes, seed)
    how = Execution(workers, ray, progress, on_retry)
    if out is not None:
        check_writable(out)
    source = PolicySource(policy, dataset, device, image_size, time_limit, robot)
    loaded = source.load()
    setting = Setting(
        env_id=source.env_id,
        distribution=to_jsonable_python(distribution),
        image_size=image_size,
        time_limit=time_limit,
        seed=seed,
        episodes=episodes,
        command=list(command),
        arm=None if robot is not None else body_name(distribution.base.body) or "own",
    )
    return measure(source, loaded, planned, setting, how, out=out, videos=videos, videos_from=videos_from)
