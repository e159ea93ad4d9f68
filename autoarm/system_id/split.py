"""Which recordings a fit may see, and which only judge it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream

HELD_OUT: Final = 0.25
"""Share of the recordings that judge a fit."""


def hold_out(names: Sequence[str], seed: int = 0, share: float = HELD_OUT) -> tuple[str, ...]:
    """The names of the recordings that a fit must not see, drawn from all of them, in alphabetical order.

    The draw depends on the set of names alone: not on their order, and not on what was recorded. Of a single recording
    nothing is held out; of several, at least one.

    Args:
        names: Names of all recordings, each once.
        seed: Seed of the draw.
        share: Share of the recordings to hold out, 0 to 1.
    """
    ordered = sorted(names)
    if len(ordered) < 2 or not share:
        return ()
    count = min(max(1, round(share * len(ordered))), len(ordered) - 1)
    drawn = stream(seed, "held-out recordings").permutation(len(ordered))[:count]
    return tuple(ordered[index] for index in sorted(drawn))


def folds(names: Sequence[str], count: int, seed: int = 0) -> list[tuple[str, ...]]:
    """The names of the recordings dealt out to `count` folds at random, each to one.

    Raises:
        InvalidInputError: If there are fewer recordings than folds, or less than two folds.
    """
    if not 2 <= count <= len(names):
        raise InvalidInputError(f"{count}, and there are {len(names)} recordings", field="folds", cure="2 to that many")
    ordered = sorted(names)
    dealt = stream(seed, "folds of recordings").permutation(len(ordered))
    return [tuple(ordered[index] for index in sorted(dealt[fold::count])) for fold in range(count)]
