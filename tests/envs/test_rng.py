from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gym_autoarm.rng import stream

seeds = st.integers(0, 2**64)
names = st.lists(st.one_of(st.text(max_size=8), st.integers(0, 2**31)), min_size=1, max_size=3)


@given(seeds, names)
def test_same_seed_and_name_give_the_same_draws(seed: int, path: list[str | int]) -> None:
    np.testing.assert_array_equal(stream(seed, *path).random(4), stream(seed, *path).random(4))


@given(seeds, st.text(max_size=8), st.text(max_size=8))
def test_other_names_give_other_draws(seed: int, first: str, second: str) -> None:
    if first != second:
        assert (stream(seed, first).random(4) != stream(seed, second).random(4)).any()


@given(seeds, names)
def test_other_seeds_give_other_draws(seed: int, path: list[str | int]) -> None:
    assert (stream(seed, *path).random(4) != stream(seed + 1, *path).random(4)).any()


def test_streams_of_neighbouring_seeds_are_uncorrelated() -> None:
    draws = np.array([stream(seed, "cube", "position").random(64) for seed in range(64)])
    correlation = np.corrcoef(draws)[~np.eye(64, dtype=bool)]
    # Of independent draws the standard deviation is 1 / sqrt(64).
    assert abs(correlation.mean()) < 0.02
    assert np.abs(correlation).max() < 6 / np.sqrt(64)


def test_draws_are_the_same_in_another_process() -> None:
    code = "from gym_autoarm.rng import stream; print(stream(7, 'cube', 3).random(3).tobytes().hex())"
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": hash_seed}
        )
        assert done.stdout.strip() == stream(7, "cube", 3).random(3).tobytes().hex()
