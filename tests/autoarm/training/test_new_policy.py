"""A policy with fresh weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import pytest

from autoarm.training.config import TrainConfig
from autoarm.training.new_policy import policy_config
from autoarm.training.run import train
from autoarm.training.trainer import Trainer
from gym_autoarm.errors import InvalidInputError


def test_weights_that_cannot_be_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_trainer: Callable[..., Trainer]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("autoarm.training.new_policy.get_policy_class", lambda _: refuse)
    with pytest.raises(InvalidInputError, match="cannot be downloaded: no network"):
        make_trainer(tmp_path)


def test_weights_are_asked_for_before_anything_is_decoded(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_config: TrainConfig
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "cache"))
    fields = {**small_config.policy, "pretrained_backbone_weights": "ResNet18_Weights.IMAGENET1K_V1"}
    with pytest.raises(InvalidInputError, match="no network") as caught:
        train(tiny_dataset, tmp_path / "run", replace(small_config, policy=fields), "cpu", quiet=True)
    assert "pretrained_backbone_weights null" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_unknown_field_of_the_policy(small_config: TrainConfig) -> None:
    with pytest.raises(InvalidInputError, match="dim_modell"):
        policy_config(replace(small_config, policy={"dim_modell": 3}), "cpu")
