"""Streams whose names cannot collide."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import keyed_stream, stream, stream_key

seeds = st.integers(0, 2**128 - 1)
# Few letters and small numbers, so that paths are often nearly alike.
names = st.one_of(st.text("ab0\x00", max_size=3), st.integers(0, 3), st.integers(0, 2**70))
paths = st.lists(names, max_size=4)


def draws(seed: int, *path: str | int) -> bytes:
    return keyed_stream(seed, *path).bytes(16)


@given(seeds, paths, seeds, paths)
def test_other_seeds_or_names_give_other_draws(seed, path, other_seed, other_path):
    same = (seed, path) == (other_seed, other_path)
    assert (draws(seed, *path) == draws(other_seed, *other_path)) is same


@given(paths, paths)
def test_a_key_belongs_to_one_path_only(path, other):
    assert (stream_key(*path) == stream_key(*other)) is (path == other)


@given(seeds, paths)
def test_a_zero_at_the_end_is_another_stream(seed, path):
    assert draws(seed, *path) != draws(seed, *path, 0)


def test_what_the_first_kind_confuses_it_tells_apart():
    # A seed sequence fills up with zeros, and these two words have one CRC-32.
    assert stream(7, "a").random() == stream(7, "a", 0).random()
    assert stream(7, "plumless").random() == stream(7, "buckeroo").random()
    assert draws(7, "a") != draws(7, "a", 0)
    assert draws(7, "plumless") != draws(7, "buckeroo")


@given(st.integers(0, 2**32 - 1), st.text(max_size=4))
def test_a_text_is_no_number(seed, text):
    words = stream_key(text)[2:]
    assert draws(seed, text) != draws(seed, *words)
    assert draws(seed, "1") != draws(seed, 1)


def test_streams_of_neighbouring_names_are_uncorrelated():
    found = np.array([keyed_stream(0, "episode", number).random(64) for number in range(64)])
    correlation = np.corrcoef(found)[~np.eye(64, dtype=bool)]
    assert abs(correlation.mean()) < 0.02
    assert np.abs(correlation).max() < 6 / np.sqrt(64)


def test_draws_stay_what_they_are_in_every_process():
    code = "from gym_autoarm.rng import keyed_stream; print(keyed_stream(7, 'cube', 3).bytes(8).hex())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == draws(7, "cube", 3)[:8].hex() == "8b71a6cfb17a8822"


@pytest.mark.parametrize(("seed", "name"), [(-1, "a"), (2**128, "a"), (0, -1)])
def test_numbers_out_of_bounds_are_refused(seed, name):
    with pytest.raises(InvalidInputError):
        keyed_stream(seed, name)
