"""How much memory training needs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch

from autoarm.training.config import Phase, TrainConfig
from autoarm.training.footprint import check_memory, training_bytes
from gym_autoarm.errors import InvalidInputError


def test_memory_grows_with_the_batch_and_not_with_kept_features(small_config: TrainConfig) -> None:
    small, large = (training_bytes(replace(small_config, phases=(Phase(1, batch_size=size),))) for size in (4, 64))
    frozen = training_bytes(replace(small_config, phases=(Phase(1, batch_size=64, backbone="frozen"),)))
    assert frozen < small < large
    # ResNet-18 alone: 11.2 million weights, four times, in single precision.
    assert frozen > 4 * 4 * 11e6
    # Weights in half precision are there once, whatever the batch.
    sample = (large - small) / 60
    assert sample < 2 * 11e6


def test_a_run_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch, small_config: TrainConfig) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6))
    with pytest.raises(InvalidInputError, match=r"needs about 0\.\d GB and 0\.0 GB are free"):
        check_memory(small_config)


def test_what_is_free_is_the_devices(monkeypatch: pytest.MonkeyPatch, small_config: TrainConfig) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * 10**9, 80 * 10**9))
    check_memory(small_config, "cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * 10**6, 80 * 10**9))
    with pytest.raises(InvalidInputError, match=r"0\.0 GB are free"):
        check_memory(small_config, "cuda:1")
