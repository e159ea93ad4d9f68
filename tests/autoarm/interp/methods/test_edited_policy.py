"""A policy under edits acts as the edited network would, in whole episodes, here and in other processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.evaluation.engine import run_episodes
from autoarm.evaluation.source import PolicySource
from autoarm.interp.methods.edited_policy import Ablate, EditedPolicy, MaskTokens, Steer
from autoarm.interp.methods.knockout import Part, mlps
from autoarm.interp.model.capture import capture
from autoarm.interp.model.intervene import intervene, zero
from autoarm.interp.observations.rendered import rendered_frames
from autoarm.policies.describe import describe_policy
from autoarm.policies.protocol import Policy
from autoarm.suite.episodes import plan_episodes
from gym_autoarm.errors import IncompatiblePolicyError, InvalidInputError
from gym_autoarm.sampling import SceneDistribution

SIZE = (64, 96)
OUTPUT = Part("chunk", "action")


@pytest.fixture(scope="module")
def seen() -> dict[str, object]:
    drawn = rendered_frames([(0.2, 0.05)], image_size=SIZE)
    return {"pixels": {name: frames[0] for name, frames in drawn.pixels.items()}, "agent_pos": drawn.states[0]}


def act(policy: EditedPolicy, seen: dict[str, object], seed: int = 3) -> np.ndarray:
    policy.reset(seed, {})
    return policy.act(seen, {})


def test_it_acts_as_under_the_same_edit(checkpoint: Path, seen: dict[str, object]) -> None:
    policy = EditedPolicy(str(checkpoint), [Ablate(Part("mlp", "decoder.mlp"))], image_size=SIZE)
    assert isinstance(policy, Policy)
    edited = act(policy, seen)
    plain = policy.inner.act(seen, {})
    with intervene(policy.inner.policy, {"decoder.mlp": zero()}):
        np.testing.assert_array_equal(edited, policy.inner.act(seen, {}))
    assert np.abs(edited - plain).max() > 1e-4
    np.testing.assert_array_equal(policy.inner.act(seen, {}), plain)


def test_every_recipe_acts_and_travels(checkpoint: Path, seen: dict[str, object]) -> None:
    first = EditedPolicy(str(checkpoint), [Ablate(OUTPUT)], image_size=SIZE)
    inner: ACTPolicy = first.inner.policy
    part = mlps(inner)[0]
    batch = first.inner.batch(seen)
    reference = capture(inner, [batch], [part.site])[part.site]
    tokens = capture(inner, [batch], ["encoder.out"])["encoder.out"].values[0]
    plain = first.inner.act(seen, {})
    interventions = [
        Ablate(part, "mean", reference),
        Ablate(part, "resample", reference),
        Steer("encoder.out", np.ones_like(tokens)),
        Steer("encoder.out", np.ones_like(tokens), random=True),
        MaskTokens(3),
        MaskTokens(3, top=False),
        MaskTokens(3, hidden=True),
    ]
    for intervention in interventions:
        policy = EditedPolicy(str(checkpoint), [intervention], image_size=SIZE)
        policy._loaded = first.inner  # loading takes longest
        acted = act(policy, seen)
        # The mean and the resampled value of one observation are its own.
        assert np.allclose(acted, plain, atol=1e-3) == isinstance(intervention, Ablate), intervention.label
        again = pickle.loads(pickle.dumps(policy))  # noqa: S301 - as multiprocessing does
        assert again._loaded is None
        again._loaded = first.inner
        np.testing.assert_array_equal(act(again, seen), acted)
        assert intervention.label in policy.name
    assert describe_policy(first).config["edits"] == ["without chunk (zero)"]
    assert describe_policy(first).role == "control"


def test_whole_episodes_are_run(checkpoint: Path) -> None:
    policy = EditedPolicy(str(checkpoint), [Ablate(OUTPUT)], image_size=SIZE)
    episodes = plan_episodes(SceneDistribution(cube="spots"), 2, 0)
    source = PolicySource(policy, image_size=SIZE, time_limit=10)
    done = list(run_episodes(source, policy, episodes))
    assert all(run.row.error is None for run in done)
    # A chunk of zeros is the mean action, whatever is seen.
    np.testing.assert_allclose(done[0].actions, np.tile(done[1].actions[0], (10, 1)), atol=1e-5)


def test_what_cannot_be_edited_is_refused(checkpoint: Path, seen: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match="nothing to change"):
        EditedPolicy(str(checkpoint), [])
    with pytest.raises(IncompatiblePolicyError, match="no ACT"):
        EditedPolicy("expert", [Ablate(OUTPUT)]).reset(0, {})
    twice = EditedPolicy(str(checkpoint), [Ablate(OUTPUT), Ablate(OUTPUT)], image_size=SIZE)
    with pytest.raises(InvalidInputError, match="two interventions"):
        act(twice, seen)
