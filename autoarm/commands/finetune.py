"""`autoarm finetune`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from autoarm.commands.arguments import DatasetFolder, PolicyName
from autoarm.commands.next_step import next_step


@dataclass
class Finetune:
    """Train chosen parts of an ACT policy on new demonstrations, everything before them computed once.

    Example: autoarm finetune act-five-spots outputs/new-spots --part decoder-mlp --out outputs/tuned
    """

    policy: tyro.conf.Positional[PolicyName]
    """A checkpoint folder, or the name of a shipped policy."""
    dataset: tyro.conf.Positional[DatasetFolder]
    """Folder of the new demonstrations."""
    out: Path
    """Folder for the tuned policy; it lands in its `pretrained_model`."""
    part: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAMES")] = ("decoder-mlp",)
    """What is trained: decoder-mlp, encoder-mlp-0 (to the last layer), cross-attention, decoder-self-attention, head,
    transformer, all, random-subset, lora."""
    steps: int = 600
    """Optimiser steps."""
    batch_size: int = 64
    """Samples a step."""
    learning_rate: float = 3e-4
    """Its peak."""
    demonstrations: int | None = None
    """How many of the dataset's episodes to learn from, evenly spread over it; all by default."""
    rank: int = 16
    """Rank of the adapters, for the part lora."""
    seed: int = 0
    """Random seed."""

    def run(self) -> int:
        """Fine-tune and say where the policy is."""
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from autoarm.policies.loading import shipped_policies
        from autoarm.training.config import Phase
        from autoarm.training.finetune import FinetuneConfig, finetune
        from autoarm.training.schedule import Progress

        config = FinetuneConfig(
            parts=self.part,
            training=Phase(self.steps, self.batch_size, self.learning_rate, warmup=min(20, self.steps)),
            demonstrations=self.demonstrations,
            rank=self.rank,
            seed=self.seed,
        )

        def progress(now: Progress) -> None:
            if now.step % 100 == 0 or now.step == now.steps:
                print(
                    f"{now.step}/{now.steps}  loss {now.loss:.4f}  {now.samples_per_second:.0f} samples/s", flush=True
                )

        policy = shipped_policies().get(self.policy, Path(self.policy))
        folder = finetune(policy, self.dataset, self.out, config, progress, ["autoarm", *sys.argv[1:]])
        print(f"policy: {folder}")
        next_step("bench", self.out, "--suite", "five-spots-v2", "--size", "quick", "--out", f"{self.out}.json")
        return 0
