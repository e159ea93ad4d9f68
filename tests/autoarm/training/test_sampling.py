"""Which samples make up which batch."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autoarm.training.sampling import BatchSampler


@given(st.integers(1, 40), st.integers(1, 17), st.integers(0, 5))
@settings(max_examples=40)
def test_every_epoch_shows_every_sample_once(count: int, batch_size: int, seed: int) -> None:
    sampler = BatchSampler(count, batch_size, seed)
    epochs = 3
    steps = -(-epochs * count // batch_size)
    seen = np.concatenate([sampler.batch(step) for step in range(steps)])[: epochs * count]
    for epoch in seen.reshape(epochs, count):
        assert sorted(epoch) == list(range(count))


def test_a_batch_depends_on_its_step_alone() -> None:
    whole = BatchSampler(23, 4, seed=1)
    earlier = [whole.batch(step) for step in range(20)]
    np.testing.assert_array_equal(BatchSampler(23, 4, seed=1).batch(19), earlier[19])
    assert any((BatchSampler(23, 4, seed=2).batch(s) != earlier[s]).any() for s in range(5))
