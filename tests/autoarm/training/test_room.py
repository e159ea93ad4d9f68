"""What does not fit on the disk is said before it is made."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autoarm.data.dataset import check_dataset
from autoarm.data.frames import cached_frames
from autoarm.training.config import TrainConfig
from autoarm.training.scenes import Scenes, render_scenes
from autoarm.training.trainer import Trainer
from gym_autoarm.errors import InvalidInputError


@pytest.fixture(autouse=True)
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 2**28 + 1000))


def test_kept_feature_maps(tmp_path: Path, two_phases: TrainConfig, make_trainer: Callable[..., Trainer]) -> None:
    frozen = replace(two_phases, phases=two_phases.phases[1:])
    with pytest.raises(InvalidInputError, match="the kept feature maps need"):
        make_trainer(tmp_path / "run", frozen).run()
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_rendered_frames(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="the rendered frames need"):
        render_scenes(Scenes(count=3, moments=2), (32, 48))
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_decoded_frames(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="the decoded frames need"):
        cached_frames(check_dataset(tiny_dataset), (32, 48))
    assert not list((tmp_path / "cache").rglob("*.npy"))
