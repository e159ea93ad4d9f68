"""A backbone made in simulation: what it is shown, what comes out, and policies on top of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoarm.policies.lerobot import LeRobotPolicy, chunk_length
from autoarm.training import fitting
from autoarm.training.backbone import load_backbone, load_into
from autoarm.training.config import Augmentation, Phase, TrainConfig, with_backbone
from autoarm.training.data import ChunkDataset
from autoarm.training.features import backbone_of, digest_of, feature_maps
from autoarm.training.new_policy import new_policy, policy_config
from autoarm.training.presets import CPU, CPU_DIFFUSION
from autoarm.training.pretraining import PretrainConfig, pretrain
from autoarm.training.scenes import LABELS, SceneRenderer, Scenes, render_scenes
from autoarm.training.trainer import Trainer
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

IMAGE_SIZE = (32, 48)
SCENES = Scenes(count=20, moments=2, render_size=(64, 96), seed=3)
DIFFUSION = replace(
    CPU_DIFFUSION,
    image_size=IMAGE_SIZE,
    phases=(Phase(steps=2, batch_size=4, backbone="frozen"),),
    policy={**CPU_DIFFUSION.policy, "horizon": 8, "n_action_steps": 5, "down_dims": (16, 32), "num_inference_steps": 2},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pretrained") / "backbone"
    pretrain(out, PretrainConfig(SCENES, IMAGE_SIZE, Phase(steps=10, batch_size=4, warmup=2)))
    return out


def test_a_scene_is_the_same_whenever_it_is_drawn() -> None:
    renderer = SceneRenderer(SCENES, IMAGE_SIZE)
    first, other, again = renderer(4), renderer(5), renderer(4)
    renderer.close()
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.labels != other.labels).any()
    assert first.frames.shape == (2, len(spec.CAMERAS), *IMAGE_SIZE, 3)
    assert first.frames.std() > 10  # not blank


def test_labels_are_what_the_simulator_says() -> None:
    data = render_scenes(replace(SCENES, count=3), IMAGE_SIZE)
    assert data.scenes.tolist() == [0, 0, 1, 1, 2, 2]
    label = dict(zip(LABELS, data.labels.T, strict=True))
    np.testing.assert_allclose(label["cos 4 yaw"] ** 2 + label["sin 4 yaw"] ** 2, 1, atol=1e-5)
    # A cube lies on the table, travels, or lies in the box; the arm's reach is 0.4 m.
    assert (label["cube z"] > 0).all()
    for axis in "xyz":
        assert (abs(label[f"cube {axis}"]) < 0.45).all()
        assert (abs(label[f"grasp {axis}"]) < 0.45).all()


def test_the_record_says_what_was_done(folder: Path) -> None:
    record = json.loads((folder / "backbone.json").read_text())
    assert record["config"]["scenes"]["seed"] == 3
    assert record["held_out"].keys() == {"cube_mm", "grasp_mm"}
    assert all(np.isfinite(value) for value in record["held_out"].values())


def test_pretraining_goes_on_where_it_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fitting, "_SAVE_EVERY", 2)
    varied = replace(SCENES, vary=("box", "surface"), area=((0.15, 0.31), (-0.06, 0.17)), seed=5)
    config = PretrainConfig(
        varied, IMAGE_SIZE, Phase(steps=6, batch_size=4, warmup=2), augmentation=Augmentation(colour=0.2)
    )
    whole = pretrain(tmp_path / "whole", config)
    assert whole["held_out"].keys() == {"cube_mm", "grasp_mm", "box_mm"}
    assert whole["config"]["scenes"]["vary"] == ("box", "surface")

    class Left(Exception): ...

    def leave(at: int) -> Callable[[Any], None]:
        def check(*now: Any) -> None:
            if (now[0] if isinstance(now[0], int) else now[0].step) >= at:
                raise Left

        return check

    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(fitting, "_REPORT_EVERY", 1)
    with pytest.raises(Left):
        pretrain(tmp_path / "parts", config, rendered=leave(7))
    drawn: list[int] = []
    with pytest.raises(Left):
        pretrain(tmp_path / "parts", config, rendered=lambda done, total: drawn.append(done), trained=leave(5))
    assert drawn == list(range(8, 21))
    assert (tmp_path / "parts.partial").is_dir()
    steps: list[int] = []
    parts = pretrain(tmp_path / "parts", config, trained=lambda now: steps.append(now.step))
    assert steps == [5, 6]
    assert parts["held_out"] == whole["held_out"]
    one, other = (load_backbone(tmp_path / name) for name in ("whole", "parts"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert not (tmp_path / "parts.partial").exists()


def test_nothing_to_hold_out(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="leave none for the test"):
        pretrain(tmp_path / "out", PretrainConfig(Scenes(count=3)))
    assert not (tmp_path / "out").exists()


def test_both_policies_see_with_it_alike(folder: Path) -> None:
    weights = load_backbone(folder)
    images = [torch.rand(2, 3, *IMAGE_SIZE)]
    maps = []
    for config in (replace(CPU, image_size=IMAGE_SIZE), DIFFUSION):
        backbone = backbone_of(new_policy(policy_config(config, "cpu"))).eval()
        load_into(backbone, weights)
        with torch.no_grad():
            maps.append(feature_maps(backbone, images)[0])
    torch.testing.assert_close(*maps, rtol=1e-4, atol=1e-5)
    with pytest.raises(InvalidInputError, match="another network"):
        load_into(backbone, {"conv1.weight": torch.zeros(3)})


def test_diffusion_policy_on_a_backbone(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "cache"))
    weights = load_backbone(folder)
    run = _trainer(with_backbone(DIFFUSION, digest_of(weights)), tmp_path / "run", weights)
    checkpoint = run.run()
    policy = LeRobotPolicy(checkpoint)
    assert chunk_length(policy.policy) == 5
    rng = np.random.default_rng(0)
    observation = {
        "pixels": {camera: rng.integers(0, 256, (*spec.IMAGE_SIZE, 3), np.uint8) for camera in spec.CAMERAS},
        "agent_pos": rng.normal(0, 20, 6).astype(np.float32),
    }
    policy.reset(0, {})
    chunk = policy.act(observation, {})
    assert chunk.shape == (5, 6)
    # The same as LeRobot's own way, which is asked at every step.
    policy.reset(0, {})
    batch = policy.batch(observation)
    with torch.inference_mode():
        single = torch.cat([policy._postprocess(policy.policy.select_action(dict(batch))) for _ in range(5)])
    np.testing.assert_allclose(chunk, single.numpy(), atol=1e-5)
    policy.reset(0, {})
    np.testing.assert_array_equal(policy.act(observation, {}), chunk)


def _trainer(config: TrainConfig, out: Path, backbone: dict[str, torch.Tensor]) -> Trainer:
    rng = np.random.default_rng(0)
    joints = rng.normal(0, 20, (20, 6)).astype(np.float32)
    frames = rng.integers(0, 256, (20, 2, *IMAGE_SIZE, 3), np.uint8)
    data = ChunkDataset(frames, joints, joints, np.repeat([0, 1], 10), chunk=8)
    spread = {"min": torch.full((6,), -60.0), "max": torch.full((6,), 60.0)}
    colours = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    cameras = {f"observation.images.{camera}": colours for camera in spec.CAMERAS}
    return Trainer(
        config, data, {"observation.state": spread, "action": spread, **cameras}, out, "data", backbone=backbone
    )
