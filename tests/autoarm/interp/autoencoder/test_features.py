"""Features in numbers: known scores, examples, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoarm.interp.autoencoder.features import (
    FeatureActivations,
    effective_episodes,
    memorisation,
    rank_features,
    ranked,
    top_examples,
)
from gym_autoarm.errors import InvalidFileError, InvalidInputError

EPISODES = np.repeat([0, 1, 2, 3], 25)
SPOTS = np.repeat([0, 0, 1, 1], 25)


def made(each: np.ndarray, tokens: int = 3) -> FeatureActivations:
    """Features `(observation, feature)`, each at a token of its own and half as much at the next."""
    observation, feature = np.nonzero(each)
    amount = each[observation, feature].astype(np.float32)
    token = feature % (tokens - 1)
    return FeatureActivations(
        "encoder.out",
        (len(each), tokens, each.shape[1]),
        np.tile(observation, 2).astype(np.int32),
        np.concatenate([token, token + 1]).astype(np.int32),
        np.tile(feature, 2).astype(np.int32),
        np.concatenate([amount, amount / 2]),
        {"top": (1, 1, 2)},
    )


@pytest.fixture
def features() -> FeatureActivations:
    """Everywhere alike; one episode; one spot; never; one single frame."""
    each = np.zeros((100, 5))
    each[:, 0] = 2
    each[EPISODES == 2, 1] = 3
    each[SPOTS == 0, 2] = 1
    each[60, 4] = 9
    return made(each)


def test_scores_of_known_features(features: FeatureActivations) -> None:
    ranks = rank_features(features, EPISODES, SPOTS, rng=np.random.default_rng(0))
    everywhere, episode, spot, never, frame = ranks
    assert (everywhere.episodes, everywhere.memorisation) == (pytest.approx(4), pytest.approx(0, abs=1e-9))
    assert (episode.episodes, episode.memorisation) == (pytest.approx(1), pytest.approx(1))
    # Two of four episodes alike: 1 - (2 - 1) / (4 - 1). Within the spot it tells them apart no more.
    assert spot.memorisation == pytest.approx(2 / 3)
    assert spot.within_group == pytest.approx(0, abs=1e-9)
    assert episode.within_group == pytest.approx(1)
    assert np.isnan(never.memorisation)
    assert never.frequency == 0
    # A quarter of the frames dealt out at random is in every episode; a single one cannot be but in one.
    assert episode.chance < 0.2
    assert frame.chance == pytest.approx(1)
    assert (frame.maximum, frame.frequency, frame.range) == (9, 0.01, 0)
    assert everywhere.variance == pytest.approx(0)


def test_long_episodes_count_as_much_as_short_ones() -> None:
    episodes = np.repeat([0, 1], [10, 90])
    assert effective_episodes(np.ones((100, 1)), episodes) == pytest.approx(2)
    assert memorisation(np.ones((100, 1)), episodes) == pytest.approx(0, abs=1e-9)


def test_order(features: FeatureActivations) -> None:
    ranks = rank_features(features, EPISODES, rng=np.random.default_rng(0))
    assert [rank.feature for rank in ranked(ranks, "episodes")][:2] == [0, 2]
    assert 3 not in [rank.feature for rank in ranked(ranks, "frequency")]
    assert all(np.isnan(rank.within_group) for rank in ranks)
    with pytest.raises(InvalidInputError, match="choose from"):
        ranked(ranks, "beauty")  # type: ignore[arg-type]


def test_examples(features: FeatureActivations) -> None:
    assert list(top_examples(features, 4, 5)) == [60]
    assert list(top_examples(features, 1, 3)) == [50, 51, 52]
    assert list(top_examples(features, 0, 9, EPISODES)) == [0, 25, 50, 75]
    assert list(top_examples(features, 3, 9)) == []
    with pytest.raises(InvalidInputError, match="no feature 5"):
        top_examples(features, 5, 1)


def test_maps(features: FeatureActivations) -> None:
    np.testing.assert_array_equal(features.tokens(1, 50), [0, 3, 1.5])
    np.testing.assert_array_equal(features.maps(1, 50)["top"], [[3, 1.5]])
    assert features.per_observation()[50, 1] == 3


def test_they_survive_their_file(features: FeatureActivations, tmp_path: Path) -> None:
    path = tmp_path / "activations.parquet"
    features.save(path)
    again = FeatureActivations.load(path)
    assert (again.site, again.shape, again.grids) == (features.site, features.shape, features.grids)
    np.testing.assert_array_equal(again.per_observation(), features.per_observation())
    beyond = FeatureActivations(**{**vars(features), "shape": (10, 3, 5)})
    beyond.save(path)
    with pytest.raises(InvalidFileError, match="beyond"):
        FeatureActivations.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InvalidFileError, match=r"activations\.parquet"):
        FeatureActivations.load(path)


def test_one_episode_is_not_enough(features: FeatureActivations) -> None:
    with pytest.raises(InvalidInputError, match="more episodes"):
        rank_features(features, np.zeros(100, int), rng=np.random.default_rng(0))
    with pytest.raises(InvalidInputError, match="give one each"):
        rank_features(features, EPISODES[:9], rng=np.random.default_rng(0))
