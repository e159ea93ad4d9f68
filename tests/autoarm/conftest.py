"""A small dataset and made-up results that several modules look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic_core import to_jsonable_python

from autoarm.collect import collect
from autoarm.evaluate import group_intervals, plan_episodes, success_interval
from autoarm.results import EpisodeRow, Platform, PolicyRecord, Result, Setting
from gym_autoarm import ENV_ID, spec
from gym_autoarm.sampling import SceneDistribution

IMAGE_SIZE = (96, 128)


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes, at the spots `centre` and `near-left`, in small frames. Not to be changed: copy it."""
    out = tmp_path_factory.mktemp("data") / "tiny"
    return collect(out, spots="centre,near-left", episodes_per_spot=1, image_size=IMAGE_SIZE, workers=1).folder


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    """Make a result without running anything: `make_result(name, cube, outcomes)`."""

    def make(name: str, cube: Literal["spots", "everywhere"], outcomes: Sequence[bool], **changes: Any) -> Result:
        distribution = SceneDistribution(cube=cube)
        rows = [
            EpisodeRow(
                group=episode.group,
                seed=episode.seed,
                scene=to_jsonable_python(episode.scene),
                success=success,
                stage="place" if success else "grasp",
                steps=150 + number if success else spec.TIME_LIMIT,
            )
            for number, (episode, success) in enumerate(
                zip(plan_episodes(distribution, len(outcomes), 0), outcomes, strict=True)
            )
        ]
        rows = changes.pop("rows", lambda rows: rows)(rows)
        result = Result(
            policy=PolicyRecord(name=name, kind="baseline"),
            setting=Setting(
                env_id=ENV_ID,
                distribution=to_jsonable_python(distribution),
                image_size=spec.IMAGE_SIZE,
                time_limit=spec.TIME_LIMIT,
                seed=0,
                episodes=len(rows),
                command=["autoarm", "eval", name, "--cube", cube],
            ),
            platform=Platform(python="3.12.0", machine="a machine", versions={"mujoco": "3.17.0"}, gl_renderer="a GL"),
            rows=rows,
            overall=success_interval(rows),
            groups=group_intervals(rows),
            seconds=1.0,
        )
        return result.model_copy(update=changes)

    return make
