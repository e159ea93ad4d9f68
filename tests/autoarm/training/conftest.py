"""A small policy, a few demonstrations of random frames, and a trainer on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoarm.training.config import Phase, TrainConfig
from autoarm.training.data import ChunkDataset
from autoarm.training.presets import CPU
from autoarm.training.trainer import Trainer


@pytest.fixture
def small_config() -> TrainConfig:
    return TrainConfig(
        image_size=(32, 48),
        policy={
            **CPU.policy,
            "dim_model": 32,
            "dim_feedforward": 48,
            "n_heads": 4,
            "n_encoder_layers": 1,
            "chunk_size": 8,
            "n_action_steps": 4,
        },
        phases=(Phase(steps=6, batch_size=4, warmup=2),),
    )


@pytest.fixture
def two_phases(small_config: TrainConfig) -> TrainConfig:
    """The same, with the backbone frozen after three steps."""
    return replace(
        small_config,
        phases=(
            Phase(steps=3, batch_size=4, warmup=1),
            Phase(steps=5, batch_size=6, warmup=1, learning_rate=1e-3, backbone="frozen"),
        ),
    )


@pytest.fixture
def demonstrations() -> ChunkDataset:
    """Three episodes of 14 frames."""
    episodes, length = 3, 14
    rng = np.random.default_rng(0)
    count = episodes * length
    goals = np.repeat(rng.normal(0, 20, (episodes, 6)), length, axis=0).astype(np.float32)
    return ChunkDataset(
        rng.integers(0, 256, (count, 2, 32, 48, 3), np.uint8),
        goals + rng.normal(0, 0.1, goals.shape).astype(np.float32),
        goals,
        np.repeat(np.arange(episodes), length),
        chunk=8,
    )


@pytest.fixture
def stats() -> dict[str, Any]:
    """Mean and standard deviation of each feature, as LeRobot keeps them."""
    joints = {"mean": torch.zeros(6), "std": torch.full((6,), 20.0)}
    image = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    return {
        "observation.state": joints,
        "action": joints,
        "observation.images.top": image,
        "observation.images.lateral": image,
    }


@pytest.fixture
def make_trainer(
    small_config: TrainConfig,
    demonstrations: ChunkDataset,
    stats: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Trainer]:
    """Makes a trainer for a folder; its cache is the test's own."""
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path_factory.mktemp("cache")))

    def make(out: Path, config: TrainConfig | None = None, digest: str = "data") -> Trainer:
        return Trainer(config or small_config, demonstrations, stats, out, digest)

    return make
