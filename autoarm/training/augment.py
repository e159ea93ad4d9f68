"""Changes to samples before they are learnt from."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autoarm.training.config import Augmentation


def augment_images(images: Tensor, options: Augmentation) -> Tensor:
    """Change every image of `(b, 3, h, w)`, in 0..1, at random; random numbers come from torch's generator."""
    count = len(images)
    if options.colour:
        low, high = 1 - options.colour, 1 + options.colour
        gain = torch.empty(count, 1, 1, 1).uniform_(low, high) * torch.empty(count, 3, 1, 1).uniform_(low, high)
        contrast = torch.empty(count, 1, 1, 1).uniform_(low, high)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = ((images - mean) * contrast + mean) * gain
    if options.shift:
        images = shift_images(images, torch.randint(-options.shift, options.shift + 1, (count, 2)))
    if options.image_noise:
        images = images + options.image_noise * torch.randn_like(images)
    return images.clamp(0, 1) if options.changes_images else images


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


def augment_state(state: Tensor, options: Augmentation) -> Tensor:
    """Add noise to normalised joint positions `(b, n)`, and hide some; random numbers come from torch's generator."""
    if options.state_noise:
        state = state + options.state_noise * torch.randn_like(state)
    if options.state_dropout:
        state = state * (torch.rand(len(state), 1) >= options.state_dropout)
    return state


def augment_maps(maps: list[Tensor], options: Augmentation) -> list[Tensor]:
    """Add noise to the feature maps `(b, c, h, w)` of each camera; random numbers come from torch's generator."""
    if not options.feature_noise:
        return maps
    return [each + options.feature_noise * each.std().detach() * torch.randn_like(each) for each in maps]
