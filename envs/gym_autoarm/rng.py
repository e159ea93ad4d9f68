"""Named random streams: one seed, many independent draws that do not disturb each other.

Two quantities drawn from one generator depend on the order of the draws, so adding a third changes the second.
A stream for each name keeps every quantity a function of the seed and its own name alone.
"""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A generator that depends on `seed` and `names` only.

    Args:
        seed: Any non-negative integer.
        names: The path of the stream, such as `"cube", "position"` or `"episode", 7`.
    """
    # zlib.crc32 rather than hash(): the same in every process and every Python version.
    words = [name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
