"""The demonstration: record demonstrations, measure a policy and two baselines, write a report, in a few minutes."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from autoarm.results.platform import versions
from autoarm.results.result import Result
from autoarm.runtime.files import read_json, write_text
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.strict import StrictModel

if TYPE_CHECKING:
    from autoarm.demo.page import AttentionView
    from autoarm.evaluation.engine import Progress as EpisodesDone
    from autoarm.policies.protocol import Policy

REFERENCE_POLICY: Final = "act-five-spots"
"""The policy that is measured by default; it is shipped with autoarm."""
BASELINES: Final = ("nearest", "expert")
"""Baselines it is compared with: a look-up in the demonstrations just recorded, and the scripted expert."""
_FROM_DATASET: Final = ("nearest", "replay")
Place = Literal["spots", "everywhere"]
PLACES: Final[tuple[Place, ...]] = ("spots", "everywhere")
"""Where the cube lies: at the training spots, or anywhere in the work area."""

MARKER: Final = "demo.json"
"""File that marks a folder as a demonstration's, which may be written over."""
DATASET: Final = "dataset"
RESULT: Final = "result.json"
_VIDEOS: Final = "videos"
_ANOTHER_FOLDER: Final = "run the demonstration in another folder"

Progress = Callable[[str, int, int], None]
"""Called with the name of the current step, how much of it is done, and how much there is."""


class DemoMarker(StrictModel):
    """The file `demo.json`: seed, image size and versions that the recorded demonstrations depend on."""

    schema_version: Literal[1] = 1
    made_by: Literal["autoarm demo"] = "autoarm demo"
    seed: int = Field(ge=0)
    image_size: tuple[int, int]
    versions: dict[str, str]


class DemoResult(StrictModel):
    """The file `result.json` of a demonstration.

    Attributes:
        policy: The policy as the command named it.
        results: A result for each policy and place; their `video` paths are relative to the file's folder.
        attention: Shares of the first policy's attention in the report's picture; absent if it has none.
        seconds: Duration of the whole run.
    """

    schema_version: Literal[2] = 2
    policy: str
    seed: int = Field(ge=0)
    results: list[Result]
    attention: dict[str, float] | None = None
    seconds: float = Field(ge=0)

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> DemoResult:
        """Read a file back. Raises `InvalidFileError` naming the field that is wrong."""
        return read_json(cls, path, _ANOTHER_FOLDER)


@dataclass(frozen=True)
class DemoOutput:
    """Paths of the report and the result file, and the result."""

    report: Path
    result_file: Path
    result: DemoResult


def run_demo(
    out: Path,
    policy: str = REFERENCE_POLICY,
    seed: int = 0,
    episodes: int = 10,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
    on_progress: Progress | None = None,
) -> DemoOutput:
    """Record five demonstrations, one at each spot, measure `policy` and the baselines, and write a report.

    In a folder of an earlier run, demonstrations of the same seed and versions are kept, those that an interrupted run
    recorded too; everything else is made again.

    Args:
        out: Folder for everything: new, empty, or of an earlier run.
        policy: A policy as `autoarm.policies.loading.load_policy` takes it.
        seed: Random seed of demonstrations and episodes.
        episodes: Number of episodes of each policy at the training spots, and as many anywhere in the work area.
        image_size: Height and width of the frames, recorded and shown to the policies; even numbers.
        on_progress: See `Progress`.

    Raises:
        InvalidInputError: If there is no such policy, or an option is out of range; before anything is written.
        InvalidFileError: If the folder holds something else; nothing in it is changed.
    """
    from autoarm.data.collect import collect
    from autoarm.demo.page import write_report

    started = time.perf_counter()
    report = on_progress or (lambda what, done, wanted: None)
    run = _Run(out, seed, episodes, image_size, report)
    if episodes < 1:
        raise InvalidInputError(f"{episodes} episodes measure nothing", field="episodes", cure="at least 1")
    if seed < 0:
        raise InvalidInputError(f"{seed} is no seed", field="seed", cure="choose 0 or more")
    check_folder(out)
    report("load the policy", 0, 1)
    loaded = _load(policy, image_size)
    report("load the policy", 1, 1)
    with _claim(out, DemoMarker(seed=seed, image_size=image_size, versions=versions())):
        collect(
            run.dataset,
            episodes_per_spot=1,
            seed=seed,
            image_size=image_size,
            on_progress=lambda done, wanted: report("record demonstrations", done, wanted),
        )
        results = []
        for who in dict.fromkeys((policy, *BASELINES)):
            for cube in PLACES:
                # Videos of the baselines at the training spots would take long and show nothing new.
                filmed = who == policy or cube == "everywhere"
                results.append(run.measure(who, loaded if who == policy else who, cube, filmed))
        report("write the report", 0, 1)
        view = run.look(loaded, results[0])
        result = DemoResult(
            policy=policy,
            seed=seed,
            results=results,
            attention=None if view is None else view.attention.shares(),
            seconds=time.perf_counter() - started,
        )
        result.save(out / RESULT)
        command = ["autoarm", "demo", "--out", str(out), "--policy", policy, *run.options()]
        page = write_report(out, results, title="AutoArm demonstration", command=command, attention=view, data=RESULT)
        report("write the report", 1, 1)
    return DemoOutput(page, out / RESULT, result)


@dataclass(frozen=True)
class _Run:
    """The options of a demonstration, and its steps."""

    out: Path
    seed: int
    episodes: int
    image_size: tuple[int, int]
    report: Progress

    @property
    def dataset(self) -> Path:
        return self.out / DATASET

    def options(self) -> list[str]:
        """Options that `autoarm demo` and `autoarm eval` have in common."""
        options = ["--episodes", str(self.episodes), "--seed", str(self.seed)]
        if self.image_size != spec.IMAGE_SIZE:
            options += ["--image-size", *map(str, self.image_size)]
        return options

    def measure(self, who: str, source: str | Policy, cube: Place, filmed: bool) -> Result:
        """The result of a policy with the cube at one kind of place, with videos or without."""
        from autoarm.data.recording import quiet
        from autoarm.evaluation.evaluate import evaluate

        command = ["autoarm", "eval", who, "--cube", cube, *self.options()]
        if who in _FROM_DATASET:
            command += ["--dataset", str(self.dataset)]
        what = f"{who}, {'training spots' if cube == 'spots' else 'anywhere'}"

        def count(now: EpisodesDone) -> None:
            self.report(what, now.done, now.total)
            if filmed and now.done == now.total:
                self.report(f"{what}: videos", 0, 1)

        # LeRobot's writer, used before, leaves the encoder's messages switched on.
        with quiet():
            result = evaluate(
                source,
                distribution=SceneDistribution(cube=cube),
                episodes=self.episodes,
                seed=self.seed,
                dataset=self.dataset,
                image_size=self.image_size,
                videos=self.out / _VIDEOS / f"{file_name(who)}-{cube}" if filmed else None,
                videos_from=self.out,
                progress=count,
                command=command,
            )
        if filmed:
            self.report(f"{what}: videos", 1, 1)
        return result

    def look(self, policy: str | Policy, result: Result) -> AttentionView | None:
        """The attention of an ACT policy at the start of its first success, or else of the first episode."""
        from lerobot.policies.act.modeling_act import ACTPolicy

        from autoarm.demo.page import AttentionView
        from autoarm.interp.methods.attention import capture_cross_attention
        from autoarm.policies.lerobot import LeRobotPolicy
        from autoarm.suite.episodes import plan_episodes
        from gym_autoarm.env import PickIntoBoxEnv

        if not isinstance(policy, LeRobotPolicy) or not isinstance(policy.policy, ACTPolicy):
            return None
        number = next((i for i, row in enumerate(result.rows) if row.success), 0)
        episode = plan_episodes(SceneDistribution(cube=PLACES[0]), self.episodes, self.seed)[number]
        env = PickIntoBoxEnv(self.image_size)
        try:
            observation, _ = env.reset(seed=episode.seed, options={"scene": episode.scene})
        finally:
            env.close()
        capture = capture_cross_attention(policy.policy, policy.batch(observation))
        outcome = "success" if result.rows[number].success else "failure"
        moment = f"the first frames of an episode with the cube at {episode.group} (a {outcome})"
        return AttentionView(policy.name, moment, observation["pixels"], capture.layers[-1])


def check_folder(out: Path) -> DemoMarker | None:
    """The marker of an earlier run in a folder; None if the folder is new or empty.

    Raises:
        InvalidFileError: If the folder holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / MARKER).is_file():
        raise InvalidFileError(
            "there is something else here already", file=out, field="out", cure="choose a new or empty folder"
        )
    return read_json(DemoMarker, out / MARKER, _ANOTHER_FOLDER)


def _load(policy: str, image_size: tuple[int, int]) -> str | Policy:
    """Load the policy; the name of a baseline, which may need the recording, is returned as it is."""
    from autoarm.policies.loading import BASELINES as EVERY_BASELINE
    from autoarm.policies.loading import load_policy, shipped_policies

    if policy in EVERY_BASELINE:
        return policy
    if policy == REFERENCE_POLICY and policy not in shipped_policies():
        raise InvalidInputError(
            f"the reference policy {policy!r} is missing from this installation",
            field="policy",
            cure="reinstall autoarm, or name a checkpoint folder with --policy",
        )
    return load_policy(policy, image_size=image_size)


@contextmanager
def _claim(out: Path, marker: DemoMarker) -> Iterator[None]:
    """Lock the folder, and remove from it what this run will make anew."""
    from filelock import FileLock, Timeout

    before = check_folder(out)
    marker_file = out / MARKER
    if before is None:
        write_text(marker_file, marker.model_dump_json(indent=1) + "\n")
    try:
        with FileLock(out / ".lock", timeout=0):
            stale = [_VIDEOS, "figures", "report.html", RESULT]
            if before != marker:
                stale += [DATASET, f"{DATASET}.partial"]
            for name in stale:
                _remove(out / name)
            write_text(marker_file, marker.model_dump_json(indent=1) + "\n")
            yield
    except Timeout:
        raise InvalidInputError("another demonstration is running here", file=out, cure="wait for it") from None


def file_name(text: str) -> str:
    """A reference to a policy as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(text).name).strip(".-") or "policy"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
