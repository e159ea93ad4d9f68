"""How many samples a second the decoder's MLP is fine-tuned with, beside training the whole network.

Run with `python benchmarks/speed/finetuning.py outputs/five-spots`. Both are on one thread, on the same policy, samples
and batches. What is saved is everything before the MLP: it is frozen, and computed once. That once is left out of the
rate and told beside it. A second measurement trains the MLP with and without that in float32, to show that the losses
are the same; in bfloat16 rounding differs, and Adam's first steps make much of it. Rounds take turns, and a ratio is
the median over rounds, because others may use the machine.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro

from autoarm.policies.loading import shipped_policies
from autoarm.runtime.files import write_text
from autoarm.training.config import Phase
from autoarm.training.finetune import FinetuneConfig, Finetuner


@dataclass(frozen=True)
class Options:
    """Compare fine-tuning with training.

    Example: python benchmarks/speed/finetuning.py outputs/five-spots --json finetuning.json
    """

    dataset: tyro.conf.Positional[Path]
    """Folder of demonstrations."""
    policy: str = "act-five-spots"
    """A shipped policy, or a checkpoint folder."""
    demonstrations: int = 10
    """How many are learnt from."""
    steps: int = 20
    """Steps of training the whole network, in a round; the MLP alone takes ten times as many."""
    rounds: int = 5
    """How often everything is measured."""
    json: Path | None = None
    """File for the numbers."""


@dataclass(frozen=True)
class Measured:
    """Medians over rounds: samples a second, their ratio, what the cache takes to fill, and how far the losses of the
    MLP with and without it are apart, at most."""

    whole_per_second: float
    mlp_per_second: float
    ratio: float
    caching_seconds: float
    largest_difference_of_losses: float


def tuner(
    options: Options, part: str, steps: int, cached: bool, dtype: Literal["float32", "bfloat16"] = "bfloat16"
) -> Finetuner:
    """A fine-tuning of its own, from the same weights."""
    training = Phase(steps, 64, 3e-4, warmup=5)
    config = FinetuneConfig((part,), training, options.demonstrations, cached=cached, dtype=dtype)
    return Finetuner(shipped_policies().get(options.policy, Path(options.policy)), options.dataset, config)


def measure(options: Options) -> Measured:
    """All rounds."""
    whole, mlp, ratios, caching = [], [], [], []
    for _ in range(options.rounds):
        full = tuner(options, "all", options.steps, cached=False)
        full.run()
        part = tuner(options, "decoder-mlp", 10 * options.steps, cached=True)
        started = time.perf_counter()
        part.run()
        steps = options.steps * 10 * 64 / part.samples_per_second
        whole.append(full.samples_per_second)
        mlp.append(part.samples_per_second)
        ratios.append(part.samples_per_second / full.samples_per_second)
        caching.append(time.perf_counter() - started - steps)
    with_cache, without = (
        tuner(options, "decoder-mlp", options.steps, cached, "float32").run() for cached in (True, False)
    )
    return Measured(
        whole_per_second=round(statistics.median(whole), 1),
        mlp_per_second=round(statistics.median(mlp), 1),
        ratio=round(statistics.median(ratios), 1),
        caching_seconds=round(statistics.median(caching), 1),
        largest_difference_of_losses=float(f"{np.abs(np.subtract(with_cache, without)).max():.1e}"),
    )


def main() -> None:
    """Measure, print, and write the numbers."""
    options = tyro.cli(Options)
    torch.set_num_threads(1)
    text = json.dumps(asdict(measure(options)), indent=1)
    print(text)
    if options.json is not None:
        write_text(options.json, text + "\n")


if __name__ == "__main__":
    main()
