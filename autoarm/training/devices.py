"""The processors and cards that torch computes on."""

from __future__ import annotations

import torch

from autoarm.results.platform import machine
from gym_autoarm.errors import InvalidInputError


def find_device(name: str) -> str:
    """The device of a name; `auto` is a GPU where there is one. Raises `InvalidInputError` if torch cannot use it."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(f"torch cannot use {name!r}: {error}", field="device", cure="use cpu") from error
    return name


def device_name(device: torch.device) -> str:
    """What a device is called by its maker."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else machine()
