"""Attention in few numbers, against answers that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from autoarm.interp.methods.summary import effective_tokens, entropy, rollout, shares
from autoarm.interp.model.tokens import TokenLayout
from gym_autoarm.errors import InvalidInputError


@st.composite
def attention(draw: st.DrawFn, heads: int = 2, queries: int = 3, tokens: int = 5) -> np.ndarray:
    raw = draw(hnp.arrays(np.float32, (heads, queries, tokens), elements=st.floats(0, 1, width=16)))
    raw[..., 0] += 0.01
    return raw / raw.sum(axis=-1, keepdims=True)


@given(attention())
def test_entropy_is_scipys(weights: np.ndarray) -> None:
    np.testing.assert_allclose(entropy(weights), stats.entropy(weights, axis=-1), atol=1e-5)
    effective = effective_tokens(weights)
    assert (effective >= 1 - 1e-5).all()
    assert (effective <= 5 + 1e-4).all()


@pytest.mark.parametrize("count", [1, 2, 602])
def test_tokens_alike_are_counted(count: int) -> None:
    weights = np.zeros((2, 700), np.float32)
    weights[:, :count] = 1 / count
    np.testing.assert_allclose(effective_tokens(weights), count, rtol=1e-5)


@given(attention(tokens=8), st.booleans())
def test_shares_are_sums_over_the_groups(weights: np.ndarray, interleaved: bool) -> None:
    layout = TokenLayout(("latent", "state"), {"a": (2, 1), "b": (2, 2)}, interleaved)
    found = shares(weights, layout)
    assert list(found) == ["latent", "state", "a", "b"]
    a = [2, 5] if interleaved else [2, 3]
    np.testing.assert_allclose(found["a"], weights[..., a].sum(axis=-1), atol=1e-6)
    np.testing.assert_array_equal(found["state"], weights[..., 1])
    np.testing.assert_allclose(sum(found.values()), 1.0, atol=1e-5)
    with pytest.raises(InvalidInputError, match="for 8 tokens"):
        shares(weights[..., :7], layout)


def test_rollout_by_hand() -> None:
    first = np.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]], np.float32)  # mean: [[.5, .5], [1, 0]]
    second = np.array([[[0.0, 1.0], [0.0, 1.0]]], np.float32)
    # Half of each is the path around: [[.75, .25], [.5, .5]], then [[.5, .5], [0, 1]].
    expected = np.array([[0.5, 0.5], [0.0, 1.0]]) @ np.array([[0.75, 0.25], [0.5, 0.5]])
    np.testing.assert_allclose(rollout([first, second]), expected, atol=1e-6)
    decoder = np.array([[[1.0, 0.0]]], np.float32)
    np.testing.assert_allclose(rollout([first, second], decoder), expected[:1], atol=1e-6)


@given(st.lists(attention(queries=5), min_size=1, max_size=3), attention())
def test_rollout_is_a_distribution(encoder: list[np.ndarray], decoder: np.ndarray) -> None:
    for found in (rollout(encoder), rollout(encoder, decoder)):
        assert (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-5)
    batched = rollout([np.stack([layer, layer]) for layer in encoder], np.stack([decoder, decoder]))
    np.testing.assert_allclose(batched[1], rollout(encoder, decoder), atol=1e-6)


def test_rollout_needs_an_encoder() -> None:
    with pytest.raises(InvalidInputError, match="record the encoder"):
        rollout([])
