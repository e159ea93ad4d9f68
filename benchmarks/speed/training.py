"""How many samples a second the transformer of the preset `cpu` learns from, beside LeRobot's own forward pass.

Run with `python benchmarks/speed/training.py`. Both are on one thread, over feature maps that are there already, and
train the same policy. Rounds take turns, and a ratio is the median over rounds, because others may use the machine.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

from autoarm.runtime.files import write_text
from autoarm.training.features import images_are_feature_maps
from autoarm.training.lean import lean_transformer
from autoarm.training.new_policy import new_policy, policy_config
from autoarm.training.presets import CPU


@dataclass(frozen=True)
class Options:
    """Compare training with and without what has no effect.

    Example: python benchmarks/speed/training.py --json training.json
    """

    steps: int = 10
    """Steps of each, in a round."""
    rounds: int = 5
    """How often both are measured."""
    json: Path | None = None
    """File for the numbers."""


@dataclass(frozen=True)
class Measured:
    """Medians over rounds: samples a second, and their ratio."""

    usual_per_second: float
    lean_per_second: float
    ratio: float


def measure(options: Options) -> Measured:
    """All rounds, after one that does not count."""
    torch.manual_seed(0)
    policy: Any = new_policy(policy_config(CPU, "cpu"))
    policy.train()
    policy.model.backbone.requires_grad_(False)
    phase = CPU.phases[-1]
    learnt = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=phase.learning_rate, fused=True)
    size, chunk = phase.batch_size, policy.config.chunk_size
    height, width = (-(-side // 32) for side in CPU.image_size)
    batch = {
        "observation.state": torch.randn(size, 6),
        "action": torch.randn(size, chunk, 6),
        "action_is_pad": torch.zeros(size, chunk, dtype=torch.bool),
        **{key: torch.randn(size, 512, height, width).relu() for key in policy.config.image_features},
    }
    usual, lean, ratios = [], [], []
    for counted in (False, *[True] * options.rounds):
        slow = _samples_per_second(policy, optimizer, batch, 1 if not counted else options.steps)
        with lean_transformer(policy):
            fast = _samples_per_second(policy, optimizer, batch, 1 if not counted else options.steps)
        if counted:
            usual.append(slow)
            lean.append(fast)
            ratios.append(fast / slow)
    return Measured(*(round(statistics.median(each), digits) for each, digits in ((usual, 1), (lean, 1), (ratios, 2))))


def _samples_per_second(policy: Any, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor], steps: int) -> float:
    started = time.perf_counter()
    for _ in range(steps):
        with images_are_feature_maps(policy), torch.autocast("cpu", dtype=torch.bfloat16):
            loss, _ = policy.forward(dict(batch))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), CPU.clip)
        optimizer.step()
    return steps * len(batch["action"]) / (time.perf_counter() - started)


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
