"""Made-up results on the real suite: scenes as it draws them, outcomes as policies of some skill might have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoarm.evaluation.video import VideoWriter
from autoarm.leaderboard.build import build_leaderboard
from autoarm.results.result import EpisodeRow, FailureMode, Platform, PolicyRecord, Result, Role, Setting, Stage
from autoarm.suite.draw import plan_suite
from autoarm.suite.episodes import Episode
from autoarm.suite.suite import Suite, load_suite
from gym_autoarm import ENV_ID, spec
from gym_autoarm.rng import stream
from gym_autoarm.scene_data import scene_changes

MakeSuiteResult = Callable[..., Result]
FAILURES: dict[FailureMode, Stage] = {
    "never-reached": "reach",
    "missed-grasp": "grasp",
    "dropped": "lift",
    "missed-box": "place",
    "timeout": "grasp",
}


@pytest.fixture(scope="session")
def suite() -> Suite:
    return load_suite("five-spots-v1")


@pytest.fixture(scope="session")
def planned(suite: Suite) -> list[Episode]:
    """Four episodes a level."""
    return plan_suite(suite, suite.counts("custom", 4))


@pytest.fixture(scope="session")
def make_suite_result(suite: Suite, planned: Sequence[Episode]) -> MakeSuiteResult:
    """Make a result: `make_suite_result(name, skill, fragility, role=..., axes=..., video=...)`.

    An episode's difficulty is the same for all policies, as it is in truth; `fragility` takes from the skill with every
    further level of an axis.
    """

    def make(
        name: str,
        skill: float = 0.7,
        fragility: float = 0.2,
        *,
        role: Role = "policy",
        kind: str = "act",
        axes: Sequence[str] = (),
        video: Callable[[EpisodeRow], str | None] = lambda row: None,
        **policy: Any,
    ) -> Result:
        chosen = [episode for episode in planned if not axes or episode.group in axes]
        rows = []
        for episode in chosen:
            rng = stream(episode.seed, "luck", name)
            hard = stream(episode.seed, "difficulty").random()
            step = list(suite.axes[episode.group].levels).index(episode.level)
            success = bool(0.75 * hard + 0.25 * rng.random() < skill - fragility * step)
            failure: FailureMode | None = None if success else list(FAILURES)[int(rng.integers(len(FAILURES)))]
            row = EpisodeRow(
                group=episode.group,
                level=episode.level,
                index=episode.index,
                seed=episode.seed,
                scene=scene_changes(episode.scene),
                success=success,
                stage="place" if failure is None else FAILURES[failure],
                steps=int(rng.integers(140, 200)) if success else spec.TIME_LIMIT,
                closest=0.01,
                path_length=0.9,
                jerk=1e6,
                failure=failure,
            )
            rows.append(row.model_copy(update={"video": video(row)}))
        return Result.from_rows(
            policy=PolicyRecord(name=name, kind=kind, role=role, **policy),
            setting=Setting(
                env_id=ENV_ID,
                distribution={},
                image_size=suite.image_size,
                time_limit=suite.time_limit,
                seed=0,
                episodes=len(rows),
                command=["autoarm", "bench", name, "--episodes", "4"],
                suite=suite.record("custom", suite.counts("custom", 4, axes)),
            ),
            platform=Platform(
                python="3.12.0", machine="a machine", versions={"mujoco": "3.17.0", "torch": "2.9"}, gl_renderer="a GL"
            ),
            rows=rows,
            seconds=613.0,
        )

    return make


def film(path: Path, frames: int = 8) -> None:
    with VideoWriter(path) as video:
        for number in range(frames):
            video.write(np.full((48, 96, 3), 25 * number, np.uint8))


def plausible(make: MakeSuiteResult, folder: Path) -> list[Result]:
    """Eight results in `folder`; of the first, the first success and failure on each of two axes with a video."""
    kept: set[tuple[str, bool]] = set()

    def video(row: EpisodeRow) -> str | None:
        if row.group not in ("seen", "yaw") or (row.group, row.success) in kept:
            return None
        kept.add((row.group, row.success))
        return f"act-five-spots/{row.group}-{'success' if row.success else 'failure'}.mp4"

    config = {"type": "act", "dim_model": 512, "chunk_size": 100, "training_dataset": "five-spots"}
    weights = {"sha256": "9f" * 32, "path": "hub:someone/act-five-spots", "config": config, "track": "five-spots"}
    results = [
        make("act-five-spots", 0.74, 0.2, video=video, **weights),
        make("act-five-spots-augmented", 0.84, 0.12, **weights),
        make("diffusion-five-spots", 0.66, 0.17, kind="diffusion", track="open"),
        make("act-one-spot", 0.32, 0.15),
        make("expert", 1.2, 0.0, role="ceiling", kind="scripted", track="none"),
        make("position-fed", 0.9, 0.1, role="control", kind="mlp"),
        make("nearest-neighbour", 0.28, 0.1, role="floor", kind="lookup"),
        make("no-op", -1.0, 0.0, role="floor", kind="scripted", track="none"),
    ]
    for result in results:
        result.save(folder / "five-spots-v1" / f"{result.policy.name}.json")
        for row in result.rows:
            if row.video:
                film(folder / "five-spots-v1" / row.video)
    return results


@pytest.fixture(scope="session")
def results_folder(make_suite_result: MakeSuiteResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plausible results as files. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("leaderboard") / "results"
    plausible(make_suite_result, folder)
    return folder


@pytest.fixture(scope="session")
def site(results_folder: Path) -> Path:
    """The site of these results. Not to be changed."""
    return build_leaderboard(results_folder, results_folder.parent / "site").parent
