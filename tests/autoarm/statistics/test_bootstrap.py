"""The bootstrap against all resamples there are, written out one by one."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from autoarm.statistics import cluster_bootstrap, stratified_bootstrap
from autoarm.statistics.bootstrap import resampled_means
from gym_autoarm.errors import InvalidInputError

RESAMPLES = 40_000


def mean(values: np.ndarray) -> float:
    return float(values.mean())


def test_resampled_means_are_distributed_like_all_resamples() -> None:
    values = np.array([0.0, 1.0, 1.0, 3.0])
    exact = Counter(round(float(np.mean(each)), 9) for each in product(values, repeat=4))
    found = Counter(np.round(resampled_means(values, np.random.default_rng(0), RESAMPLES), 9).tolist())
    assert found.keys() == exact.keys()
    for value, count in exact.items():
        share = count / 4**4
        assert found[value] / RESAMPLES == pytest.approx(share, abs=5 * np.sqrt(share / RESAMPLES))


def test_strata_are_resampled_apart_and_count_alike() -> None:
    strata = [[0.0, 1.0, 3.0], [2.0, 7.0]]
    exact = [
        (np.mean(one) + np.mean(other)) / 2
        for one in product(strata[0], repeat=3)
        for other in product(strata[1], repeat=2)
    ]
    found = stratified_bootstrap(strata, np.random.default_rng(0), RESAMPLES, confidence=0.8)
    assert found.estimate == pytest.approx((4 / 3 + 4.5) / 2)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(exact, [0.1, 0.9])), abs=0.2)


def test_a_large_stratum_counts_no_more_than_a_small_one() -> None:
    assert stratified_bootstrap([[1.0] * 300, [0.0] * 2], np.random.default_rng(0), 10) == (0.5, 0.5, 0.5)


def test_clusters_are_resampled_whole() -> None:
    members = [np.array([1.0, 2.0, 3.0]), np.array([10.0, 11.0]), np.array([20.0])]
    exact = [mean(np.concatenate(each)) for each in product(members, repeat=3)]
    labels = ["a"] * 3 + ["b"] * 2 + ["c"]
    found = cluster_bootstrap(np.concatenate(members), labels, mean, np.random.default_rng(0), 4000, confidence=0.8)
    assert found.estimate == pytest.approx(47 / 6)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(exact, [0.1, 0.9])), abs=1.0)
    # Where they stand among each other does not matter.
    order = [5, 0, 3, 1, 4, 2]
    turned = cluster_bootstrap(
        np.concatenate(members)[order], np.array(labels)[order], mean, np.random.default_rng(0), 4000, confidence=0.8
    )
    assert (turned.low, turned.high) == pytest.approx((found.low, found.high))


def test_episodes_of_one_training_are_not_as_good_as_as_many_trainings() -> None:
    rng = np.random.default_rng(1)
    seeds = np.repeat(np.arange(12), 50)
    values = (rng.random(600) < np.repeat(rng.uniform(0.2, 0.9, 12), 50)).astype(float)
    clustered = cluster_bootstrap(values, seeds, mean, np.random.default_rng(2), 2000)
    alone = stratified_bootstrap([values], np.random.default_rng(2), 2000)
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)
    # The textbook's standard error of a mean of cluster means.
    means = values.reshape(12, 50).mean(axis=1)
    assert clustered.high - clustered.low == pytest.approx(2 * 1.96 * means.std() / np.sqrt(12), rel=0.1)


def test_any_statistic_can_be_resampled() -> None:
    found = cluster_bootstrap(
        np.arange(40.0), np.arange(40) // 2, lambda values: float(np.median(values)), np.random.default_rng(0), 500
    )
    assert found.low < found.estimate == 19.5 < found.high


@pytest.mark.parametrize(("values", "clusters"), [([1, 2], [0, 0]), ([1, 2], [0]), ([], []), ([1, np.nan], [0, 1])])
def test_what_is_not_clustered_is_refused(values: list[float], clusters: list[int]) -> None:
    with pytest.raises(InvalidInputError):
        cluster_bootstrap(values, clusters, mean, np.random.default_rng(0), 10)


@pytest.mark.parametrize("strata", [[], [[1.0], []], [[[1.0]]]])
def test_what_has_no_strata_is_refused(strata: list[list[float]]) -> None:
    with pytest.raises(InvalidInputError, match="strata"):
        stratified_bootstrap(strata, np.random.default_rng(0), 10)
    with pytest.raises(InvalidInputError, match="resamples"):
        stratified_bootstrap([[1.0]], np.random.default_rng(0), 0)
