"""Named random streams: one seed, many independent draws that do not disturb each other.

Two quantities drawn from one generator depend on the order of the draws, so adding a third changes the second.
A stream for each name keeps every quantity a function of the seed and its own name alone.

`stream` is what the first suites, datasets and results were drawn with, and stays as it is. Of its names, some draw the
same: a number 0 at the end changes nothing, and two texts of equal CRC-32 are one. `keyed_stream` has no such pairs.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np

from gym_autoarm.errors import InvalidInputError

Streams = Callable[..., np.random.Generator]
"""The streams of one seed: from the names of a stream to its generator."""

_TEXT: Final = 1
_NUMBER: Final = 2
_DIGEST_WORDS: Final = 4
"""Words of a text's SHA-256 that its key holds: 128 bits, as many as a seed sequence keeps."""
_WORD: Final = 2**32


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A generator that depends on `seed` and `names` only.

    Args:
        seed: Any non-negative integer.
        names: The path of the stream, such as `"cube", "position"` or `"episode", 7`.
    """
    # zlib.crc32 rather than hash(): the same in every process and every Python version.
    words = [name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


def keyed_stream(seed: int, *names: str | int) -> np.random.Generator:
    """A generator that depends on `seed` and `names` only; other seeds or names give another one.

    Args:
        seed: An integer from 0 up to, and without, 2**128.
        names: The path of the stream: texts, and numbers that are not negative.

    Raises:
        InvalidInputError: If a number is out of these bounds.
    """
    if not 0 <= seed < _WORD**4:
        raise InvalidInputError(f"{seed} is no seed", field="seed", cure="choose one from 0 to 2**128 - 1")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=stream_key(*names))))


def stream_key(*names: str | int) -> tuple[int, ...]:
    """The names of a stream as 32-bit words, from which the names can be told: no two paths have one key.

    Each name is its kind, its length, and its words: a number's own, least significant first, or the first of a text's
    SHA-256. Raises `InvalidInputError` for a negative number.
    """
    return tuple(word for name in names for word in (_text_key(name) if isinstance(name, str) else _number_key(name)))


def _text_key(text: str) -> tuple[int, ...]:
    content = text.encode()
    digest = hashlib.sha256(content).digest()
    words = (int.from_bytes(digest[4 * place : 4 * place + 4], "little") for place in range(_DIGEST_WORDS))
    return _TEXT, len(content), *words


def _number_key(number: int) -> tuple[int, ...]:
    if number < 0:
        raise InvalidInputError(f"{number} is negative", field="names", cure="number streams from 0")
    words = []
    while number:
        number, word = divmod(number, _WORD)
        words.append(word)
    return _NUMBER, len(words), *words
