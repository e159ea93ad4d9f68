"""What a machine with a GPU does with LeRobot's ACT at full size, from recording to success.

Run with `python benchmarks/speed/full_size.py --out outputs/full-size`. Needs no network, and starts what a person
types: `autoarm collect`, `train --preset full-fast`, `eval` and a stretch of `train --preset full` from random weights.
Every command goes on where it was stopped, so that the whole goes on as well. The table lands in OUT/full-size.md, the
numbers in OUT/full-size.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from autoarm.results.result import Result
from autoarm.runtime.files import write_text


@dataclass(frozen=True)
class Options:
    """Record, train, evaluate.

    Example: python benchmarks/speed/full_size.py --out outputs/full-size
    """

    out: Path
    """Folder for the dataset, the runs, the table and the numbers."""
    device: str = "auto"
    """Torch device of the trainings."""
    episodes_per_spot: int = 10
    """Demonstrations at each of the five spots."""
    image_size: tuple[int, int] = (480, 640)
    """Height and width of the recorded frames, and of the policy's."""
    fast_steps: tuple[int, int] | None = None
    """Steps of the phases of `full-fast`, instead of the preset's."""
    full_steps: int = 300
    """Steps of `full`, of which only the speed is measured."""
    batch_size: int | None = None
    """Samples a step, instead of the presets'."""
    episodes: int = 100
    """Episodes of the evaluation at the spots."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that record and evaluate."""


def main() -> None:
    """Run all of it, print the table, and write both files."""
    options = tyro.cli(Options)
    options.out.mkdir(parents=True, exist_ok=True)
    workers, data, result = str(options.workers), options.out / "demonstrations", options.out / "at-the-spots.json"
    fast, full = options.out / "full-fast", options.out / "full"
    size = ["--image-size", *map(str, options.image_size)]
    training = [*size, "--device", options.device]
    seconds = {}
    if not data.is_dir():
        episodes = ["--episodes-per-spot", str(options.episodes_per_spot)]
        seconds["recording"] = _timed("collect", "--out", data, *episodes, *size, "--workers", workers)
    in_phases = [] if options.fast_steps is None else ["--steps", *map(str, options.fast_steps)]
    batch = [] if options.batch_size is None else [str(options.batch_size)]
    of_two, of_one = (["--batch-size", *batch * phases] if batch else [] for phases in (2, 1))
    seconds["training"] = _timed("train", data, "--out", fast, "--preset", "full-fast", *training, *in_phases, *of_two)
    seconds["evaluation"] = _timed(
        "eval", fast / "pretrained_model", "--episodes", str(options.episodes), "--workers", workers, "--out", result
    )
    random = ["--policy", "pretrained_backbone_weights", "null", "--steps", str(options.full_steps)]
    _timed("train", data, "--out", full, "--preset", "full", *training, *random, *of_one)
    numbers = {
        "device": _record(fast)["device"],
        "seconds": seconds,
        "full_fast_samples_per_second": _record(fast)["samples_per_second"],
        "full_samples_per_second": _record(full)["samples_per_second"],
        "successes": Result.load(result).overall.successes,
        "episodes": options.episodes,
    }
    write_text(options.out / "full-size.json", json.dumps(numbers, indent=1) + "\n")
    table = markdown(numbers)
    write_text(options.out / "full-size.md", table)
    print(table)


def markdown(numbers: dict[str, Any]) -> str:
    """The numbers as a table."""
    seconds = {name: f"{value:.0f} s" for name, value in numbers["seconds"].items()}
    trained, frozen = numbers["full_fast_samples_per_second"]
    rows = [
        ("recording the demonstrations", seconds.get("recording", "there already")),
        ("`train --preset full-fast`, from the command to the policy", seconds["training"]),
        ("... end to end", _rate(trained)),
        ("... the transformer alone, over kept feature maps", _rate(frozen)),
        ("`train --preset full`, end to end", _rate(*numbers["full_samples_per_second"])),
        ("evaluation", seconds["evaluation"]),
        ("success at the spots", f"{numbers['successes']} of {numbers['episodes']}"),
    ]
    lines = [f"| on {numbers['device']} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines) + "\n"


def _rate(samples: float | None) -> str:
    return "not in this call" if samples is None else f"{samples:,.0f} samples/s"


def _timed(*arguments: str | Path) -> float:
    """Seconds that a command of this project takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "autoarm.cli", *map(str, arguments)], check=True)
    return round(time.perf_counter() - started, 1)


def _record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "train.json").read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    main()
