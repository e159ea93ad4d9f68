"""Chunks of actions: they stay inside their episode, and say which of their actions are repeated."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autoarm.data.chunks import chunk_indices, episode_ends, fill_chunk


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 12))
@settings(max_examples=60)
def test_chunks_never_leave_their_episode(lengths: list[int], chunk: int) -> None:
    episodes = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.repeat(np.cumsum(lengths), lengths)
    np.testing.assert_array_equal(episode_ends(episodes), ends)
    indices = np.arange(len(episodes))
    frames, padded = chunk_indices(indices, ends, chunk)
    assert (episodes[frames] == episodes[:, None]).all()
    # By counting: a frame with r frames left, itself included, fills r places of the chunk.
    left = ends - indices
    np.testing.assert_array_equal((~padded).sum(axis=1), np.minimum(left, chunk))


def test_one_chunk_does_not_run_into_the_next_episode() -> None:
    assert chunk_indices(5, 100, 4)[0].tolist() == [5, 6, 7, 8]
    assert chunk_indices(97, 99, 4)[0].tolist() == [97, 98, 98, 98]


def test_the_last_action_fills_a_chunk() -> None:
    actions = np.arange(3.0)[:, None] * np.ones(6)
    assert fill_chunk(actions, 5)[:, 0].tolist() == [0, 1, 2, 2, 2]
    assert fill_chunk(actions, 2)[:, 0].tolist() == [0, 1]
