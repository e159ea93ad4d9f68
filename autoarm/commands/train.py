"""`autoarm train`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass
class Train:
    """Train ACT on a collected dataset; run again to continue after a stop.

    Example: autoarm train outputs/five-spots --out outputs/act-five-spots
    """

    dataset: tyro.conf.Positional[Path]
    """Folder of the dataset."""
    out: Path
    """Folder of the run; the policy lands in its `pretrained_model`."""
    preset: Literal["cpu", "full"] = "cpu"
    """`cpu`: 96x128 frames and a small transformer, minutes on two cores. `full`: LeRobot's defaults at 480x640."""
    steps: int | None = None
    """Optimiser steps, instead of the preset's."""
    batch_size: int | None = None
    """Samples a step, instead of the preset's."""
    seed: int = 0
    """Of the weights and the order of the samples."""
    device: str = "auto"
    """Torch device, such as cpu or cuda."""
    save_every: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 500
    """Steps between checkpoints."""

    def run(self) -> int:
        """Train and say where the policy is."""
        # Read once, when torch loads. Threads that spin while they wait for each other make a step ten times slower as
        # soon as anything else wants a core.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from autoarm.train.config import preset
        from autoarm.train.run import train

        config = preset(self.preset, steps=self.steps, batch_size=self.batch_size, seed=self.seed)
        folder = train(self.dataset, self.out, config, self.device, self.save_every)
        print(f"policy: {folder}")
        return 0
