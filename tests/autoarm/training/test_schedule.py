"""The learning rate of every step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoarm.training.config import Phase
from autoarm.training.schedule import learning_rate


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    phase = Phase(steps=110, warmup=10, learning_rate=1.0)
    rates = [learning_rate(step, phase) for step in range(111)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[60] == pytest.approx(0.5)
    assert rates[110] == pytest.approx(0.0)
    assert learning_rate(80, replace(phase, cosine=False)) == 1.0
