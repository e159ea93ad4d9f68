"""The learning rate of every step, and where a run stands after one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autoarm.training.config import Phase


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a step."""

    step: int
    steps: int
    loss: float
    samples_per_second: float

    @property
    def note(self) -> str:
        """All of it in a line."""
        return f"{self.step}/{self.steps}  loss {self.loss:.4f}  {self.samples_per_second:.0f} samples/s"


def learning_rate(step: int, phase: Phase) -> float:
    """Learning rate of a step, counted from the phase's first: linear warm-up, then a cosine to zero or a constant."""
    if step < phase.warmup:
        return phase.learning_rate * (step + 1) / phase.warmup
    if not phase.cosine:
        return phase.learning_rate
    progress = (step - phase.warmup) / max(1, phase.steps - phase.warmup)
    return phase.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
