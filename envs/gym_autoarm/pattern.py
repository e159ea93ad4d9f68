"""Table tops made of two colours by a rule, rather than photographs: there is no end of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gym_autoarm.rng import keyed_stream

Kind = Literal["clouds", "grain", "checks", "stripes", "speckles"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
PIXELS: Final = 128
"""Side of the square of pixels that is laid again and again."""
_ROUGHNESS: Final = 1.6
"""How fast the amplitude of clouds falls with frequency: as the power of 1/frequency that photographs of natural
surfaces have, about (Ruderman 1994, doi:10.1088/0954-898X/5/4/006)."""
_STRETCH: Final = 12.0
"""How much longer than wide the marks of `grain` are."""


@dataclass(frozen=True)
class Pattern:
    """A table top.

    Attributes:
        kind: The rule: soft clouds, the same stretched like wood's grain, checks, stripes, or fine speckles.
        dark: One of its colours.
        light: The other.
        repeat: Metres after which it repeats.
        seed: Seed of its random numbers.
    """

    kind: Kind
    dark: tuple[float, float, float]
    light: tuple[float, float, float]
    repeat: float = 0.4
    seed: int = 0


def pattern_pixels(pattern: Pattern) -> NDArray[np.uint8]:
    """The pixels of a table top, `(PIXELS, PIXELS, 3)`. Opposite edges fit each other."""
    share = _SHARES[pattern.kind](keyed_stream(pattern.seed, "pattern"))
    colours = (1 - share[..., None]) * pattern.dark + share[..., None] * pattern.light
    return np.rint(255 * np.clip(colours, 0, 1)).astype(np.uint8)


def _clouds(rng: np.random.Generator, stretch: float = 1.0) -> NDArray[np.float64]:
    along, across = np.meshgrid(np.fft.fftfreq(PIXELS), np.fft.fftfreq(PIXELS) * stretch)
    frequency = np.hypot(along, across)
    frequency[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.normal(size=(PIXELS, PIXELS))) / frequency**_ROUGHNESS
    spectrum[0, 0] = 0.0
    clouds: NDArray[np.float64] = np.fft.ifft2(spectrum).real
    shares: NDArray[np.float64] = np.clip(0.5 + clouds / (4 * clouds.std()), 0, 1)
    return shares


def _grain(rng: np.random.Generator) -> NDArray[np.float64]:
    return _clouds(rng, 1 / _STRETCH)


def _checks(rng: np.random.Generator) -> NDArray[np.float64]:
    side = PIXELS // int(2 ** rng.integers(1, 4))
    place = np.arange(PIXELS) // side % 2
    return (place[:, None] ^ place[None]).astype(np.float64)


def _stripes(rng: np.random.Generator) -> NDArray[np.float64]:
    side = PIXELS // int(2 ** rng.integers(1, 5))
    return np.broadcast_to((np.arange(PIXELS) // side % 2).astype(np.float64), (PIXELS, PIXELS))


def _speckles(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(size=(PIXELS, PIXELS))


_SHARES: Final = {"clouds": _clouds, "grain": _grain, "checks": _checks, "stripes": _stripes, "speckles": _speckles}
"""How much of the light colour each pixel has."""
