"""Recording sees every step, and the arm does exactly what it would have done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.policies.act.modeling_act import ACTPolicy
from torch import Tensor, nn
from torch.nn import functional

from autoarm.interp.methods.recorder import AttentionStep, record_attention
from autoarm.interp.model.capture import capture
from autoarm.interp.model.intervene import intervene, replace
from autoarm.interp.model.tokens import token_layout
from autoarm.policies.lerobot import LeRobotPolicy
from gym_autoarm import spec
from gym_autoarm.errors import IncompatiblePolicyError, InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]
QUEUED: dict[str, Any] = {"n_action_steps": 3}
ENSEMBLING: dict[str, Any] = {"n_action_steps": 1, "temporal_ensemble_coeff": 0.01}


@pytest.mark.parametrize("options", [QUEUED, ENSEMBLING])
@pytest.mark.parametrize("every", ["step", "chunk"])
def test_actions_and_policy_are_bit_identical(
    new_act: Callable[..., ACTPolicy], observe: Observe, unchanged: Any, options: dict[str, Any], every: Any
) -> None:
    policy = new_act(cameras={"top": (32, 64), "side": (64, 32)}, **options)
    batches = [observe(policy, seed, 1) for seed in range(8)]
    policy.train()  # LeRobot's select_action switches it off, and leaves it so
    expected = [policy.select_action(batch) for batch in batches]
    policy.reset()
    with unchanged(policy):
        with record_attention(policy, encoder=True, every=every) as recorder:
            taken = [policy.select_action(batch) for batch in batches]
            assert torch.equal(torch.stack(taken), torch.stack(expected))
            assert recorder.count == len(recorder.steps) == 8
        policy.reset()
        again = [policy.select_action(batch) for batch in batches]
        assert torch.equal(torch.stack(again), torch.stack(expected))
        policy.reset()


def test_the_queue_in_the_middle_of_an_episode_is_untouched(
    two_cameras: ACTPolicy, observe: Observe, unchanged: Any
) -> None:
    two_cameras.select_action(observe(two_cameras, 0, 1))
    expected = [action.clone() for action in two_cameras._action_queue]
    torch.manual_seed(7)
    draw = torch.rand(2)
    torch.manual_seed(7)
    with record_attention(two_cameras) as recorder:
        taken = [two_cameras.select_action(observe(two_cameras, seed, 1)) for seed in (1, 2)]
        assert torch.equal(torch.rand(2), draw)
    assert torch.equal(torch.stack(taken), torch.stack(expected[:2]))
    assert torch.equal(torch.stack(list(two_cameras._action_queue)), torch.stack(expected[2:]))
    assert [(step.source, step.slot) for step in recorder.steps] == [("extra", 1), ("extra", 2)]


def test_each_step_is_what_capture_sees_at_its_observation(act: ACTPolicy, observe: Observe) -> None:
    act.config.n_action_steps = 2
    act.reset()
    batches = [observe(act, seed) for seed in range(5)]
    with record_attention(act, encoder=True) as recorder:
        for batch in batches:
            act.select_action(batch)
    assert [step.source for step in recorder.steps] == ["own", "extra", "own", "extra", "own"]
    assert [step.slot for step in recorder.steps] == [0, 1, 0, 1, 0]
    assert [step.step for step in recorder.steps] == list(range(5))
    for step, batch in zip(recorder.steps, batches, strict=True):
        decoder = [f"decoder.{layer}.cross_attention.weights" for layer in range(act.config.n_decoder_layers)]
        encoder = [f"encoder.{layer}.attention.weights" for layer in range(act.config.n_encoder_layers)]
        found = capture(act, [batch], [*encoder, *decoder])
        for names, arrays in ((encoder, step.encoder), (decoder, step.decoder)):
            for name, array in zip(names, arrays, strict=True):
                np.testing.assert_array_equal(array, found[name].values)
        assert step.layout == token_layout(act)
        assert sum(step.shares().values()) == pytest.approx(1.0, abs=1e-5)
        assert list(step.shares()) == list(step.layout.groups)
        np.testing.assert_allclose(step.rollout().sum(axis=-1), 1.0, atol=1e-4)
        assert step.effective_tokens().shape == (2, act.config.n_heads, act.config.chunk_size)


def test_no_forward_pass_is_made_that_is_not_needed(
    two_cameras: ACTPolicy, observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    forward = two_cameras.model.forward
    monkeypatch.setattr(two_cameras.model, "forward", lambda batch: passes.append(1) or forward(batch))
    for every, expected in (("chunk", 2), ("step", 10)):
        passes.clear()
        two_cameras.reset()
        with record_attention(two_cameras, every=every) as recorder:  # type: ignore[arg-type]
            for seed in range(10):
                two_cameras.select_action(observe(two_cameras, seed, 1))
        assert len(passes) == expected
    assert {step.source for step in recorder.steps} == {"own", "extra"}


def test_a_chunk_stands_for_its_steps(two_cameras: ACTPolicy, observe: Observe) -> None:
    with record_attention(two_cameras, every="chunk") as recorder:
        for seed in range(7):
            two_cameras.select_action(observe(two_cameras, seed, 1))
    assert [step.source for step in recorder.steps] == ["own", *["repeated"] * 4, "own", "repeated"]
    assert [step.slot for step in recorder.steps] == [0, 1, 2, 3, 4, 0, 1]
    assert recorder.steps[4].decoder[0] is recorder.steps[0].decoder[0]
    assert np.abs(recorder.steps[5].decoder[0] - recorder.steps[0].decoder[0]).max() > 1e-6


def test_long_recordings_need_no_list(two_cameras: ACTPolicy, observe: Observe) -> None:
    seen: list[AttentionStep] = []
    with record_attention(two_cameras, on_step=seen.append) as recorder:
        for seed in range(3):
            two_cameras.select_action(observe(two_cameras, seed, 1))
    assert recorder.steps == []
    assert recorder.count == len(seen) == 3


# -- Attention that is known -------------------------------------------------------------------------------------------


class Brightness(nn.Module):
    """In place of a ResNet: the mean of each patch of 32x32, in the first of its channels."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        feature = torch.zeros(len(image), 512, image.shape[2] // 32, image.shape[3] // 32)
        feature[:, :1] = functional.avg_pool2d(image.mean(dim=1, keepdim=True), 32)
        return {"feature_map": feature}


def look_for_brightness(policy: ACTPolicy) -> None:
    """Weights that can look at nothing but the brightest patch."""
    model, layer = policy.model, policy.model.decoder.layers[0]
    model.backbone = Brightness()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("decoder.") or "multihead_attn" in name:
                parameter.zero_()
        model.encoder_img_feat_input_proj.weight[0, 0] = 1.0
        for one in model.encoder.layers:  # does nothing but normalise
            one.norm1.weight.fill_(1.0)
            one.norm2.weight.fill_(1.0)
        width = policy.config.dim_model
        layer.multihead_attn.in_proj_bias[:width] = 10.0  # queries, whatever the slot
        layer.multihead_attn.in_proj_weight[width : 2 * width, 0] = 10.0  # keys: how bright


def test_attention_built_into_a_policy_is_seen_to_follow_the_image_at_every_step(two_cameras: ACTPolicy) -> None:
    look_for_brightness(two_cameras)
    path = [("top", 0, 0), ("top", 1, 2), ("lateral", 0, 1), ("lateral", 1, 0), ("top", 0, 2), ("lateral", 1, 2)]
    with record_attention(two_cameras) as recorder:
        for camera, row, column in path:
            batch = {f"observation.images.{name}": torch.zeros(1, 3, 64, 96) for name in ("top", "lateral")}
            patch = batch[f"observation.images.{camera}"][..., 32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
            patch.fill_(1.0)
            two_cameras.select_action(batch | {"observation.state": torch.zeros(1, 6)})
    for step, (camera, row, column) in zip(recorder.steps, path, strict=True):
        weights = step.decoder[0][..., step.layout.camera(camera)]
        np.testing.assert_allclose(weights[..., row, column], 1.0, atol=1e-5)
        assert step.shares()[camera] == pytest.approx(1.0, abs=1e-5)
        np.testing.assert_allclose(step.effective_tokens(), 1.0, atol=1e-3)


def test_what_is_recorded_under_an_edit_is_edited(two_cameras: ACTPolicy, observe: Observe) -> None:
    """And looking at something else meanwhile is no step of the episode."""
    with (
        torch.no_grad(),
        intervene(two_cameras, {"decoder.cross_attention.weights": replace(np.full((1, 4, 5, 14), 1 / 14))}),
        record_attention(two_cameras) as recorder,
    ):
        for seed in range(3):
            two_cameras.select_action(observe(two_cameras, seed, 1))
            capture(two_cameras, [observe(two_cameras, 9)], ["action"])  # no step of the episode
    assert len(recorder.steps) == 3
    for step in recorder.steps:
        np.testing.assert_allclose(step.effective_tokens(), 14.0, rtol=1e-4)
        assert step.shares()["top"] == pytest.approx(6 / 14, abs=1e-5)


# -- LeRobotPolicy -----------------------------------------------------------------------------------------------------


def contract_observation(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    pixels = {camera: rng.integers(0, 256, (64, 96, 3), np.uint8) for camera in spec.CAMERAS}
    return {"pixels": pixels, "agent_pos": rng.uniform(spec.ACTION_LOW, spec.ACTION_HIGH).astype(np.float32)}


def test_our_policy_is_recorded_chunk_by_chunk_and_in_between(checkpoint: Path) -> None:
    policy = LeRobotPolicy(checkpoint, image_size=(64, 96))
    policy.reset(0, {})
    expected = [policy.act(contract_observation(seed), {}) for seed in (0, 5)]
    policy.reset(0, {})
    remembered: list[int] = []

    class Remembering:
        """A processor that would notice one more call."""

        def __init__(self, inner: Any) -> None:
            self.inner, self.calls = inner, 0

        def __call__(self, raw: Any) -> Any:
            self.calls += 1
            remembered.append(self.calls)
            return self.inner(raw)

    processor = policy._preprocess = Remembering(policy._preprocess)
    with record_attention(policy) as recorder:
        taken = []
        for step in range(7):
            if step in (0, 5):
                taken.append(policy.act(contract_observation(step), {}))
            else:
                recorder.look(contract_observation(step))
    np.testing.assert_array_equal(taken, expected)
    assert processor.calls == 2
    assert policy._preprocess is processor
    assert remembered == [1, 2, 2, 2, 2, 2, 3]
    assert [step.source for step in recorder.steps] == ["own", *["extra"] * 4, "own", "extra"]
    assert [step.slot for step in recorder.steps] == [0, 1, 2, 3, 4, 0, 1]
    for number, step in enumerate(recorder.steps):
        batch = policy.batch(contract_observation(number))
        found = capture(policy.policy, [batch], ["decoder.cross_attention.weights"])
        np.testing.assert_array_equal(step.decoder[0], found["decoder.cross_attention.weights"].values)


# -- Bad input ---------------------------------------------------------------------------------------------------------


def test_bad_input_is_refused(two_cameras: ACTPolicy, observe: Observe, unchanged: Any) -> None:
    with pytest.raises(IncompatiblePolicyError, match="no ACT policy"), record_attention(nn.Linear(1, 1)):
        pass
    with pytest.raises(InvalidInputError, match="step or chunk"), record_attention(two_cameras, every="day"):  # type: ignore[arg-type]
        pass
    with (
        unchanged(two_cameras),
        pytest.raises(InvalidInputError, match="the policy wants"),
        record_attention(two_cameras) as recorder,
    ):
        recorder.look({})
    two_cameras.reset()
    with record_attention(two_cameras) as recorder:
        two_cameras.select_action(observe(two_cameras))
    with pytest.raises(InvalidInputError, match="record the encoder"):
        recorder.steps[0].rollout()
