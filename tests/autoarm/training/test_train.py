"""Training: what decides the batches, exact resume, and checkpoints that stock LeRobot loads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import resnet18
from torchvision.ops.misc import FrozenBatchNorm2d

from autoarm.policies.lerobot import LeRobotPolicy
from autoarm.results.result import Result, SuiteRecord
from autoarm.training.augment import augment_images, augment_maps, augment_state, shift_images
from autoarm.training.backbone import PRETRAINING, load_backbone, made_by, save_backbone
from autoarm.training.calibration import calibrate_batch_norm
from autoarm.training.config import CPU, PRESETS, Augmentation, Phase, TrainConfig, preset, with_backbone
from autoarm.training.data import ChunkDataset
from autoarm.training.export import export_policy, model_card
from autoarm.training.features import digest_of, images_are_feature_maps
from autoarm.training.folding import folded_batch_norm
from autoarm.training.footprint import check_memory, training_bytes
from autoarm.training.lean import lean_transformer
from autoarm.training.sampling import BatchSampler, chunk_indices
from autoarm.training.trainer import Trainer, learning_rate, new_policy, policy_config
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
    phases=(Phase(steps=6, batch_size=4, warmup=2),),
)
TWO_PHASES = replace(
    SMALL,
    phases=(
        Phase(steps=3, batch_size=4, warmup=1),
        Phase(steps=5, batch_size=6, warmup=1, learning_rate=1e-3, backbone="frozen"),
    ),
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path_factory.mktemp("cache")))


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
@settings(max_examples=40)
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
@settings(max_examples=60)
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


def test_fewer_demonstrations_are_spread_over_the_dataset() -> None:
    joints = np.repeat(np.arange(10, dtype=np.float32), 5)[:, None] * np.ones(6, np.float32)
    frames = np.zeros((50, 2, 4, 4, 3), np.uint8)
    data = ChunkDataset(frames, joints, joints, np.repeat(np.arange(10), 5), 8, demonstrations=5)
    assert len(data) == 25
    batch = data.batch(np.arange(25))
    assert batch["observation.state"][:, 0].unique().tolist() == [0, 2, 4, 6, 8]
    assert torch.equal(batch["action"][:, :, 0], batch["observation.state"][:, :1].expand(-1, 8))
    for wrong in (0, 11):
        with pytest.raises(InvalidInputError, match="from 1 to 10"):
            ChunkDataset(frames, joints, joints, np.repeat(np.arange(10), 5), 8, demonstrations=wrong)


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


@pytest.mark.parametrize(
    "fields", [{}, {"pre_norm": True}, {"n_decoder_layers": 2}, {"use_vae": True}, {"feedforward_activation": "gelu"}]
)
def test_a_lean_transformer_has_the_same_losses_and_gradients(fields: dict[str, object]) -> None:
    torch.manual_seed(0)
    policy: Any = new_policy(policy_config(replace(SMALL, policy={**SMALL.policy, **fields}), "cpu"))
    policy.train()
    # Untrained, biases of zero would hide what passes through the decoder's first self-attention.
    for parameter in policy.model.decoder.parameters():
        nn.init.normal_(parameter, std=0.1)
    batch = {
        "observation.state": torch.randn(3, 6),
        "action": torch.randn(3, CHUNK, 6),
        "action_is_pad": torch.arange(CHUNK)[None] >= torch.tensor([8, 5, 3])[:, None],
        **{key: torch.randn(3, 512, 1, 2).relu() for key in policy.config.image_features},
    }
    names = policy.state_dict().keys()

    def run() -> tuple[float, dict[str, torch.Tensor]]:
        torch.manual_seed(1)  # the VAE's draw
        policy.zero_grad()
        with images_are_feature_maps(policy):
            loss, _ = policy.forward(batch)
        loss.backward()
        return loss.item(), {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}

    expected, gradients = run()
    with lean_transformer(policy) as applied:
        loss, lean_gradients = run()
        assert policy.state_dict().keys() == names
    assert applied
    assert loss == pytest.approx(expected, rel=1e-6)
    assert lean_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(lean_gradients[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    again, _ = run()
    assert again == expected


def test_dropout_draws_for_every_sample_and_is_not_simplified() -> None:
    policy = new_policy(policy_config(replace(SMALL, policy={**SMALL.policy, "dropout": 0.1}), "cpu"))
    with lean_transformer(policy) as applied:
        assert not applied


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    phase = Phase(steps=110, warmup=10, learning_rate=1.0)
    rates = [learning_rate(step, phase) for step in range(111)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[60] == pytest.approx(0.5)
    assert rates[110] == pytest.approx(0.0)
    assert learning_rate(80, replace(phase, cosine=False)) == 1.0


def test_a_stopped_run_continues_to_the_same_weights(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole")
    whole.run()
    trainer(tmp_path / "parts").run(until=2)
    parts = trainer(tmp_path / "parts")
    assert parts.step == 2
    parts.run()
    for name, value in whole.policy.state_dict().items():
        assert torch.equal(value, parts.policy.state_dict()[name]), name


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_a_run_of_two_phases_continues_to_the_same_weights(tmp_path: Path, stop: int) -> None:
    config = replace(TWO_PHASES, augmentation=Augmentation(shift=1, state_noise=0.1, feature_noise=0.1))
    whole = trainer(tmp_path / "whole", config)
    whole.run()
    trainer(tmp_path / "parts", config).run(until=stop)
    parts = trainer(tmp_path / "parts", config)
    assert parts.step == stop
    parts.run()
    for name, value in whole.policy.state_dict().items():
        assert torch.equal(value, parts.policy.state_dict()[name]), name


def test_a_frozen_backbone_stays_as_it_is_and_the_rest_learns(tmp_path: Path) -> None:
    run = trainer(tmp_path, TWO_PHASES)
    run.run(until=3)
    before = {name: value.clone() for name, value in run.policy.state_dict().items()}
    run.run()
    after = run.policy.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    assert not any(name.startswith("model.backbone.") for name in changed)
    assert "model.action_head.weight" in changed
    assert all(parameter.requires_grad for parameter in run.policy.parameters())


def test_kept_feature_maps_give_the_loss_of_the_images(tmp_path: Path) -> None:
    frozen = replace(TWO_PHASES, phases=TWO_PHASES.phases[1:], dtype="float32")
    run = trainer(tmp_path, frozen)
    indices = np.arange(6)
    run._maps = None
    with torch.no_grad():
        live = [each.clone() for key, each in run._batch(indices).items() if "images" in key]
        run._maps = run._compute_maps(None)
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


def test_feature_maps_are_computed_once(tmp_path: Path) -> None:
    frozen = replace(TWO_PHASES, phases=TWO_PHASES.phases[1:])
    calls: list[tuple[int, int]] = []
    for name in ("first", "second"):
        trainer(tmp_path / name, frozen).run(computed=lambda done, total: calls.append((done, total)))
    assert calls == [(42, 42)]


def test_a_run_over_a_given_backbone_leaves_it_alone(tmp_path: Path) -> None:
    donor = trainer(tmp_path / "donor")
    donor.run(until=1)
    weights = {name: value.clone() for name, value in donor.policy.model.backbone.state_dict().items()}
    save_backbone(tmp_path / "backbone", weights, {})
    loaded = load_backbone(tmp_path / "backbone")
    config = with_backbone(TWO_PHASES, digest_of(loaded))
    run = Trainer(config, demonstrations(), stats(), tmp_path / "run", "data", backbone=loaded)
    run.run()
    assert run.step == 5
    assert all(torch.equal(value, weights[name]) for name, value in run.policy.model.backbone.state_dict().items())
    with pytest.raises(InvalidInputError, match="every phase"):
        with_backbone(SMALL, "digest")
    with pytest.raises(InvalidFileError, match=r"no backbone\.safetensors"):
        load_backbone(tmp_path / "run")
    (tmp_path / "backbone" / "backbone.safetensors").write_bytes(b"broken")
    with pytest.raises(InvalidFileError, match="damaged"):
        load_backbone(tmp_path / "backbone")


def test_the_card_says_how_the_backbone_was_made(tmp_path: Path) -> None:
    weights = trainer(tmp_path / "donor").policy.model.backbone.state_dict()
    config = with_backbone(TWO_PHASES, digest_of(weights))
    cards = {}
    for origin in (PRETRAINING, "taking it out of another policy", None):
        folder = tmp_path / str(origin).replace(" ", "-")
        save_backbone(folder / "backbone", weights, {} if origin is None else {"made_by": origin})
        run = Trainer(
            config,
            demonstrations(),
            stats(),
            folder / "run",
            "data",
            backbone=weights,
            backbone_made_by=made_by(folder / "backbone"),
        )
        run.run(until=1)
        cards[origin] = model_card("policy", folder / "run" / "pretrained_model")
    assert "positions of cube and gripper as labels, then frozen" in cards[PRETRAINING]
    assert "labels" not in cards["taking it out of another policy"]
    assert "made by taking it out of another policy, then frozen" in cards["taking it out of another policy"]
    assert "labels" not in cards[None]
    assert "does not tell" in cards[None]
    (tmp_path / "None" / "backbone" / "backbone.json").write_text("broken")
    with pytest.raises(InvalidFileError, match=r"backbone\.json: damaged"):
        made_by(tmp_path / "None" / "backbone")


def test_the_card_tells_how_other_training_seeds_did(tmp_path: Path, make_result: Callable[..., Result]) -> None:
    folder = trainer(tmp_path).run(until=1)
    seeds = [make_result("policy", "everywhere", [True] * wins + [False] * (10 - wins)) for wins in (7, 9, 5)]
    card = model_card("policy", folder, results=seeds[:1], seeds=seeds)
    assert "| all | 7 of 10 | 40 to 89 % |" in card
    assert "over 3 training seeds" in card
    assert "| all | 70.0 % | 50.0 % | 90.0 % |" in card
    suite = SuiteRecord.model_construct(name="suite", size="small")
    ours = [each.model_copy(update={"setting": each.setting.model_copy(update={"suite": suite})}) for each in seeds]
    of_axes = model_card("policy", folder, seeds=ours)
    assert "| all |" not in of_axes
    assert f"| {next(iter(seeds[0].groups))} | 70.0 % | 50.0 % | 90.0 % |" in of_axes


def test_one_camera_and_no_state(tmp_path: Path) -> None:
    folder = trainer(tmp_path, replace(SMALL, cameras=("lateral",), state=False)).run()
    config = json.loads((folder / "config.json").read_text())
    assert list(config["input_features"]) == ["observation.images.lateral"]


# -- Augmentation ------------------------------------------------------------------------------------------------------


def test_images_move_by_whole_pixels() -> None:
    images = torch.rand(2, 3, 8, 10)
    moved = shift_images(images, torch.tensor([[2, -1], [0, 3]]))
    assert torch.equal(moved[0, :, 2:, :-1], images[0, :, :-2, 1:])
    assert torch.equal(moved[1, :, :, 3:], images[1, :, :, :-3])
    assert torch.equal(moved[1, :, :, :3], images[1, :, :, :1].expand(-1, -1, 3))
    assert torch.equal(shift_images(images, torch.zeros(2, 2, dtype=torch.long)), images)


@given(st.floats(0.01, 0.9), st.floats(0.0, 0.3), st.integers(0, 3))
@settings(max_examples=20)
def test_changed_images_are_images(colour: float, noise: float, shift: int) -> None:
    images = torch.rand(3, 3, 8, 8)
    changed = augment_images(images, Augmentation(shift, colour, noise))
    assert changed.shape == images.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert not torch.equal(changed, images)


def test_hidden_states_are_the_mean() -> None:
    torch.manual_seed(0)
    state = torch.randn(4000, 6)
    hidden = (augment_state(state, Augmentation(state_dropout=0.25)) == 0).all(dim=1)
    assert float(hidden.float().mean()) == pytest.approx(0.25, abs=0.03)
    noisy = augment_state(state, Augmentation(state_noise=0.1)) - state
    assert float(noisy.std()) == pytest.approx(0.1, rel=0.05)
    assert torch.equal(augment_state(state, Augmentation()), state)
    assert torch.equal(augment_images(torch.ones(1, 3, 2, 2), Augmentation()), torch.ones(1, 3, 2, 2))


def test_noise_on_feature_maps_is_in_their_own_units() -> None:
    torch.manual_seed(0)
    maps = [5 * torch.randn(8, 32, 3, 4), torch.randn(8, 32, 3, 4)]
    noisy = augment_maps(maps, Augmentation(feature_noise=0.2))
    for own, changed in zip(maps, noisy, strict=True):
        assert float((changed - own).std() / own.std()) == pytest.approx(0.2, rel=0.05)
    assert augment_maps(maps, Augmentation()) is maps


# -- Memory ------------------------------------------------------------------------------------------------------------


def test_memory_grows_with_the_batch_and_not_with_kept_features() -> None:
    small, large = (training_bytes(replace(SMALL, phases=(Phase(1, batch_size=size),))) for size in (4, 64))
    frozen = training_bytes(replace(SMALL, phases=(Phase(1, batch_size=64, backbone="frozen"),)))
    assert frozen < small < large
    # ResNet-18 alone: 11.2 million weights, four times, in single precision.
    assert frozen > 4 * 4 * 11e6
    # Weights in half precision are there once, whatever the batch.
    sample = (large - small) / 60
    assert sample < 2 * 11e6


def test_a_run_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6))
    with pytest.raises(InvalidInputError, match=r"needs about 0\.\d GB and 0\.0 GB are free"):
        check_memory(SMALL)


def test_what_is_free_is_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * 10**9, 80 * 10**9))
    check_memory(SMALL, "cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * 10**6, 80 * 10**9))
    with pytest.raises(InvalidInputError, match=r"0\.0 GB are free"):
        check_memory(SMALL, "cuda:1")


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
    config = replace(SMALL, phases=(Phase(steps=40, batch_size=4, warmup=2, learning_rate=2e-3),), dtype="float32")
    trainer(tmp_path, config).run(lambda now: losses.append(now.loss))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.lengthy
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


def test_relative_actions_start_where_the_joints_are(tmp_path: Path) -> None:
    run = trainer(tmp_path, replace(SMALL, relative_actions=True, dtype="float32"))
    run.run(until=1)
    with torch.no_grad():  # a policy that always says the mean
        run.policy.model.action_head.weight.zero_()
        run.policy.model.action_head.bias.zero_()
    run.save()
    policy = LeRobotPolicy(tmp_path, image_size=(32, 48))
    data = demonstrations().joints(np.arange(42))
    used = ~data["action_is_pad"]
    mean = (data["action"] - data["observation.state"][:, None])[used].mean(0).numpy()
    for position in (0.0, 30.0):
        pixels = dict.fromkeys(("top", "lateral"), np.zeros((32, 48, 3), np.uint8))
        actions = policy.act({"pixels": pixels, "agent_pos": np.full(6, position, np.float32)}, {})
        np.testing.assert_allclose(actions, np.tile(position + mean, (4, 1)), atol=1e-4)
    learnt = run.processors[0](data)["action"][used]
    torch.testing.assert_close(learnt.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(learnt.std(0), torch.ones(6), atol=1e-2, rtol=0)


def test_inference_sees_what_training_saw(tmp_path: Path) -> None:
    from autoarm.data.frames import resize

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
def test_presets_are_lerobots_configurations(name: str) -> None:
    config = policy_config(preset(name), "cpu")
    assert 1 <= config.n_action_steps <= len(config.action_delta_indices)


def test_a_preset_is_changed_phase_by_phase() -> None:
    config = preset("cpu", (10, 20), (4, 8), policy={"chunk_size": "100", "feedforward_activation": "gelu"}, seed=None)
    assert [(phase.steps, phase.batch_size) for phase in config.phases] == [(10, 4), (20, 8)]
    assert config.policy["chunk_size"] == 100
    assert config.policy["feedforward_activation"] == "gelu"
    assert [phase.backbone for phase in preset("cpu", (0, 5)).phases] == ["frozen"]
    assert [config.phase_at(step)[1] for step in (0, 9, 10, 29)] == [0, 0, 10, 10]
    changed = preset("cpu", augmentation={"shift": 2, "state_dropout": None}).augmentation
    assert changed == replace(preset("cpu").augmentation, shift=2)
    with pytest.raises(InvalidInputError, match="one number for each of the preset's 2 phases"):
        preset("cpu", (10,))
    with pytest.raises(InvalidInputError, match="no step is left"):
        preset("cpu", (0, 0))


def test_weights_that_cannot_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("autoarm.training.trainer.get_policy_class", lambda _: refuse)
    with pytest.raises(InvalidInputError, match="cannot be downloaded: no network"):
        trainer(tmp_path)


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="choose from cpu, cpu-diffusion, full"):
        preset("gpu")
    with pytest.raises(InvalidInputError, match="dim_modell"):
        policy_config(replace(SMALL, policy={"dim_modell": 3}), "cpu")
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
    assert "6 steps of 4 samples with the backbone trained; seed 0" in card
    assert "from random weights" in card
