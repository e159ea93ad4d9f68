"""Sites exist on any ACT, hold what their names say, and are listed to those who ask for another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lerobot.policies.act.modeling_act import ACTPolicy
from torch import nn

from autoarm.interp.model.capture import capture
from autoarm.interp.model.sites import resolve, sites
from autoarm.interp.model.tokens import TokenLayout, token_layout
from gym_autoarm.errors import IncompatiblePolicyError, InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]


def test_every_site_of_every_configuration_has_the_axes_it_names(act: ACTPolicy, observe: Observe) -> None:
    config, layout = act.config, token_layout(act)
    sizes = {
        "batch": 2,
        "token": layout.size,
        "slot": config.chunk_size,
        "channel": config.dim_model,
        "unit": config.dim_feedforward,
        "head": config.n_heads,
        "action": config.action_feature.shape[0],
    }
    found = capture(act, [observe(act)], sites(act))
    assert list(found) == list(sites(act))
    assert len(found) == len(config.image_features) + 4 + 10 * config.n_encoder_layers + 15 * config.n_decoder_layers
    for name, array in found.items():
        expected = sizes
        if name.startswith("backbone."):
            height, width = layout.grids[name.removeprefix("backbone.")]
            expected = {"batch": 2, "channel": 512, "row": height, "column": width}
        elif ".self_attention.weights" in name:
            expected = sizes | {"query": config.chunk_size}
        elif name.endswith("attention.weights"):
            expected = sizes | {"query": layout.size}
        elif name.endswith(".heads"):
            expected = sizes | {"channel": config.dim_model // config.n_heads}
        assert array.values.shape == tuple(expected[axis] for axis in array.axes), name
        assert np.isfinite(array.values).all()


def test_sites_hold_what_lerobots_own_modules_compute(act: ACTPolicy, observe: Observe) -> None:
    """Each layer's parts put together by hand give the next: no site is mixed up with another."""
    batch = observe(act)
    found = {name: torch.from_numpy(array.values) for name, array in capture(act, [batch], sites(act)).items()}
    close = lambda one, other: torch.testing.assert_close(one, other, atol=1e-5, rtol=0)  # noqa: E731
    x = found["tokens.in"]
    with torch.no_grad():
        torch.testing.assert_close(found["action"], act.predict_action_chunk(batch), atol=0, rtol=0)
        close(x[:, 0], act.model.encoder_latent_input_proj.bias.expand(2, -1))
        close(x[:, 1], act.model.encoder_robot_state_input_proj(batch["observation.state"]))
        layout = token_layout(act, batch)
        for camera in layout.grids:
            grid = act.model.encoder_img_feat_input_proj(found[f"backbone.{camera}"])
            close(x[:, layout.camera(camera)], grid.permute(0, 2, 3, 1))
        for stack, parts in (("encoder", ["attention"]), ("decoder", ["self_attention", "cross_attention"])):
            x = x if stack == "encoder" else torch.zeros_like(found["decoder.0.in"])
            for number, layer in enumerate(getattr(act.model, stack).layers):
                name = f"{stack}.{number}"
                for index, part in enumerate([*parts, "mlp"], start=1):
                    norm = getattr(layer, f"norm{index}")
                    if part == "mlp":
                        close(found[f"{name}.mlp.skip"], x)
                        close(found[f"{name}.mlp.in"], norm(x) if layer.pre_norm else x)
                        close(layer.activation(layer.linear1(found[f"{name}.mlp.in"])), found[f"{name}.mlp.keys"])
                        close(layer.linear2(found[f"{name}.mlp.keys"]), found[f"{name}.mlp"])
                    else:
                        module = layer.multihead_attn if part == "cross_attention" else layer.self_attn
                        heads = found[f"{name}.{part}.heads"].flatten(start_dim=2)
                        close(module.out_proj(heads), found[f"{name}.{part}"])
                    close(found[f"{name}.norm{index}"], norm(x if layer.pre_norm else x + found[f"{name}.{part}"]))
                    x = x + found[f"{name}.{part}"] if layer.pre_norm else found[f"{name}.norm{index}"]
                close(found[f"{name}.out"], x)
            x = getattr(act.model, stack).norm(x)
            close(found[f"{stack}.out"], x)
        close(act.model.action_head(x), found["action"])


def test_parts_of_a_single_decoder_layer_need_no_number(act: ACTPolicy) -> None:
    if act.config.n_decoder_layers == 1:
        for part in ("mlp.keys", "cross_attention.weights", "norm3", "in"):
            assert resolve(act, [f"decoder.{part}"])[f"decoder.{part}"].name == f"decoder.0.{part}"
        with pytest.raises(InvalidInputError, match="one site"):
            resolve(act, ["decoder.mlp", "decoder.0.mlp"])
    else:
        with pytest.raises(InvalidInputError, match=r"decoder\.0\.mlp\.keys.*decoder\.1\.mlp\.keys"):
            resolve(act, ["decoder.mlp.keys"])
    assert resolve(act, ["decoder.out"])["decoder.out"].module is act.model.decoder


def test_sites_come_in_the_order_of_a_forward_pass(two_cameras: ACTPolicy) -> None:
    wanted = ["action", "decoder.mlp", "encoder.1.out", "backbone.lateral", "tokens.in", "backbone.top"]
    order = ["backbone.top", "backbone.lateral", "tokens.in", "encoder.1.out", "decoder.mlp", "action"]
    assert list(resolve(two_cameras, wanted)) == order


@pytest.mark.parametrize("name", ["encoder.7.mlp", "decoder.keys", "", "backbone.wrist", "backbone"])
def test_an_unknown_site_is_answered_with_those_that_exist(two_cameras: ACTPolicy, name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        resolve(two_cameras, [name])
    assert repr(name) in str(caught.value)
    for known in ("backbone.top", "encoder.0.mlp.keys", "decoder.0.cross_attention", "action"):
        assert known in str(caught.value)


def test_other_policies_are_refused() -> None:
    with pytest.raises(IncompatiblePolicyError, match="Linear is no ACT policy"):
        sites(nn.Linear(1, 1))
    with pytest.raises(IncompatiblePolicyError, match="no ACT policy"):
        token_layout(None)


def test_a_wrapper_is_told_where_the_policy_is(two_cameras: ACTPolicy) -> None:
    class Wrapper:
        policy = two_cameras

    with pytest.raises(IncompatiblePolicyError, match="attribute `policy`"):
        sites(Wrapper())


# -- Tokens ------------------------------------------------------------------------------------------------------------


def test_layout_counts_the_tokens_that_the_encoder_gets(act: ACTPolicy, observe: Observe) -> None:
    tokens = capture(act, [observe(act)], ["tokens.in"])["tokens.in"].size("token")
    assert token_layout(act).size == token_layout(act, observe(act)).size == tokens


def test_frames_may_have_another_size_than_the_configuration_says(two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras)
    batch["observation.images.top"] = torch.zeros(2, 3, 128, 33)
    layout = token_layout(two_cameras, batch)
    assert dict(layout.grids) == {"top": (4, 2), "lateral": (2, 3)}
    assert layout.size == capture(two_cameras, [batch], ["encoder.out"])["encoder.out"].size("token")


def test_a_dilated_last_stage_has_finer_grids(new_act: Callable[..., ACTPolicy], observe: Observe) -> None:
    policy = new_act(cameras={"top": (49, 80)}, vision_backbone="resnet50", replace_final_stride_with_dilation=True)
    features = capture(policy, [observe(policy, size=1)], ["backbone.top"])["backbone.top"].values
    assert token_layout(policy).grids["top"] == features.shape[2:] == (4, 5)


def test_default_size_has_602_tokens() -> None:
    layout = TokenLayout(("latent", "state"), {"top": (15, 20), "lateral": (15, 20)})
    assert layout.size == 602
    assert layout.camera("lateral")[0, 0] == 302


def old_order(cameras: dict[str, np.ndarray]) -> np.ndarray:
    """How LeRobot flattened its cameras before 2025-03-18: side by side, then row by row."""
    return np.concatenate(list(cameras.values()), axis=1).ravel()


@given(
    height=st.integers(1, 4),
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    heights=st.lists(st.integers(1, 4), min_size=3, max_size=3),
    interleaved=st.booleans(),
)
def test_cameras_are_found_in_either_order(
    height: int, widths: list[int], heights: list[int], interleaved: bool
) -> None:
    grids = {f"c{i}": (height if interleaved else heights[i], width) for i, width in enumerate(widths)}
    cameras, first = {}, 2
    for name, shape in grids.items():
        cameras[name] = first + np.arange(np.prod(shape)).reshape(shape)
        first += int(np.prod(shape))
    flat = old_order(cameras) if interleaved else np.concatenate([grid.ravel() for grid in cameras.values()])
    sequence = np.concatenate([[0, 1], flat])
    layout = TokenLayout(("latent", "state"), grids, interleaved)
    assert layout.size == len(sequence)
    assert sorted(np.concatenate([layout.indices(group) for group in layout.groups])) == list(range(len(sequence)))
    for name, grid in cameras.items():
        np.testing.assert_array_equal(sequence[layout.camera(name)], grid)
    assert layout.indices("state").tolist() == [1]


def test_grids_of_different_heights_cannot_be_interleaved(new_act: Callable[..., ACTPolicy]) -> None:
    policy = new_act(cameras={"a": (32, 32), "b": (64, 32)})
    assert token_layout(policy).size == 5
    with pytest.raises(InvalidInputError, match="different heights"):
        token_layout(policy, interleaved=True)


@pytest.mark.parametrize(("ask", "error"), [("camera", "choose from top"), ("token", "latent"), ("indices", "latent")])
def test_unknown_tokens_are_answered_with_those_that_exist(ask: Any, error: str) -> None:
    layout = TokenLayout(("latent",), {"top": (1, 2)})
    with pytest.raises(InvalidInputError, match=error):
        getattr(layout, ask)("wrist")
