"""Edits act where they are made and nowhere else, in single calls and rollouts, and are gone afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.evaluation.rollout import rollout
from autoarm.interp.model.capture import capture
from autoarm.interp.model.intervene import Edit, block, intervene, mean, replace, zero
from autoarm.interp.model.sites import sites
from autoarm.interp.model.tokens import token_layout
from autoarm.policies.lerobot import LeRobotPolicy
from autoarm.suite.episodes import plan_episodes
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.sampling import SceneDistribution

Observe = Callable[..., dict[str, torch.Tensor]]


def patched(policy: ACTPolicy, batch: dict[str, torch.Tensor], edits: dict[str, Any]) -> torch.Tensor:
    with intervene(policy, edits):
        return policy.predict_action_chunk(batch)


@pytest.mark.parametrize("site", ["decoder.0.in", "decoder.0.self_attention", "decoder.0.norm1"])
def test_negative_control_the_inert_sites_change_the_action_by_exactly_nothing(
    act: ACTPolicy, observe: Observe, site: str
) -> None:
    """The first decoder layer starts from zeros, so that what it makes of itself holds nothing of the observation."""
    clean, source = observe(act, 0), observe(act, 1)
    found = capture(act, [source], [site, "action"])
    assert np.abs(found["action"].values - act.predict_action_chunk(clean).numpy()).max() > 1e-4
    assert torch.equal(patched(act, clean, {site: replace(found[site])}), act.predict_action_chunk(clean))


def test_the_inert_sites_are_live_wires(act: ACTPolicy, observe: Observe) -> None:
    """The negative control is not passed by an edit that does nothing at all."""
    clean = observe(act)
    for site in ("decoder.0.in", "decoder.0.self_attention", "decoder.0.norm1"):
        edited = patched(act, clean, {site: lambda values: values + torch.randn_like(values)})
        assert (edited - act.predict_action_chunk(clean)).abs().max() > 1e-4


def test_positive_control_all_of_the_encoder_gives_exactly_the_sources_action(act: ACTPolicy, observe: Observe) -> None:
    clean, source = observe(act, 0), observe(act, 1)
    last = f"encoder.{act.config.n_encoder_layers - 1}.out"
    for site in ("tokens.in", "encoder.0.out", last, "encoder.out", "decoder.out", "action"):
        found = capture(act, [source], [site])[site]
        assert torch.equal(patched(act, clean, {site: replace(found)}), act.predict_action_chunk(source)), site


def test_positive_control_all_of_the_cross_attention_gives_exactly_the_sources_action(
    act: ACTPolicy, observe: Observe
) -> None:
    clean, source = observe(act, 0), observe(act, 1)
    names = [f"decoder.{layer}.cross_attention" for layer in range(act.config.n_decoder_layers)]
    edits = {name: replace(array) for name, array in capture(act, [source], names).items()}
    assert torch.equal(patched(act, clean, edits), act.predict_action_chunk(source))


def test_every_site_takes_effect_or_says_that_it_cannot(act: ACTPolicy, observe: Observe) -> None:
    batch = observe(act, size=1)
    clean = act.predict_action_chunk(batch)
    found = sites(act)
    for name, site in found.items():
        if site.editable:
            edited = patched(act, batch, {name: lambda values: values + torch.randn_like(values)})
            assert (edited - clean).abs().max() > 1e-6, name
        else:
            with pytest.raises(InvalidInputError, match="only be read"):
                patched(act, batch, {name: zero()})
    # Put back what was there, everywhere: nothing changes but by rounding, where an attention is put together again.
    unedited = patched(act, batch, {name: torch.clone for name, site in found.items() if site.editable})
    torch.testing.assert_close(unedited, clean, atol=1e-5, rtol=0)


def test_zero_mean_and_functions_do_what_they_say(two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras)
    reference = capture(two_cameras, [observe(two_cameras, seed) for seed in range(1, 5)], ["encoder.0.mlp"])
    clean = capture(two_cameras, [batch], ["encoder.0.mlp"])["encoder.0.mlp"].values
    places = {"token": token_layout(two_cameras).indices("lateral")}
    for edit, expected in (
        (zero(places), np.zeros_like(clean)),
        (mean(reference["encoder.0.mlp"], places), np.tile(reference["encoder.0.mlp"].values.mean(axis=0), (2, 1, 1))),
        (Edit(lambda values: 2 * values, places), 2 * clean),
        (replace(np.full((6, 32), 7.0), places), np.full_like(clean, 7.0)),
    ):
        with intervene(two_cameras, {"encoder.0.mlp": edit}):
            seen = capture(two_cameras, [batch], ["encoder.0.mlp"])["encoder.0.mlp"].values
        np.testing.assert_allclose(seen[:, 8:], expected[:, 8:], atol=1e-6)
        np.testing.assert_array_equal(seen[:, :8], clean[:, :8])


def test_a_function_that_works_in_place_reaches_its_site_alone(two_cameras: ACTPolicy, observe: Observe) -> None:
    """With norms last, the MLP and the path around it are given one and the same tensor."""
    with intervene(two_cameras, {"decoder.mlp.in": lambda values: values.mul_(0)}):
        found = capture(
            two_cameras, [observe(two_cameras)], ["decoder.mlp.skip", "decoder.mlp.in", "decoder.mlp", "decoder.out"]
        )
    with intervene(two_cameras, {"decoder.mlp.in": zero()}):
        expected = capture(two_cameras, [observe(two_cameras)], ["decoder.out"])
    assert not found["decoder.mlp.in"].values.any()
    np.testing.assert_array_equal(found["decoder.out"].values, expected["decoder.out"].values)


def test_places_are_all_combinations(two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras)
    site = "decoder.mlp.keys"
    clean = capture(two_cameras, [batch], [site])[site].values
    with intervene(two_cameras, {site: replace(np.full((2, 3), 5.0), {"slot": [0, -1], "unit": [4, 7, 9]})}):
        seen = capture(two_cameras, [batch], [site])[site].values
    clean[np.ix_([0, 1], [0, 4], [4, 7, 9])] = 5.0
    np.testing.assert_array_equal(seen, clean)


def test_a_blocked_attention_carries_nothing(two_cameras: ACTPolicy, observe: Observe) -> None:
    """What no token and no slot may look at cannot reach the action."""
    batch, other = observe(two_cameras, 0), observe(two_cameras, 0)
    other["observation.state"] = torch.randn(2, 6)
    state = token_layout(two_cameras).indices("state")
    rest = [token for token in range(14) if token != 1]
    edits = {f"encoder.{layer}.attention.weights": block({"query": rest, "token": state}) for layer in range(2)}
    edits["decoder.cross_attention.weights"] = block({"token": state})
    one, two = patched(two_cameras, batch, edits), patched(two_cameras, other, edits)
    torch.testing.assert_close(one, two, atol=2e-6, rtol=0)
    assert (two_cameras.predict_action_chunk(batch) - two_cameras.predict_action_chunk(other)).abs().max() > 1e-2
    with intervene(two_cameras, edits):
        weights = capture(two_cameras, [batch], ["encoder.0.attention.weights"])["encoder.0.attention.weights"].values
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-5)
    assert not weights[:, :, rest, 1].any()
    assert weights[:, :, 1, 1].all()


def test_what_cannot_be_blocked_is_refused(two_cameras: ACTPolicy, observe: Observe) -> None:
    with pytest.raises(InvalidInputError, match="only attention"):
        patched(two_cameras, observe(two_cameras), {"encoder.out": block({"token": [1]})})
    with pytest.raises(InvalidInputError, match="no attention is left"):
        patched(two_cameras, observe(two_cameras), {"encoder.0.attention.weights": block({"head": [1]})})


def test_edits_of_one_attention_combine(two_cameras: ACTPolicy, observe: Observe) -> None:
    """A head is silenced by its weights or by what it brings, alike; and what is captured is what was edited."""
    batch, name = observe(two_cameras), "decoder.cross_attention"
    by_weights = patched(two_cameras, batch, {f"{name}.weights": zero({"head": [2]})})
    by_heads = patched(two_cameras, batch, {f"{name}.heads": zero({"head": [2]})})
    torch.testing.assert_close(by_weights, by_heads, atol=1e-6, rtol=0)
    with intervene(two_cameras, {f"{name}.weights": zero({"head": [2]}), f"{name}.heads": zero({"head": [0]})}):
        found = capture(two_cameras, [batch], [f"{name}.weights", f"{name}.heads", name, "action"])
    weights, heads = found[f"{name}.weights"].values, found[f"{name}.heads"].values
    assert not weights[:, 2].any()
    assert weights[:, 0].any()
    assert not heads[:, :, [0, 2]].any()
    assert heads[:, :, [1, 3]].any()
    both = patched(two_cameras, batch, {f"{name}.heads": zero({"head": [0, 2]})})
    np.testing.assert_allclose(found["action"].values, both.numpy(), atol=1e-6)
    then = {f"{name}.weights": zero(), name: lambda values: torch.full_like(values, 0.5)}
    with intervene(two_cameras, then):
        assert (capture(two_cameras, [batch], [name])[name].values == 0.5).all()


def test_it_acts_inside_select_action_and_rollouts(two_cameras: ACTPolicy, observe: Observe) -> None:
    first, second = observe(two_cameras, 0, 1), observe(two_cameras, 1, 1)
    expected = two_cameras.predict_action_chunk(second)[0]
    source = capture(two_cameras, [second], ["encoder.out"])["encoder.out"]
    two_cameras.select_action(first)  # four actions without the edit are waiting
    with intervene(two_cameras, {"encoder.out": replace(source)}) as passes:
        taken = [two_cameras.select_action(first)[0] for _ in range(12)]
    assert passes.count == 3
    assert torch.equal(torch.stack(taken), expected.repeat(3, 1)[:12])


def test_it_acts_in_a_rollout_of_the_simulated_arm(checkpoint: Path) -> None:
    """The chunk of one observation, whatever the arm sees: with all of the encoder's output from there."""
    env, policy = PickIntoBoxEnv((64, 96), time_limit=14), LeRobotPolicy(checkpoint, image_size=(64, 96))
    try:
        observation, info = env.reset(seed=0)
        observation["agent_pos"] = observation["agent_pos"] + 20
        policy.reset(0, info)
        expected = policy.act(observation, info)
        source = capture(policy.policy, [policy.batch(observation)], ["encoder.out"])["encoder.out"]
        episode = plan_episodes(SceneDistribution(), 1, 0)[0]
        clean = rollout(env, policy, episode)
        with intervene(policy.policy, {"encoder.out": replace(source)}) as passes:
            edited = rollout(env, policy, episode)
        again = rollout(env, policy, episode)
    finally:
        env.close()
    assert edited.row.error is None
    assert passes.count == 3
    np.testing.assert_allclose(edited.actions, np.tile(expected, (3, 1))[:14], atol=1e-6)
    assert np.abs(clean.actions - edited.actions).max() > 1e-3
    np.testing.assert_array_equal(clean.actions, again.actions)


@pytest.mark.parametrize("options", [{}, {"n_action_steps": 1, "temporal_ensemble_coeff": 0.01}])
def test_policy_is_bit_identical_afterwards(
    new_act: Callable[..., ACTPolicy], observe: Observe, unchanged: Any, options: dict[str, Any]
) -> None:
    policy = new_act(cameras={"top": (32, 64)}, **options)
    batches = [observe(policy, seed, 1) for seed in range(3)]
    taken = [policy.select_action(batch) for batch in batches]
    policy.reset()
    policy.select_action(batches[0])
    policy.train()
    with unchanged(policy), intervene(policy, {"encoder.0.mlp": zero(), "backbone.top": zero()}):
        for batch in batches:
            policy.select_action(batch)
            torch.rand(3)
    # The episode goes on as if nothing had been in between.
    assert torch.equal(policy.select_action(batches[1]), taken[1])
    assert torch.equal(policy.select_action(batches[2]), taken[2])


def test_policy_is_bit_identical_after_a_failure(two_cameras: ACTPolicy, observe: Observe, unchanged: Any) -> None:
    with unchanged(two_cameras), pytest.raises(KeyError), intervene(two_cameras, {"encoder.out": zero()}):
        raise KeyError
    with unchanged(two_cameras), pytest.raises(InvalidInputError):
        patched(two_cameras, observe(two_cameras), {"encoder.out": lambda values: values[0]})


def test_gradients_flow_through_an_edit(two_cameras: ACTPolicy, observe: Observe) -> None:
    strength = torch.ones(1, requires_grad=True)
    batch = observe(two_cameras)
    batch["observation.images"] = [batch[key] for key in two_cameras.config.image_features]
    with intervene(two_cameras, {"encoder.out": lambda values: values * strength}):
        two_cameras.model(batch)[0].sum().backward()
    assert strength.grad is not None
    assert strength.grad.abs() > 0


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            replace(np.zeros((2, 13, 32))),
            r"shape \(2, 13, 32\) .* \(2, 14, 32\) \(batch, token, channel\)",
        ),
        (replace(np.zeros((3, 14, 32))), "encoder.out: shape"),
        (replace(np.zeros(32)), "encoder.out: shape"),
        (replace(np.zeros((2, 32)), {"token": [1]}), r"\(2, 1, 32\)"),
        (lambda values: values.sum(), r"shape \(\)"),
        (lambda values: None, "NoneType"),
        (zero({"token": [14]}), "no 14 among 14"),
        (zero({"slot": [0]}), "choose from batch, token, channel"),
    ],
)
def test_wrong_shapes_and_places_are_refused(two_cameras: ACTPolicy, observe: Observe, edit: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        patched(two_cameras, observe(two_cameras), {"encoder.out": edit})


def test_a_refusal_that_somebody_swallows_comes_out_at_the_end(two_cameras: ACTPolicy, observe: Observe) -> None:
    def run_and_go_on() -> None:
        with intervene(two_cameras, {"action": replace(np.zeros((9, 9)))}), suppress(InvalidInputError):
            two_cameras.select_action(observe(two_cameras))  # as a rollout does

    with pytest.raises(InvalidInputError, match="shape"):
        run_and_go_on()


def test_a_block_without_a_forward_pass_is_refused(two_cameras: ACTPolicy) -> None:
    with pytest.raises(InvalidInputError, match="nothing was edited"), intervene(two_cameras, {"encoder.out": zero()}):
        pass
