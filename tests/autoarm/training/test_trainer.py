"""The training loop: exact resume, frozen backbones, and checkpoints that stock LeRobot loads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoarm.policies.lerobot import LeRobotPolicy
from autoarm.training.backbone import load_backbone, save_backbone
from autoarm.training.config import Augmentation, Phase, TrainConfig, with_backbone
from autoarm.training.data import ChunkDataset
from autoarm.training.features import digest_of, images_are_feature_maps
from autoarm.training.trainer import Trainer
from gym_autoarm.errors import InvalidFileError, InvalidInputError


def test_a_stopped_run_continues_to_the_same_weights(tmp_path: Path, make_trainer: Callable[..., Trainer]) -> None:
    whole = make_trainer(tmp_path / "whole")
    whole.run()
    make_trainer(tmp_path / "parts").run(until=2)
    parts = make_trainer(tmp_path / "parts")
    assert parts.step == 2
    parts.run()
    for name, value in whole.policy.state_dict().items():
        assert torch.equal(value, parts.policy.state_dict()[name]), name


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_a_run_of_two_phases_continues_to_the_same_weights(
    tmp_path: Path, stop: int, two_phases: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    config = replace(two_phases, augmentation=Augmentation(shift=1, state_noise=0.1, feature_noise=0.1))
    whole = make_trainer(tmp_path / "whole", config)
    whole.run()
    make_trainer(tmp_path / "parts", config).run(until=stop)
    parts = make_trainer(tmp_path / "parts", config)
    assert parts.step == stop
    parts.run()
    for name, value in whole.policy.state_dict().items():
        assert torch.equal(value, parts.policy.state_dict()[name]), name


def test_dropout_and_vae_resume_too(
    tmp_path: Path, small_config: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    config = replace(small_config, policy={**small_config.policy, "dropout": 0.2, "use_vae": True}, dtype="float32")
    whole = make_trainer(tmp_path / "whole", config)
    whole.run()
    make_trainer(tmp_path / "parts", config).run(until=3)
    parts = make_trainer(tmp_path / "parts", config)
    parts.run()
    assert all(torch.equal(v, parts.policy.state_dict()[k]) for k, v in whole.policy.state_dict().items())


def test_a_frozen_backbone_stays_as_it_is_and_the_rest_learns(
    tmp_path: Path, two_phases: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    run = make_trainer(tmp_path, two_phases)
    run.run(until=3)
    before = {name: value.clone() for name, value in run.policy.state_dict().items()}
    run.run()
    after = run.policy.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    assert not any(name.startswith("model.backbone.") for name in changed)
    assert "model.action_head.weight" in changed
    assert all(parameter.requires_grad for parameter in run.policy.parameters())


def test_kept_feature_maps_give_the_loss_of_the_images(
    tmp_path: Path, two_phases: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    frozen = replace(two_phases, phases=two_phases.phases[1:], dtype="float32")
    run = make_trainer(tmp_path, frozen)
    indices = np.arange(6)
    run._maps = None
    with torch.no_grad():
        live = [each.clone() for key, each in run._batch(indices).items() if "images" in key]
        run._maps = run._feature_maps(1, None)
        kept = [each for key, each in run._batch(indices).items() if "images" in key]
        for one, other in zip(live, kept, strict=True):
            # Half precision keeps eleven bits.
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        with images_are_feature_maps(run.policy):
            batch = run._batch(indices)
            given, _ = run.policy.forward(batch)
        images = dict(zip(run.policy.config.image_features, run._images(indices), strict=True))
        expected, _ = run.policy.forward({**batch, **images})
    assert float(given) == pytest.approx(float(expected), abs=1e-4)


def test_further_views_of_kept_maps_are_changed_images(
    tmp_path: Path, two_phases: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    frozen = replace(two_phases, phases=two_phases.phases[1:], augmentation=Augmentation(colour=0.5))
    run = make_trainer(tmp_path, frozen)
    state = torch.get_rng_state()
    one, three = run._compute_maps(1, None), run._compute_maps(3, None)
    assert torch.equal(torch.get_rng_state(), state)
    count = len(one)
    assert len(three) == 3 * count
    np.testing.assert_array_equal(three[:count], one)
    for view in (three[count : 2 * count], three[2 * count :]):
        assert (abs(view - one).max(axis=(1, 2, 3, 4)) > 0).all()
    assert (three[count : 2 * count] != three[2 * count :]).any()
    run._maps = run._feature_maps(3, None)
    seen = {float(run._batch(np.array([5]))["observation.images.top"].sum()) for _ in range(40)}
    assert len(seen) == 3


@pytest.mark.parametrize("until", [2, 4])
def test_a_run_with_views_continues_to_the_same_weights(
    tmp_path: Path, two_phases: TrainConfig, make_trainer: Callable[..., Trainer], until: int
) -> None:
    changes = Augmentation(colour=0.3, warp=0.1, repaint=0.5, recolour=0.2, light=0.2, blur=0.2)
    phases = (two_phases.phases[0], replace(two_phases.phases[1], views=2))
    config = replace(two_phases, phases=phases, augmentation=changes)
    whole = make_trainer(tmp_path / "whole", config)
    whole.run()
    make_trainer(tmp_path / "parts", config).run(until=until)
    parts = make_trainer(tmp_path / "parts", config)
    parts.run()
    assert all(torch.equal(v, parts.policy.state_dict()[k]) for k, v in whole.policy.state_dict().items())


def test_feature_maps_are_computed_once(
    tmp_path: Path, two_phases: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    frozen = replace(two_phases, phases=two_phases.phases[1:])
    calls: list[tuple[int, int]] = []
    for name in ("first", "second"):
        make_trainer(tmp_path / name, frozen).run(computed=lambda done, total: calls.append((done, total)))
    assert calls == [(42, 42)]


def test_a_run_over_a_given_backbone_leaves_it_alone(
    tmp_path: Path,
    small_config: TrainConfig,
    two_phases: TrainConfig,
    make_trainer: Callable[..., Trainer],
    demonstrations: ChunkDataset,
    stats: dict[str, Any],
) -> None:
    donor = make_trainer(tmp_path / "donor")
    donor.run(until=1)
    weights = {name: value.clone() for name, value in donor.policy.model.backbone.state_dict().items()}
    save_backbone(tmp_path / "backbone", weights, {})
    loaded = load_backbone(tmp_path / "backbone")
    config = with_backbone(two_phases, digest_of(loaded))
    run = Trainer(config, demonstrations, stats, tmp_path / "run", "data", backbone=loaded)
    run.run()
    assert run.step == 5
    assert all(torch.equal(value, weights[name]) for name, value in run.policy.model.backbone.state_dict().items())
    with pytest.raises(InvalidInputError, match="every phase"):
        with_backbone(small_config, "digest")
    with pytest.raises(InvalidFileError, match=r"no backbone\.safetensors"):
        load_backbone(tmp_path / "run")
    (tmp_path / "backbone" / "backbone.safetensors").write_bytes(b"broken")
    with pytest.raises(InvalidFileError, match="damaged"):
        load_backbone(tmp_path / "backbone")


def test_one_camera_and_no_state(
    tmp_path: Path, small_config: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    folder = make_trainer(tmp_path, replace(small_config, cameras=("lateral",), state=False)).run()
    config = json.loads((folder / "config.json").read_text())
    assert list(config["input_features"]) == ["observation.images.lateral"]


def test_the_loss_falls(tmp_path: Path, small_config: TrainConfig, make_trainer: Callable[..., Trainer]) -> None:
    losses: list[float] = []
    config = replace(
        small_config, phases=(Phase(steps=40, batch_size=4, warmup=2, learning_rate=2e-3),), dtype="float32"
    )
    make_trainer(tmp_path, config).run(lambda now: losses.append(now.loss))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.lengthy
def test_the_checkpoint_is_lerobots(tmp_path: Path, make_trainer: Callable[..., Trainer]) -> None:
    run = make_trainer(tmp_path)
    folder = run.run()
    frames = {f"observation.images.{camera}": torch.rand(3, 480, 640) for camera in ("top", "lateral")}
    observation = {**frames, "observation.state": torch.randn(6)}
    np.savez(tmp_path / "observation.npz", **{name: value.numpy() for name, value in observation.items()})
    run.policy.eval()
    before, after = run.processors
    with torch.no_grad():
        expected = after(run.policy.predict_action_chunk(before(dict(observation))))
    code = f"""
import sys
sys.modules["autoarm"] = sys.modules["gym_autoarm"] = None  # importing either would fail
import numpy as np, torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
config = PreTrainedConfig.from_pretrained({str(folder)!r})
policy = get_policy_class(config.type).from_pretrained({str(folder)!r}, config=config)
before, after = make_pre_post_processors(config, pretrained_path={str(folder)!r})
observation = {{k: torch.from_numpy(v) for k, v in np.load({str(tmp_path / "observation.npz")!r}).items()}}
np.save({str(tmp_path / "actions.npy")!r}, after(policy.predict_action_chunk(before(observation))).numpy())
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    np.testing.assert_allclose(np.load(tmp_path / "actions.npy"), expected.numpy(), atol=1e-4)


def test_relative_actions_start_where_the_joints_are(
    tmp_path: Path, small_config: TrainConfig, make_trainer: Callable[..., Trainer], demonstrations: ChunkDataset
) -> None:
    run = make_trainer(tmp_path, replace(small_config, relative_actions=True, dtype="float32"))
    run.run(until=1)
    with torch.no_grad():  # a policy that always says the mean
        run.policy.model.action_head.weight.zero_()
        run.policy.model.action_head.bias.zero_()
    run.save()
    policy = LeRobotPolicy(tmp_path, image_size=(32, 48))
    data = demonstrations.joints(np.arange(42))
    used = ~data["action_is_pad"]
    mean = (data["action"] - data["observation.state"][:, None])[used].mean(0).numpy()
    for position in (0.0, 30.0):
        pixels = dict.fromkeys(("top", "lateral"), np.zeros((32, 48, 3), np.uint8))
        actions = policy.act({"pixels": pixels, "agent_pos": np.full(6, position, np.float32)}, {})
        np.testing.assert_allclose(actions, np.tile(position + mean, (4, 1)), atol=1e-4)
    learnt = run.processors[0](data)["action"][used]
    torch.testing.assert_close(learnt.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(learnt.std(0), torch.ones(6), atol=1e-2, rtol=0)


def test_a_run_is_only_continued_as_it_was(
    tmp_path: Path, small_config: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    make_trainer(tmp_path).run(until=1)
    with pytest.raises(InvalidFileError, match="dataset"):
        make_trainer(tmp_path, digest="other data")
    with pytest.raises(InvalidFileError, match="config"):
        make_trainer(tmp_path, replace(small_config, seed=1))
    (tmp_path / "state" / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(InvalidFileError, match="cannot be continued"):
        make_trainer(tmp_path)


def test_policies_of_equal_seed_are_equal(
    tmp_path: Path, small_config: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    first, second = make_trainer(tmp_path / "a"), make_trainer(tmp_path / "b")
    assert all(torch.equal(v, second.policy.state_dict()[k]) for k, v in first.policy.state_dict().items())
    other = make_trainer(tmp_path / "c", replace(small_config, seed=5))
    assert any(not torch.equal(v, other.policy.state_dict()[k]) for k, v in first.policy.state_dict().items())


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, make_trainer: Callable[..., Trainer]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidFileError, match="holds other things"):
        make_trainer(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_record_says_how_quick_each_phase_was(
    tmp_path: Path, two_phases: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    record = tmp_path / "run" / "train.json"
    make_trainer(tmp_path / "run", two_phases).run(until=3)
    first, second = json.loads(record.read_text())["samples_per_second"]
    assert first > 0
    assert second is None
    make_trainer(tmp_path / "run", two_phases).run()
    # A run that goes on says what it did itself.
    first, second = json.loads(record.read_text())["samples_per_second"]
    assert first is None
    assert second > 0
