"""A small dataset that several modules look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoarm.collect import collect

IMAGE_SIZE = (96, 128)


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes, at the spots `centre` and `near-left`, in small frames. Not to be changed: copy it."""
    out = tmp_path_factory.mktemp("data") / "tiny"
    return collect(out, spots="centre,near-left", episodes_per_spot=1, image_size=IMAGE_SIZE, workers=1).folder
