"""Training: what decides the batches, exact resume, and checkpoints that stock LeRobot loads."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import resnet18
from torchvision.ops.misc import FrozenBatchNorm2d

from autoarm.policies.lerobot import LeRobotPolicy
from autoarm.train.calibration import calibrate_batch_norm
from autoarm.train.config import CPU, PRESETS, TrainConfig, preset
from autoarm.train.data import ChunkDataset
from autoarm.train.export import export_policy
from autoarm.train.folding import folded_batch_norm
from autoarm.train.sampling import BatchSampler, chunk_indices
from autoarm.train.trainer import Trainer, act_config, learning_rate
from gym_autoarm.errors import InvalidFileError, InvalidInputError

CHUNK = 8
SMALL = TrainConfig(
    image_size=(32, 48),
    policy={
        **CPU.policy,
        "dim_model": 32,
        "dim_feedforward": 48,
        "n_heads": 4,
        "n_encoder_layers": 1,
        "chunk_size": CHUNK,
        "n_action_steps": 4,
    },
    batch_size=4,
    steps=6,
    warmup=2,
)


def demonstrations(seed: int = 0, episodes: int = 3, length: int = 14) -> ChunkDataset:
    rng = np.random.default_rng(seed)
    count = episodes * length
    goals = np.repeat(rng.normal(0, 20, (episodes, 6)), length, axis=0).astype(np.float32)
    return ChunkDataset(
        rng.integers(0, 256, (count, 2, 32, 48, 3), np.uint8),
        goals + rng.normal(0, 0.1, goals.shape).astype(np.float32),
        goals,
        np.repeat(np.arange(episodes), length),
        CHUNK,
    )


def stats() -> dict[str, dict[str, torch.Tensor]]:
    joints = {"mean": torch.zeros(6), "std": torch.full((6,), 20.0)}
    image = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    return {
        "observation.state": joints,
        "action": joints,
        "observation.images.top": image,
        "observation.images.lateral": image,
    }


def trainer(out: Path, config: TrainConfig = SMALL, digest: str = "data") -> Trainer:
    return Trainer(config, demonstrations(), stats(), out, digest)


@given(st.integers(1, 40), st.integers(1, 17), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_every_epoch_shows_every_sample_once(count: int, batch_size: int, seed: int) -> None:
    sampler = BatchSampler(count, batch_size, seed)
    epochs = 3
    steps = -(-epochs * count // batch_size)
    seen = np.concatenate([sampler.batch(step) for step in range(steps)])[: epochs * count]
    for epoch in seen.reshape(epochs, count):
        assert sorted(epoch) == list(range(count))


def test_a_batch_depends_on_its_step_alone() -> None:
    whole = BatchSampler(23, 4, seed=1)
    earlier = [whole.batch(step) for step in range(20)]
    np.testing.assert_array_equal(BatchSampler(23, 4, seed=1).batch(19), earlier[19])
    assert any((BatchSampler(23, 4, seed=2).batch(s) != earlier[s]).any() for s in range(5))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_chunks_never_leave_their_episode(lengths: list[int], chunk: int) -> None:
    episodes = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.repeat(np.cumsum(lengths), lengths)
    indices = np.arange(len(episodes))
    frames, padded = chunk_indices(indices, ends, chunk)
    assert (episodes[frames] == episodes[:, None]).all()
    # By counting: a frame with r frames left, itself included, fills r places of the chunk.
    left = ends - indices
    np.testing.assert_array_equal((~padded).sum(axis=1), np.minimum(left, chunk))


def test_batches_look_like_lerobots() -> None:
    batch = demonstrations().batch(np.array([0, 13]))
    assert batch["observation.images.top"].shape == (2, 3, 32, 48)
    assert batch["observation.images.top"].is_contiguous(memory_format=torch.channels_last)
    assert (
        0 <= float(batch["observation.images.lateral"].min()) <= float(batch["observation.images.lateral"].max()) <= 1
    )
    assert batch["action"].shape == (2, CHUNK, 6)
    assert batch["action_is_pad"].tolist() == [[False] * CHUNK, [False] + [True] * (CHUNK - 1)]


def test_calibration_normalises_every_layer() -> None:
    torch.manual_seed(0)
    backbone = resnet18(weights=None, norm_layer=FrozenBatchNorm2d)
    images = torch.randn(16, 3, 96, 128) * 3 + 1
    assert calibrate_batch_norm(backbone, [images]) == 20
    outputs: list[torch.Tensor] = []
    for module in backbone.modules():
        if isinstance(module, FrozenBatchNorm2d):
            # A copy: the ReLU behind works in place.
            module.register_forward_hook(lambda _m, _i, output: outputs.append(output.clone()))
        assert not isinstance(module, nn.BatchNorm2d)
    with torch.no_grad():
        backbone(images)
    assert len(outputs) == 20
    for output in outputs:
        assert float(output.mean(dim=(0, 2, 3)).abs().max()) < 0.05
        # Variances are unbiased in the statistics, biased in the activations; small maps differ by a few percent.
        assert 0.8 < float(output.var(dim=(0, 2, 3)).mean()) < 1.2


def test_folding_changes_neither_function_nor_gradients() -> None:
    torch.manual_seed(0)
    backbone = resnet18(weights=None, norm_layer=FrozenBatchNorm2d).double()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    calibrate_batch_norm(backbone, [images])
    before = {name: value.clone() for name, value in backbone.state_dict().items()}

    def run() -> tuple[torch.Tensor, list[torch.Tensor]]:
        backbone.zero_grad()
        output = backbone(images)
        output.square().sum().backward()
        return output.detach(), [p.grad.clone() for p in backbone.parameters() if p.grad is not None]

    expected, gradients = run()
    with folded_batch_norm(backbone) as pairs:
        folded, folded_gradients = run()
        assert backbone.state_dict().keys() == before.keys()
    assert pairs == 20
    torch.testing.assert_close(folded, expected, rtol=1e-9, atol=1e-9)
    for one, other in zip(gradients, folded_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)
    again, _ = run()
    assert torch.equal(again, expected)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = TrainConfig(image_size=(32, 48), steps=110, warmup=10, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(111)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[60] == pytest.approx(0.5)
    assert rates[110] == pytest.approx(0.0)
    assert learning_rate(80, replace(config, cosine=False)) == 1.0


def test_a_stopped_run_continues_to_the_same_weights(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole")
    whole.run()
    trainer(tmp_path / "parts").run(until=2)
    parts = trainer(tmp_path / "parts")
    assert parts.step == 2
    parts.run()
    for name, value in whole.policy.state_dict().items():
        assert torch.equal(value, parts.policy.state_dict()[name]), name


def test_dropout_and_vae_resume_too(tmp_path: Path) -> None:
    config = replace(SMALL, policy={**SMALL.policy, "dropout": 0.2, "use_vae": True}, dtype="float32")
    whole = trainer(tmp_path / "whole", config)
    whole.run()
    trainer(tmp_path / "parts", config).run(until=3)
    parts = trainer(tmp_path / "parts", config)
    parts.run()
    assert all(torch.equal(v, parts.policy.state_dict()[k]) for k, v in whole.policy.state_dict().items())


def test_the_loss_falls(tmp_path: Path) -> None:
    losses: list[float] = []
    config = replace(SMALL, steps=40, learning_rate=2e-3, dtype="float32")
    trainer(tmp_path, config).run(lambda now: losses.append(now.loss))
    assert losses[-1] < 0.9 * losses[0]


def test_the_checkpoint_is_lerobots(tmp_path: Path) -> None:
    run = trainer(tmp_path)
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


def test_inference_sees_what_training_saw(tmp_path: Path) -> None:
    from autoarm.train.frames import resize

    run = trainer(tmp_path)
    frame = np.random.default_rng(0).integers(0, 256, (1, 480, 640, 3), np.uint8)
    small = torch.from_numpy(resize(frame, (32, 48))).permute(0, 3, 1, 2).float() / 255
    full = torch.from_numpy(frame).permute(0, 3, 1, 2).float() / 255
    cameras = ("observation.images.top", "observation.images.lateral")
    state = {"observation.state": torch.zeros(1, 6)}
    trained = run.processors[0]({**dict.fromkeys(cameras, small), **state})
    seen = run.processors[0]({**dict.fromkeys(cameras, full), **state})
    for camera in cameras:
        # Half a grey level, over the standard deviation of 0.25 that the test's statistics have.
        torch.testing.assert_close(trained[camera], seen[camera], atol=0.5 / 255 / 0.25 + 1e-5, rtol=0)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_act_configurations(name: str) -> None:
    config = act_config(replace(preset(name), policy={**preset(name).policy}), "cpu")
    assert config.n_action_steps <= config.chunk_size


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="choose from cpu, full"):
        preset("gpu")
    with pytest.raises(InvalidInputError, match="dim_modell"):
        act_config(replace(SMALL, policy={"dim_modell": 3}), "cpu")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidFileError, match="not empty"):
        trainer(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_run_is_only_continued_as_it_was(tmp_path: Path) -> None:
    trainer(tmp_path).run(until=1)
    with pytest.raises(InvalidFileError, match="dataset"):
        trainer(tmp_path, digest="other data")
    with pytest.raises(InvalidFileError, match="config"):
        trainer(tmp_path, replace(SMALL, seed=1))
    (tmp_path / "state" / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(InvalidFileError, match="cannot be continued"):
        trainer(tmp_path)


def test_policies_of_equal_seed_are_equal(tmp_path: Path) -> None:
    first, second = trainer(tmp_path / "a"), trainer(tmp_path / "b")
    assert all(torch.equal(v, second.policy.state_dict()[k]) for k, v in first.policy.state_dict().items())
    other = trainer(tmp_path / "c", replace(SMALL, seed=5))
    assert any(not torch.equal(v, other.policy.state_dict()[k]) for k, v in first.policy.state_dict().items())


def test_an_exported_policy_acts_like_the_original(tmp_path: Path) -> None:
    folder = trainer(tmp_path / "run").run()
    exported = export_policy(tmp_path / "run", tmp_path / "small")
    original, small = LeRobotPolicy(folder), LeRobotPolicy(exported)
    size = (exported / "model.safetensors").stat().st_size
    assert size < 0.55 * (folder / "model.safetensors").stat().st_size
    rng = np.random.default_rng(0)
    observation = {
        "pixels": {camera: rng.integers(0, 256, (480, 640, 3), np.uint8) for camera in ("top", "lateral")},
        "agent_pos": rng.normal(0, 20, 6).astype(np.float32),
    }
    # float16 keeps eleven bits: a thousandth of the actions' spread of 20 degrees, and some more on the way.
    np.testing.assert_allclose(small.act(observation, {}), original.act(observation, {}), atol=0.2)
    card = (exported / "README.md").read_text()
    assert "6 steps of 4 samples, seed 0" in card
    assert "from random weights" in card
