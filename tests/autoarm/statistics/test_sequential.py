"""Looking after every episode must not raise more false alarms than was promised."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoarm.statistics import sequential_comparison
from gym_autoarm.errors import InvalidInputError


def test_evidence_of_a_winning_streak_is_known() -> None:
    # Under an even prior n wins in a row have probability 1 / (n + 1), under a fair coin 2^-n.
    found = sequential_comparison([1] * 12, [0] * 12)
    assert found.evidence == pytest.approx([2**n / (n + 1) for n in range(1, 13)])
    assert (found.stopped, found.better) == (8, 1)  # 2^7 / 8 = 16 < 20 < 2^8 / 9
    assert found.p_value == pytest.approx(13 / 2**12)
    assert sequential_comparison([0] * 12, [1] * 12).better == 2


def test_evidence_of_a_mixed_record_is_known() -> None:
    # Wins w and losses l in any order: w! l! / (w + l + 1)! against 2^-(w + l).
    found = sequential_comparison([1, 0, 1, 1, 1], [0, 1, 0, 1, 0])
    assert found.evidence[-1] == pytest.approx(2**4 * math.factorial(3) * math.factorial(1) / math.factorial(5))
    assert found.evidence[3] == found.evidence[2]  # an episode that both do says nothing
    assert (found.stopped, found.better, found.p_value) == (None, None, 1.0)


def test_evidence_is_a_martingale() -> None:
    # From any record, the mean over the two ways in which the next coin can fall is what it was.
    first = [1, 0, 1, 1, 0, 0, 0]
    second = [0, 1, 0, 0, 1, 1, 1]
    for length in range(1, len(first)):
        now = sequential_comparison(first[:length], second[:length]).evidence[-1]
        win = sequential_comparison([*first[:length], 1], [*second[:length], 0]).evidence[-1]
        loss = sequential_comparison([*first[:length], 0], [*second[:length], 1]).evidence[-1]
        assert (win + loss) / 2 == pytest.approx(now)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_false_alarms_under_continuous_peeking(alpha: float) -> None:
    rng = np.random.default_rng(0)
    hard = rng.random((800, 500))
    first, second = rng.random(hard.shape) < hard, rng.random(hard.shape) < hard
    alarms = [sequential_comparison(*pair, alpha=alpha).stopped is not None for pair in zip(first, second, strict=True)]
    assert 0 < np.mean(alarms) <= alpha


def test_a_fixed_test_that_is_peeked_at_would_raise_more() -> None:
    # Why all this: McNemar's p-value after every episode, stopped at the first below 0.05.
    rng = np.random.default_rng(0)
    coins = np.cumsum(rng.choice([-1, 1], size=(800, 400)), axis=1)
    counts = np.arange(1, 401)
    fooled = np.abs(coins) > 1.96 * np.sqrt(counts)
    assert np.mean(fooled[:, 30:].any(axis=1)) > 0.2


def test_a_real_difference_is_found_early() -> None:
    rng = np.random.default_rng(1)
    stops = []
    for _ in range(100):
        found = sequential_comparison(rng.random(500) < 0.7, rng.random(500) < 0.4)
        assert found.better in (1, None)
        stops.append(found.stopped or 501)
    assert np.median(stops) < 120


outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=80)


@settings(max_examples=60)
@given(outcomes)
def test_what_was_said_stays_said(pairs: list[tuple[bool, bool]]) -> None:
    first, second = zip(*pairs, strict=True)
    whole = sequential_comparison(first, second, alpha=0.3)
    half = len(pairs) // 2 or 1
    part = sequential_comparison(first[:half], second[:half], alpha=0.3)
    assert part.evidence == pytest.approx(whole.evidence[:half])
    assert part.p_value >= whole.p_value
    if part.stopped is not None:
        assert (part.stopped, part.better) == (whole.stopped, whole.better)
    turned = sequential_comparison(second, first, alpha=0.3)
    assert turned.stopped == whole.stopped
    assert turned.better == (None if whole.better is None else 3 - whole.better)


def test_evidence_beyond_floats_stays_finite() -> None:
    found = sequential_comparison(np.ones(5000), np.zeros(5000))
    assert np.isfinite(found.evidence).all()
    assert found.stopped == 8


@pytest.mark.parametrize("arguments", [{"alpha": 0.0}, {"alpha": 1.0}])
def test_impossible_settings_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError):
        sequential_comparison([1, 0], [0, 1], **arguments)
