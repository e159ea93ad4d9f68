"""A folder as `autoarm interp sae` writes it, of features that are known."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoarm.interp.autoencoder.features import (
    ACTIVATIONS,
    FEATURES,
    OBSERVATIONS,
    WEIGHTS,
    FeatureActivations,
    rank_features,
)

EPISODES, STEPS = 3, 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three episodes of four steps; feature 0 grows with the step, feature 1 is in episode 2 alone, feature 2 never."""
    import io

    from PIL import Image

    count = EPISODES * STEPS
    episode, step = np.repeat(np.arange(EPISODES), STEPS), np.tile(np.arange(STEPS), EPISODES)
    each = np.zeros((count, 3), np.float32)
    each[:, 0] = step + 1
    each[episode == 2, 1] = 5
    observation, feature = np.nonzero(each)
    found = FeatureActivations(
        "encoder.out",
        (count, 5, 3),
        observation.astype(np.int32),
        (1 + feature).astype(np.int32),
        feature.astype(np.int32),
        each[observation, feature],
        {"top": (1, 1, 2), "lateral": (3, 1, 2)},
    )
    made = tmp_path / "sae"
    made.mkdir()
    (made / WEIGHTS).write_bytes(b"weights")
    found.save(made / ACTIVATIONS)
    ranks = rank_features(found, episode, rng=np.random.default_rng(0))
    pq.write_table(pa.Table.from_pylist([asdict(rank) for rank in ranks]), made / FEATURES)
    data = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 90, 90)).save(data, "JPEG")
    columns = {
        "frame": np.arange(count),
        "episode": episode,
        "step": step,
        "cube_x": 0.2 + 0.01 * episode,
        "cube_y": np.where(episode == 1, np.nan, 0.05),
        "top": [data.getvalue()] * count,
        "lateral": [data.getvalue()] * count,
    }
    pq.write_table(pa.table(columns), made / OBSERVATIONS)
    return made
