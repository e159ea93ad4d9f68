"""A small dataset, made-up results and a browser, for several modules."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic_core import to_jsonable_python

from autoarm.collect import collect
from autoarm.evaluate import plan_episodes
from autoarm.results import EpisodeRow, Platform, PolicyRecord, Result, Setting
from autoarm.scene_data import scene_changes
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


class Browser:
    """Headless Chromium through its driver's WebDriver interface, of which this needs three calls."""

    def __init__(self, driver: str, chromium: str, width: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._process = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._root = f"http://127.0.0.1:{port}"
        quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        arguments = ["--headless", "--disable-gpu", f"--window-size={width},1000", *quiet]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")  # which Chromium wants of root
        options = {"binary": chromium, "args": arguments, "mobileEmulation": {"deviceMetrics": {"width": width}}}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        for _ in range(100):
            try:
                session = self.post("/session", capabilities={"alwaysMatch": wanted})
                break
            except OSError:
                time.sleep(0.2)
        self._root += f"/session/{session['sessionId']}"

    def post(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(self._root + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def close(self) -> None:
        try:
            # The driver ends the browser only when asked to; its own end leaves the browser running.
            urllib.request.urlopen(urllib.request.Request(self._root, method="DELETE"), timeout=30).close()
        finally:
            self._process.terminate()
            self._process.wait(30)


@pytest.fixture(params=[1200, 390])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("google-chrome")
    if driver is None or chromium is None:
        pytest.skip("Chromium and its driver are not installed (Debian: chromium chromium-driver)")
    opened = Browser(driver, chromium, request.param)
    yield opened
    opened.close()
