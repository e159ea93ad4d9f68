"""Measure a policy on a suite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from autoarm.evaluation.backend import Robot
from autoarm.evaluation.engine import Execution, Progress, measure
from autoarm.evaluation.source import PolicySource
from autoarm.policies.protocol import Policy
from autoarm.results.result import Result, Setting, Size
from autoarm.runtime.files import check_writable
from autoarm.suite.draw import plan_suite
from autoarm.suite.real_table import doable_axes
from autoarm.suite.suite import DEFAULT_SUITE, Suite, load_suite
from gym_autoarm.errors import InvalidInputError


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
        episodes: Episodes at every level, instead of `size`.
        out: File for the result. Beside it a journal keeps every row until the result is written; a run that finds the
            journal of the same run goes on from there.
        dataset: Folder of demonstrations, for the baselines that are made from them.
        device: Torch device of a checkpoint.
        image_size: Height and width of the frames; by default the suite's or, on a real arm, its cameras'.
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
            written. What a policy raises, and actions that must not reach the motors, become a row with `error`.
    """
    if not isinstance(suite, Suite):
        suite = load_suite(suite)
    if episodes is not None:
        size = "custom"
    if robot is not None:
        axes = doable_axes(suite, axes)
    counts = suite.counts(size, episodes, axes)
    planned = plan_suite(suite, counts)
    how = Execution(workers, ray, progress, on_retry)
    if videos and out is None:
        raise InvalidInputError("there is no place for them", field="videos", cure="say where the result goes: `out`")
    if out is not None:
        check_writable(out)
    if image_size is None:
        image_size = suite.image_size if robot is None else robot.image_size
    source = PolicySource(policy, dataset, device, image_size, suite.time_limit, robot)
    loaded = source.load()
    setting = Setting(
        env_id=source.env_id,
        distribution={},
        image_size=image_size,
        time_limit=suite.time_limit,
        seed=0,
        episodes=len(planned),
        suite=suite.record(size, counts),
        arm=suite.body if robot is None else None,
        command=list(command),
    )
    folder = out.with_suffix("") if videos and out is not None else None
    return measure(source, loaded, planned, setting, how, out=out, videos=folder)
