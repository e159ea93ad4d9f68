"""What the explorer finds in a folder, and what it says of a broken one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoarm.explorer import views
from autoarm.explorer.records import FeatureRecords
from autoarm.interp.autoencoder.features import ACTIVATIONS, FEATURES, OBSERVATIONS, WEIGHTS
from gym_autoarm.errors import InvalidFileError, InvalidInputError


def test_examples_curves_and_places(folder: Path) -> None:
    records = FeatureRecords.load(folder)
    assert records.episodes == [0, 1, 2]
    assert records.order("memorisation") == [1, 0]
    assert [(each.episode, each.step) for each in records.examples(0, 2)] == [(0, 3), (1, 3)]
    assert [each.episode for each in records.examples(1, 9, per_episode=True)] == [2]
    best = records.examples(0, 1)[0]
    assert best.activation == 4
    assert best.views.shape == (48, 128, 3)
    # Feature 0 is at token 1, the left half of the top view; nothing else is tinted.
    tinted = np.abs(best.views.astype(int) - 90).max(axis=2) > 20
    assert tinted[:, :32].all()
    assert not tinted[:, 34:].any()
    assert records.whereabouts(0) == pytest.approx({"top view": 1, "lateral view": 0, "other tokens": 0})
    frames, seconds = records.clip(0, 5)
    assert [frame.shape for frame in frames] == [(48, 128, 3)] * 4
    np.testing.assert_allclose(seconds, 1 / 30)
    steps, values = records.curve(0, 1)
    np.testing.assert_array_equal([steps, values], [[0, 1, 2, 3], [1, 2, 3, 4]])
    places, means = records.places(0)
    np.testing.assert_allclose(places, [[0.2, 0.05], [0.22, 0.05]])
    np.testing.assert_allclose(means, 2.5)


def test_views_are_pictures_in_the_page(folder: Path) -> None:
    records = FeatureRecords.load(folder)
    assert views.gallery(records, 0, 3, per_episode=False).count("data:image/jpeg;base64,") == 3
    assert views.gallery(records, 0, 3, per_episode=False, moving=True).count("data:image/webp;base64,") == 3
    assert "active at no observation" in views.gallery(records, 2, 3, per_episode=False)
    assert "data:image/png;base64," in views.curve(records, 0, 1)
    assert "data:image/png;base64," in views.table(records, 0)
    assert "100.0 % of the observations" in views.facts(records, 0)
    for text in (views.curve(records, 0, 1), views.facts(records, 0)):
        assert 'src="/' not in text
        assert "http" not in text


@pytest.mark.parametrize("name", [WEIGHTS, ACTIVATIONS, FEATURES, OBSERVATIONS])
def test_broken_folders_are_refused(folder: Path, name: str) -> None:
    if name != WEIGHTS:  # of which any bytes have a hash
        (folder / name).write_bytes(b"nothing")
        with pytest.raises(InvalidFileError):
            FeatureRecords.load(folder)
    (folder / name).unlink()
    with pytest.raises(InvalidFileError, match=name):
        FeatureRecords.load(folder)


@pytest.mark.parametrize("feature", [-1, 3, 10**9])
def test_unknown_features_are_refused(folder: Path, feature: int) -> None:
    records = FeatureRecords.load(folder)
    for ask in (lambda: records.examples(feature), lambda: records.curve(feature, 0), lambda: records.places(feature)):
        with pytest.raises(InvalidInputError, match="feature"):
            ask()
    with pytest.raises(InvalidInputError, match="episode"):
        records.curve(0, 7)
