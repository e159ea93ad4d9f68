"""Sparse autoencoders: planted directions are found, files survive, the policy acts on reconstructions."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from autoarm.interp.autoencoder.activations import TokenActivations, from_tokens, site_activations, to_tokens
from autoarm.interp.autoencoder.metrics import action_loss, quality, recorded_chunks
from autoarm.interp.autoencoder.model import SparseAutoencoder
from autoarm.interp.autoencoder.splice import scale_feature, splice
from autoarm.interp.autoencoder.train import Kind, TrainOptions, train_autoencoder
from autoarm.interp.methods.ablation import knock_out
from autoarm.interp.model.capture import capture
from gym_autoarm.errors import InvalidFileError, InvalidInputError

if TYPE_CHECKING:
    from lerobot.policies.act.modeling_act import ACTPolicy

CHANNELS, PLANTED, PRESENT = 16, 24, 3
Observe = Callable[..., dict[str, Any]]
needs_saelens = pytest.mark.skipif(find_spec("sae_lens") is None, reason='SAELens comes with the extra "sae"')


def perfect(site: str, channels: int) -> SparseAutoencoder:
    """One that loses nothing: each channel and its negative are a feature."""
    both = torch.cat([torch.eye(channels), -torch.eye(channels)])
    zeros = torch.zeros(channels)
    return SparseAutoencoder(
        site, "jumprelu", 0, zeros, torch.tensor(1.0), both.T, torch.zeros(2 * channels), both, zeros,
        torch.zeros(2 * channels),
    )  # fmt: skip


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, TokenActivations]:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(PLANTED, CHANNELS))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    amounts = np.zeros((4000, PLANTED))
    for row in amounts:
        row[rng.choice(PLANTED, PRESENT, replace=False)] = rng.uniform(1, 2, PRESENT)
    values = (amounts @ directions + 5).astype(np.float32)
    return directions, TokenActivations("encoder.out", values.reshape(500, 8, CHANNELS))


@needs_saelens
@pytest.mark.parametrize("kind", ["topk", "batchtopk", "jumprelu"])
def test_planted_directions_are_found(kind: Kind, planted: tuple[np.ndarray, TokenActivations]) -> None:
    directions, activations = planted
    seen: list[tuple[int, int]] = []
    options = TrainOptions(kind, features=48, k=PRESENT + 1, samples=60_000, batch=128, learning_rate=3e-3)
    trained = train_autoencoder(activations, options, lambda done, total: seen.append((done, total)))
    measured = quality(trained, activations)
    assert measured.explained_variance > 0.85
    assert PRESENT - 0.5 < measured.l0 <= 1.15 * options.k
    likeness = np.abs(trained.decoder.numpy() @ directions.T).max(axis=0)
    assert (likeness > 0.9).mean() > 0.5
    assert seen[-1][1] == 60_000 // 128 * 128
    assert all(earlier[0] < later[0] for earlier, later in pairwise(seen))


@needs_saelens
def test_a_frozen_decoder_stays_and_does_worse(planted: tuple[np.ndarray, TokenActivations]) -> None:
    _, activations = planted
    options = {"features": 48, "k": 4, "samples": 15_000, "batch": 128, "learning_rate": 3e-3}
    free, frozen, again = (
        train_autoencoder(activations, TrainOptions(**options, frozen_decoder=held)) for held in (False, True, True)
    )
    barely = train_autoencoder(activations, TrainOptions(**{**options, "samples": 128}, frozen_decoder=True))
    torch.testing.assert_close(frozen.decoder, barely.decoder)
    torch.testing.assert_close(frozen.encoder, again.encoder, rtol=0, atol=0)  # equal seeds, equal weights
    assert quality(free, activations).explained_variance > quality(frozen, activations).explained_variance + 0.2


@needs_saelens
def test_it_survives_its_file(planted: tuple[np.ndarray, TokenActivations], tmp_path: Path) -> None:
    _, activations = planted
    trained = train_autoencoder(activations, TrainOptions(features=20, k=3, samples=2560, batch=256))
    path = tmp_path / "autoencoder.safetensors"
    trained.save(path)
    again = SparseAutoencoder.load(path)
    assert (again.site, again.kind, again.k) == ("encoder.out", "topk", 3)
    rows = torch.from_numpy(activations.rows[:50])
    torch.testing.assert_close(again.reconstruct(rows), trained.reconstruct(rows), rtol=0, atol=0)
    assert int((again.encode(rows) > 0).sum(dim=1).max()) <= 3
    path.write_bytes(b"nothing")
    with pytest.raises(InvalidFileError, match=r"autoencoder\.safetensors"):
        SparseAutoencoder.load(path)


@pytest.mark.parametrize("site", ["encoder.out", "decoder.mlp", "backbone.lateral", "decoder.mlp.keys"])
def test_a_perfect_reconstruction_changes_nothing(site: str, two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras, size=3)
    channels = site_activations(two_cameras, [batch], site).values.shape[-1]
    exact = perfect(site, channels)
    moved = knock_out(two_cameras, batch, {site: splice(two_cameras, exact)})[site]
    assert moved.max() < 1e-5
    assert knock_out(two_cameras, batch, {site: scale_feature(two_cameras, exact, 0, add=3.0)})[site].min() > 1e-5
    done = capture(two_cameras, [batch, batch], ["action"])["action"].values
    loss = action_loss(two_cameras, exact, [batch, batch], done)
    assert loss.recovered == pytest.approx(1, abs=1e-3)
    assert loss.moved == pytest.approx(0, abs=1e-4)


def test_a_reconstruction_without_features_recovers_nothing(two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras, size=4)
    site = "encoder.out"
    rows = site_activations(two_cameras, [batch], site).rows
    empty = perfect(site, rows.shape[1])
    empty = SparseAutoencoder(
        **{**vars(empty), "mean": torch.from_numpy(rows.mean(axis=0)), "threshold": torch.full_like(empty.bias, 1e9)}
    )
    targets = capture(two_cameras, [batch], ["action"])["action"].values  # what it would do is what was done
    loss = action_loss(two_cameras, empty, [batch], targets)
    assert loss.clean == pytest.approx(0, abs=1e-6)
    assert loss.recovered == pytest.approx(0, abs=1e-3)
    assert loss.moved == pytest.approx(1, abs=1e-3)
    measured = quality(empty, site_activations(two_cameras, [batch], site))
    assert measured.explained_variance == pytest.approx(0, abs=1e-4)
    assert (measured.l0, measured.dead) == (0, 1)


def test_steering_takes_out_just_one_feature(two_cameras: ACTPolicy, observe: Observe) -> None:
    batch = observe(two_cameras)
    exact = perfect("encoder.out", 32)
    before = capture(two_cameras, [batch], ["encoder.out"])["encoder.out"].values
    after = scale_feature(two_cameras, exact, 7).change(torch.from_numpy(before)).numpy()
    expected = before.copy()
    expected[..., 7] = np.minimum(before[..., 7], 0)
    np.testing.assert_allclose(after, expected, atol=1e-6)


def test_feature_maps_go_there_and_back() -> None:
    values = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    axes = ("batch", "channel", "row", "column")
    tokens = to_tokens(values, axes)
    assert tokens.shape == (2, 20, 3)
    torch.testing.assert_close(tokens[1, 7], values[1, :, 1, 2])
    torch.testing.assert_close(from_tokens(tokens, axes, values), values)


def test_chunks_end_with_their_episode() -> None:
    actions = np.arange(10, dtype=np.float32)[:, None] * np.ones(6, np.float32)
    episodes = np.array([0] * 4 + [1] * 6)
    chunks, valid = recorded_chunks(actions, episodes, np.array([2, 4, 9]), 3)
    np.testing.assert_array_equal(chunks[..., 0], [[2, 3, 3], [4, 5, 6], [9, 9, 9]])
    np.testing.assert_array_equal(valid, [[True, True, False], [True, True, True], [True, False, False]])


@pytest.mark.parametrize("site", ["decoder.cross_attention.weights", "encoder.0.attention.heads", "nowhere"])
def test_sites_without_vectors_are_refused(site: str, two_cameras: ACTPolicy, observe: Observe) -> None:
    with pytest.raises(InvalidInputError, match="site"):
        site_activations(two_cameras, [observe(two_cameras)], site)


@pytest.mark.parametrize("bad", [{"k": 0}, {"kind": "other"}, {"samples": 1}, {"learning_rate": 0.0}])
def test_options_that_make_no_sense(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(bad))):
        TrainOptions(**bad)


@needs_saelens
def test_too_little_data_is_said(planted: tuple[np.ndarray, TokenActivations]) -> None:
    with pytest.raises(InvalidInputError, match="take more frames"):
        train_autoencoder(planted[1].at(slice(0, 2)), TrainOptions(samples=5120, batch=512))
    with pytest.raises(InvalidInputError, match="the same everywhere"):
        train_autoencoder(TokenActivations("decoder.in", np.zeros((9, 9, 4), np.float32)))
