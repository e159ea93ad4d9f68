"""Probes find what was planted, only that, and only where the split lets nothing through."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from lerobot.policies.act.modeling_act import ACTPolicy
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autoarm.interp.methods.probes import (
    PIXELS,
    STATE,
    collect_features,
    control_rows,
    group_folds,
    predict_classes,
    predict_numbers,
    probe_channels,
    probe_sites,
    project,
    r_squared,
    random_weights,
    ridge_path,
    score_above,
)
from autoarm.interp.model.capture import capture
from autoarm.interp.observations.probe_data import FrameLabels
from gym_autoarm.errors import InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]

EPISODES, STEPS = 20, 12


@pytest.fixture(scope="module")
def labels() -> FrameLabels:
    """Made up: 20 episodes of 12 frames at 20 places of the table."""
    rng = np.random.default_rng(0)
    episode = np.repeat(np.arange(EPISODES), STEPS)
    step = np.tile(np.arange(STEPS), EPISODES)
    start = rng.uniform(size=(EPISODES, 2))[episode].astype(np.float32)
    return FrameLabels(
        index=np.arange(len(episode)),
        episode=episode,
        step=step,
        spot=episode,
        state=rng.normal(size=(len(episode), 6)).astype(np.float32),
        action=rng.normal(size=(len(episode), 6)).astype(np.float32),
        cube=start,
        start=start,
        yaw=rng.normal(size=(len(episode), 1)).astype(np.float32),
        grasped=(step > 6).astype(np.int64),
        stage=np.minimum(step // 4, 2),
    )


def test_a_planted_feature_is_found_and_its_control_is_not(labels: FrameLabels) -> None:
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(9, 50))
    known = np.concatenate([labels.cube, labels.state, 3 * labels.grasped[:, None]], axis=1)
    features = {
        "planted": (known @ directions + 0.003 * rng.normal(size=(len(labels), 50))).astype(np.float32),
        "noise": rng.normal(size=(len(labels), 50)).astype(np.float32),
    }
    scores = {(s.site, s.target): s for s in probe_sites(features, labels, ["cube", "joints", "grasped", "yaw"])}
    for target in ("cube", "joints"):
        assert scores["planted", target].score > 0.99
        assert scores["planted", target].control < 0.1
        assert scores["planted", target].selectivity > 0.9
        assert scores["noise", target].score < 0.1
    assert scores["planted", "yaw"].score < 0.1
    assert scores["planted", "grasped"].score > 0.9
    assert scores["planted", "grasped"].control < 0.8
    assert abs(scores["noise", "grasped"].score - 0.5) < 0.15


def test_an_episodes_fingerprint_is_no_knowledge_of_its_cube(labels: FrameLabels) -> None:
    """What a leaky split takes for the cube's position, and a control task for a label of its own."""
    rng = np.random.default_rng(2)
    fingerprint = rng.normal(size=(EPISODES, 40))[labels.episode] + 0.01 * rng.normal(size=(len(labels), 40))
    features = {"fingerprint": fingerprint.astype(np.float32)}
    (held_out,) = probe_sites(features, labels, ["start"])
    (leaky,) = probe_sites(features, labels, ["start"], "frame")
    assert held_out.score < 0.2
    assert leaky.score > 0.95
    assert leaky.control > 0.95
    assert leaky.selectivity < 0.05


def test_ridge_is_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    for columns in (5, 60):
        train, test, targets = rng.normal(size=(30, columns)), rng.normal(size=(7, columns)), rng.normal(size=(30, 2))
        train *= rng.uniform(1, 10, columns)
        for found, alpha in zip(ridge_path(train, targets, test, [0.1, 30.0]), [0.1, 30.0], strict=True):
            expected = make_pipeline(StandardScaler(), Ridge(alpha)).fit(train, targets).predict(test)
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pixels_that_hardly_ever_change_do_not_outweigh_the_rest() -> None:
    """A bright spot on a small screen whose pixels flicker faintly now and then."""
    rng = np.random.default_rng(4)
    place = rng.uniform(-1, 1, (60, 2))
    grid = np.linspace(-1.3, 1.3, 20)
    bright = np.clip(1 - np.abs(grid - place[:, :, None]) / 0.3, 0, None)
    frames = (bright[:, 0, :, None] * bright[:, 1, None, :]).reshape(60, -1)
    frames += 0.001 * (rng.random(frames.shape) < 0.05)
    groups = np.arange(60) // 6
    folds = group_folds(groups)
    assert r_squared(place, predict_numbers(frames, place, folds, groups)).min() > 0.7
    left = place[:, 0] < 0
    assert np.mean(predict_classes(frames, left, folds) == left) > 0.88


def test_scores_are_compared_above_nothing() -> None:
    assert score_above(0.9, 0.25) == pytest.approx(0.65)
    assert score_above(0.9, -120.0) == 0.9
    assert score_above(-3.0, -120.0) == 0.0
    assert score_above(-3.0, 0.25) == -0.25


def test_constant_features_and_targets_do_no_harm() -> None:
    features, groups = np.ones((12, 3)), np.repeat(np.arange(4), 3)
    predicted = predict_numbers(features, np.full((12, 1), 7.0), group_folds(groups), groups)
    np.testing.assert_allclose(predicted, 7.0)
    assert np.isnan(r_squared(np.full((12, 1), 7.0), predicted)).all()


def test_no_group_is_on_both_sides() -> None:
    groups = np.random.default_rng(0).integers(0, 8, 200)
    tested = np.zeros(200, int)
    for train, test in group_folds(groups):
        assert not set(groups[train]) & set(groups[test])
        tested[test] += 1
    assert (tested == 1).all()
    for broken in (lambda: group_folds(np.zeros(9)), lambda: group_folds(groups, 9)):
        with pytest.raises(InvalidInputError, match="cannot be split"):
            broken()


def test_control_labels_come_from_one_other_episode_in_its_order() -> None:
    episode = np.repeat(np.arange(6), [4, 9, 5, 30, 7, 1])
    rows = control_rows(episode, np.random.default_rng(0))
    sources = []
    for name in range(6):
        source = set(episode[rows[episode == name]])
        assert len(source) == 1
        assert source != {name}
        sources += source
        steps = rows[episode == name]
        assert (np.diff(steps) < 0).sum() <= 1  # once around
    assert sorted(sources) == list(range(6))
    with pytest.raises(InvalidInputError, match="no other"):
        control_rows(np.zeros(5), np.random.default_rng(0))


def test_channels_are_probed_leaky_and_not() -> None:
    rng = np.random.default_rng(4)
    episode = np.repeat(np.arange(12), 10)
    left = np.arange(12) % 2
    maps = rng.normal(size=(120, 3, 4, 5))
    maps[:, 1, 2, 3] += 8.0 * left[episode]  # sees the side
    maps[:, 2] += 5.0 * rng.normal(size=(12, 4, 5))[episode]  # knows the episode
    scores = probe_channels(maps, left[episode], episode)
    assert scores.leaky[1] > 0.95
    assert scores.grouped[1] > 0.95
    assert scores.leaky[2] > 0.95
    assert scores.grouped[2] < 0.8
    assert abs(scores.grouped[0] - 0.5) < 0.2
    with pytest.raises(InvalidInputError, match="one class only"):
        predict_classes(maps[:, 0].reshape(120, -1), np.zeros(120), group_folds(episode))


def test_features_are_the_sites_values_and_the_inputs(two_cameras: ACTPolicy, observe: Observe) -> None:
    batches = [observe(two_cameras, 0, 3), observe(two_cameras, 1, 2)]
    found = collect_features(two_cameras, batches, ["backbone.top", "encoder.0.out", "action"])
    assert list(found) == [PIXELS, STATE, "backbone.top", "encoder.0.out", "action"]
    values = capture(two_cameras, batches, ["encoder.0.out", "backbone.top"])
    np.testing.assert_array_equal(found["encoder.0.out"], values["encoder.0.out"].values.reshape(5, -1))
    np.testing.assert_array_equal(found[STATE], torch.cat([batch["observation.state"] for batch in batches]))
    assert found[PIXELS].shape == (5, 2 * 3 * 24 * 32)
    assert found["backbone.top"].shape == (5, 1024)  # 512 maps of 2x3, projected
    pooled = collect_features(two_cameras, batches, ["encoder.0.out", "backbone.top"], "mean")
    np.testing.assert_allclose(pooled["encoder.0.out"], values["encoder.0.out"].values.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(pooled["backbone.top"], values["backbone.top"].values.mean(axis=(2, 3)), atol=1e-5)


def test_a_projection_keeps_distances_and_does_not_know_other_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(10, 5000)).astype(np.float32)
    small = project(rows, 1024)
    np.testing.assert_array_equal(small[3:5], project(rows[3:5], 1024))
    whole = np.linalg.norm(rows[:, None] - rows, axis=-1)[np.triu_indices(10, 1)]
    kept = np.linalg.norm(small[:, None] - small, axis=-1)[np.triu_indices(10, 1)]
    np.testing.assert_allclose(kept, whole, rtol=0.15)


def test_the_state_is_found_in_a_real_policy(two_cameras: ACTPolicy, observe: Observe) -> None:
    """Its token is an affine function of it, so that the encoder's input holds it exactly; frames do not."""
    one = observe(two_cameras, 0, 1)
    batch = {key: value.expand(60, *value.shape[1:]) for key, value in one.items()}
    batch["observation.state"] = torch.randn(60, 6, generator=torch.Generator().manual_seed(1))
    features = collect_features(two_cameras, [batch], ["tokens.in", "backbone.top"])
    groups = np.arange(60) // 4
    truth = batch["observation.state"].numpy()
    scores = {
        site: float(r_squared(truth, predict_numbers(values, truth, group_folds(groups), groups)).mean())
        for site, values in features.items()
    }
    assert scores["tokens.in"] > 0.99
    assert scores[STATE] > 0.99
    assert scores["backbone.top"] < 0.1


def test_random_weights_are_another_policy_of_the_same_shape(two_cameras: ACTPolicy, observe: Observe) -> None:
    before = torch.get_rng_state()
    one, same, other = (random_weights(two_cameras, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [policy.model.action_head.weight for policy in (one, same, other, two_cameras)]
    assert weights[0].shape == weights[3].shape
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])
    assert one.predict_action_chunk(observe(two_cameras)).shape == (2, 5, 6)


def test_rows_that_do_not_fit_are_refused(labels: FrameLabels) -> None:
    with pytest.raises(InvalidInputError, match="3 rows for 240 frames"):
        probe_sites({"site": np.zeros((3, 2), np.float32)}, labels, ["cube"])
    with pytest.raises(InvalidInputError, match="targets"):
        predict_numbers(np.zeros((3, 2)), np.zeros(3), [], np.zeros(3))
