"""Changes to samples before they are learnt from."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoarm.training.augment import augment_images, augment_maps, augment_state, shift_images
from autoarm.training.config import Augmentation


def test_images_move_by_whole_pixels() -> None:
    images = torch.rand(2, 3, 8, 10)
    moved = shift_images(images, torch.tensor([[2, -1], [0, 3]]))
    assert torch.equal(moved[0, :, 2:, :-1], images[0, :, :-2, 1:])
    assert torch.equal(moved[1, :, :, 3:], images[1, :, :, :-3])
    assert torch.equal(moved[1, :, :, :3], images[1, :, :, :1].expand(-1, -1, 3))
    assert torch.equal(shift_images(images, torch.zeros(2, 2, dtype=torch.long)), images)


@given(st.floats(0.01, 0.9), st.floats(0.0, 0.3), st.integers(0, 3))
@settings(max_examples=20)
def test_changed_images_are_images(colour: float, noise: float, shift: int) -> None:
    images = torch.rand(3, 3, 8, 8)
    changed = augment_images(images, Augmentation(shift, colour, noise))
    assert changed.shape == images.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert not torch.equal(changed, images)


def test_hidden_states_are_the_mean() -> None:
    torch.manual_seed(0)
    state = torch.randn(4000, 6)
    hidden = (augment_state(state, Augmentation(state_dropout=0.25)) == 0).all(dim=1)
    assert float(hidden.float().mean()) == pytest.approx(0.25, abs=0.03)
    noisy = augment_state(state, Augmentation(state_noise=0.1)) - state
    assert float(noisy.std()) == pytest.approx(0.1, rel=0.05)
    assert torch.equal(augment_state(state, Augmentation()), state)
    assert torch.equal(augment_images(torch.ones(1, 3, 2, 2), Augmentation()), torch.ones(1, 3, 2, 2))


def test_noise_on_feature_maps_is_in_their_own_units() -> None:
    torch.manual_seed(0)
    maps = [5 * torch.randn(8, 32, 3, 4), torch.randn(8, 32, 3, 4)]
    noisy = augment_maps(maps, Augmentation(feature_noise=0.2))
    for own, changed in zip(maps, noisy, strict=True):
        assert float((changed - own).std() / own.std()) == pytest.approx(0.2, rel=0.05)
    assert augment_maps(maps, Augmentation()) is maps
