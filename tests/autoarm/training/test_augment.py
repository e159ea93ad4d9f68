"""Changes to samples before they are learnt from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoarm.training.augment import augment_images, augment_maps, augment_state, shift_images, warp_images
from autoarm.training.background import find_background
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


def test_noise_on_images_has_the_deviation_that_was_asked_for_in_every_image() -> None:
    torch.manual_seed(0)
    images = torch.full((6, 3, 40, 40), 0.5)
    noise = augment_images(images, Augmentation(image_noise=0.05)) - images
    for own in noise:
        assert float(own.std()) == pytest.approx(0.05, rel=0.05)


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


# -- What stands still -----------------------------------------------------------------------------------------------


def _table(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Frames of a green table with a blue box, over which a white square moves, and where the square is."""
    frames = np.full((count, 24, 32, 3), (40, 160, 60), np.uint8)
    frames[:, 2:8, 24:30] = (20, 40, 200)
    moving = np.zeros((count, 24, 32), bool)
    for number in range(count):
        moving[number, 10:14, number % 20 : number % 20 + 4] = True
    frames[moving] = 255
    return frames, moving


def test_background_and_what_moves_are_told_apart() -> None:
    frames, moving = _table()
    background = find_background(frames)
    assert torch.equal(background.picture[:, 12, 12] * 255, torch.tensor([40.0, 160.0, 60.0]))
    images = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    np.testing.assert_array_equal(background.moving(images)[:, 0].numpy() == 1, moving)
    box = background.segments[:, 4, 27].argmax()
    assert torch.equal(background.segments[box].nonzero().amin(dim=0), torch.tensor([2, 24]))
    assert background.segments.sum(dim=0).unique().tolist() == [1]


def test_repainting_keeps_what_moves() -> None:
    torch.manual_seed(0)
    frames, moving = _table()
    images = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    repainted = augment_images(images, Augmentation(repaint=1.0), find_background(frames))
    same = (repainted == images).all(dim=1).numpy()
    assert same[moving].all()
    assert same[~moving].mean() < 0.1
    some = augment_images(images, Augmentation(repaint=0.5), find_background(frames))
    changed = (some != images).flatten(1).any(dim=1).float().mean()
    assert float(changed) == pytest.approx(0.5, abs=0.25)


def test_a_camera_that_moves_moves_everything() -> None:
    torch.manual_seed(1)
    # A picture whose red is how far right, and whose green is how far down a pixel is.
    x, y = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 48), indexing="xy")
    images = torch.stack([x, y, torch.zeros_like(x)])[None].expand(50, -1, -1, -1)
    assert torch.allclose(warp_images(images, 0.0), images, atol=1e-5)
    middle = (warp_images(images, 0.1) - images)[:, :2, 24, 32]
    assert 0.02 < float(middle.std()) < 0.1
    assert float(middle.abs().max()) < 0.1


@pytest.mark.parametrize("name", ["recolour", "light", "warp", "blur", "repaint"])
def test_every_change_is_off_by_itself_and_on_when_asked(name: str) -> None:
    torch.manual_seed(0)
    frames, _ = _table(8)
    images = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255 * 0.8
    background = find_background((frames * 0.8).astype(np.uint8))
    changed = augment_images(images, Augmentation(**{name: 0.9}), background)
    assert changed.shape == images.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert not torch.equal(changed, images)
