"""A small dataset, a small suite, made-up results and a browser, for several modules."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic_core import to_jsonable_python
from selenium import webdriver

from autoarm.data.collect import collect
from autoarm.results.result import EpisodeRow, Platform, PolicyRecord, Result, Setting
from autoarm.suite.episodes import plan_episodes
from autoarm.suite.suite import Suite, load_suite
from gym_autoarm import ENV_ID, spec
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene_data import scene_changes

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
                index=episode.index,
                seed=episode.seed,
                scene=scene_changes(episode.scene),
                success=success,
                stage="place" if success else "grasp",
                steps=150 + number if success else spec.TIME_LIMIT,
            )
            for number, (episode, success) in enumerate(
                zip(plan_episodes(distribution, len(outcomes), 0), outcomes, strict=True)
            )
        ]
        rows = changes.pop("rows", lambda rows: rows)(rows)
        result = Result.from_rows(
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
            seconds=1.0,
        )
        return result.model_copy(update=changes)

    return make


@pytest.fixture(params=[1200, 390])
def browser(request: pytest.FixtureRequest) -> Iterator[webdriver.Chrome]:
    """Headless Chromium, in a wide window and in a phone's; `scripts/browser.sh` installs it."""
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("google-chrome")
    if driver is None or chromium is None:
        missing = "Chromium and its driver are not installed (Debian: chromium chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(missing)  # what claims to test pages must not leave them out
        pytest.skip(missing)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless", "--disable-gpu", f"--window-size={request.param},1000", "--no-first-run"):
        options.add_argument(argument)
    for argument in ("--disable-background-networking", "--disable-component-update", "--disable-sync"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which Chromium wants of root
    options.add_experimental_option("mobileEmulation", {"deviceMetrics": {"width": request.param}})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    opened.set_script_timeout(120)
    yield opened
    opened.quit()


# -- A suite of a few small episodes -----------------------------------------------------------------------------------

EPISODES = {"quick": 1, "standard": 2, "full": 3}


def suite_data() -> dict[str, Any]:
    return {
        "name": "small-v1",
        "version": 1,
        "title": "Small",
        "image_size": [48, 64],
        "time_limit": 220,
        "spots": {"right": [0.17, 0.0], "left": [0.17, 0.11], "far": [0.25, 0.05]},
        "area": {"x": [0.15, 0.31], "y": [-0.06, 0.17]},
        "axes": {
            "still": {
                "title": "Still",
                "about": "Nothing varies.",
                "seed": 1,
                "episodes": dict(EPISODES),
                "levels": {"": {"cube": {"jitter": 0.0, "yaw": [0, 0]}}},
            },
            "far": {
                "title": "Far",
                "about": "Further and further.",
                "seed": 2,
                "unit": "cm",
                "episodes": dict(EPISODES),
                "levels": {
                    "near": {"value": 1, "cube": {"at": "outside", "distance": [0.01, 0.02]}},
                    "far": {"value": 3, "cube": {"at": "outside", "distance": [0.03, 0.04]}, "distractors": 2},
                },
            },
        },
    }


@pytest.fixture(scope="session")
def make_data() -> Callable[[], dict[str, Any]]:
    """Makes what the YAML of a small suite says."""
    return suite_data


@pytest.fixture
def data() -> dict[str, Any]:
    """What the YAML of a small suite says."""
    return suite_data()


@pytest.fixture(scope="session")
def write_suite(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Path]:
    """Writes data as a YAML file."""
    folder = tmp_path_factory.mktemp("suites")

    def write(data: Any) -> Path:
        path = folder / f"suite-{len(list(folder.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def small_file(write_suite: Callable[[Any], Path]) -> Path:
    return write_suite(suite_data())


@pytest.fixture(scope="session")
def small(small_file: Path) -> Suite:
    return load_suite(small_file)
