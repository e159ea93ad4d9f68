"""A suite of a few small episodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoarm.bench.suite import Suite, load_suite

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
