"""Changes to samples before they are learnt from. Random numbers come from torch's generator."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from autoarm.training.background import Background
from autoarm.training.config import Augmentation

_TEXTURE_SIZES: Final = (2, 6, 16, 48)
"""Sides of the grids of random numbers that textures are the sum of, from coarse to fine."""
_FIELD: Final = 3
"""Side of the grid of random numbers that a field of light is made of."""


def augment_images(images: Tensor, options: Augmentation, background: Background | None = None) -> Tensor:
    """Change every image at random.

    Args:
        images: `(b, 3, h, w)` in 0..1.
        options: What is done to them.
        background: What stands still in them; needed for `options.repaint`.
    """
    if not options.changes_images:
        return images
    if options.repaint and background is not None:
        images = repaint_background(images, background, options.repaint)
    if options.recolour:
        images = mix_colours(images, options.recolour)
    if options.light:
        images = images * light_fields(images, options.light)
    if options.colour:
        images = change_colours(images, options.colour)
    if options.warp:
        images = warp_images(images, options.warp)
    if options.shift:
        shifts = torch.randint(-options.shift, options.shift + 1, (len(images), 2), device=images.device)
        images = shift_images(images, shifts)
    if options.blur:
        images = blur_images(images, options.blur)
    if options.image_noise:
        images = images + options.image_noise * torch.randn_like(images)
    return images.clamp(0, 1)


def change_colours(images: Tensor, most: float) -> Tensor:
    """Brightness, contrast and each colour channel of every image, changed by up to this share."""
    count, low, high = len(images), 1 - most, 1 + most
    gain = _uniform(images, low, high, count, 1, 1, 1) * _uniform(images, low, high, count, 3, 1, 1)
    contrast = _uniform(images, low, high, count, 1, 1, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * contrast + mean) * gain


def repaint_background(images: Tensor, background: Background, share: float) -> Tensor:
    """Give what stands still other colours and a texture, segment by segment, in this share of the images.

    What moves (arm, cube) stays; shadows and edges, which are mixtures, are mixed likewise.
    """
    count = len(images)
    background = background.to(images.device)
    segments = background.segments
    colours = _rand(images, count, len(segments), 3)
    # From the same surface in a slightly other colour to anything.
    strength = _rand(images, count, len(segments), 1)
    means = torch.einsum("shw,chw->sc", segments, background.picture) / segments.sum(dim=(1, 2))[:, None]
    offsets = torch.einsum("bsc,shw->bchw", strength * (colours - means), segments)
    strengths = torch.einsum("bsc,shw->bchw", strength, segments)
    grain = textures(images) * _rand(images, count, 1, 1, 1) * 0.5 * strengths
    still = 1 - background.moving(images)
    chosen = (_rand(images, count, 1, 1, 1) < share).float()
    return images + chosen * still * (offsets + grain)


def textures(images: Tensor) -> Tensor:
    """Random patterns, one for each image and as large, of mean 0, a few standard deviations of which reach 1."""
    count, _, height, width = images.shape
    total = torch.zeros_like(images)
    for side in _TEXTURE_SIZES:
        grid = _randn(images, count, 3, side, side) * _rand(images, count, 1, 1, 1)
        total += functional.interpolate(grid, (height, width), mode="bilinear", align_corners=False)
    return total / math.sqrt(len(_TEXTURE_SIZES))


def mix_colours(images: Tensor, most: float) -> Tensor:
    """Every colour channel a mixture of all three, by a random matrix this far from the identity."""
    count = len(images)
    matrices = torch.eye(3, device=images.device) + most * _rand(images, count, 1, 1) * _randn(images, count, 3, 3)
    return torch.einsum("bij,bjhw->bihw", matrices, images)


def light_fields(images: Tensor, most: float) -> Tensor:
    """Factors `(b, 1, h, w)` that vary smoothly over the image, as light from another side does."""
    grid = _randn(images, len(images), 1, _FIELD, _FIELD) * most
    return functional.interpolate(grid, images.shape[-2:], mode="bicubic", align_corners=True).exp()


def warp_images(images: Tensor, most: float) -> Tensor:
    """Images seen by a camera that was moved and turned: the corners go up to this share of the width elsewhere.

    All corners move together (the camera turned), each by itself (moved), and about the middle (rolled, nearer).
    """
    count, _, height, width = images.shape
    roll, scale = (_uniform(images, -most, most, count) for _ in range(2))
    together = _uniform(images, -most, most, count, 2)
    own = _uniform(images, -most, most, count, 2, 2) / 2
    aspect = width / height
    columns, rows = (torch.linspace(-1, 1, side, device=images.device) for side in (width, height))
    x, y = torch.meshgrid(columns, rows, indexing="xy")
    u, v = x[None] * aspect, y[None]
    cos, sin = (torch.cos(roll) * (1 + scale))[:, None, None], (torch.sin(roll) * (1 + scale))[:, None, None]
    # A perspective view: the divisor grows along a random direction.
    tilt = 1 + own[:, 0, 0, None, None] * u + own[:, 0, 1, None, None] * v
    seen_u = (cos * u - sin * v) / tilt + together[:, 0, None, None] * aspect
    seen_v = (sin * u + cos * v) / tilt + together[:, 1, None, None]
    grid = torch.stack([seen_u / aspect, seen_v], dim=-1)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


def shift_images(images: Tensor, shifts: Tensor) -> Tensor:
    """Images `(b, c, h, w)` moved down and right by whole pixels `(b, 2)`; the border is repeated into the gap."""
    most = int(shifts.abs().max())
    if most == 0:
        return images
    height, width = images.shape[-2:]
    padded = functional.pad(images, (most, most, most, most), mode="replicate")
    moved = [
        image[:, most - down : most - down + height, most - right : most - right + width]
        for image, (down, right) in zip(padded, shifts.tolist(), strict=True)
    ]
    return torch.stack(moved).contiguous(memory_format=torch.channels_last)


def blur_images(images: Tensor, share: float) -> Tensor:
    """This share of the images blurred, as out of focus, by a box of three pixels."""
    blurred = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return torch.where(_rand(images, len(images), 1, 1, 1) < share, blurred, images)


def augment_state(state: Tensor, options: Augmentation) -> Tensor:
    """Add noise to normalised joint positions `(b, n)`, and hide some."""
    if options.state_noise:
        state = state + options.state_noise * torch.randn_like(state)
    if options.state_dropout:
        state = state * (_rand(state, len(state), 1) >= options.state_dropout)
    return state


def augment_maps(maps: list[Tensor], options: Augmentation) -> list[Tensor]:
    """Add noise to the feature maps `(b, c, h, w)` of each camera."""
    if not options.feature_noise:
        return maps
    return [each + options.feature_noise * each.std().detach() * torch.randn_like(each) for each in maps]


def _rand(like: Tensor, *shape: int) -> Tensor:
    return torch.rand(shape, device=like.device)


def _randn(like: Tensor, *shape: int) -> Tensor:
    return torch.randn(shape, device=like.device)


def _uniform(like: Tensor, low: float, high: float, *shape: int) -> Tensor:
    return torch.empty(shape, device=like.device).uniform_(low, high)
