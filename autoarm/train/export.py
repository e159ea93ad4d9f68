"""Make a trained policy small enough to ship: weights in half precision, and a card that says where it comes from.

python -m autoarm.train.export outputs/act assets/policies/act-five-spots --results outputs/seen.json
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro
from safetensors import safe_open
from safetensors.torch import save_file

from autoarm.files import replace_folder
from autoarm.policies.lerobot import WEIGHTS, checkpoint_folder
from autoarm.results import Result
from gym_autoarm.errors import AutoArmError, InvalidFileError


def export_policy(run: Path, out: Path, results: list[Path] | None = None, title: str | None = None) -> Path:
    """Copy a checkpoint with its floating-point weights as float16 and a model card as `README.md`.

    LeRobot loads it as it is: values are widened to the model's own precision.

    Args:
        run: A training run of ours, or its checkpoint folder.
        out: Folder to make; replaced as a whole if it is there.
        results: Result files for the card's table.
        title: Of the card; the folder's name by default.
    """
    folder = checkpoint_folder(run)
    card = model_card(title or out.name, folder, [Result.load(path) for path in results or []])

    def fill(temporary: Path) -> None:
        for file in folder.iterdir():
            if file.name != WEIGHTS:
                shutil.copy2(file, temporary / file.name)
        with safe_open(folder / WEIGHTS, "pt") as weights:
            tensors = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118 (not a dict)
            metadata = weights.metadata()
        half = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
        broken = [name for name, value in half.items() if not torch.isfinite(value).all()]
        if broken:
            raise InvalidFileError("does not fit into float16", file=folder / WEIGHTS, field=broken[0])
        save_file({name: value.contiguous() for name, value in half.items()}, temporary / WEIGHTS, metadata)
        (temporary / "README.md").write_text(card, encoding="utf-8")
        for file in temporary.iterdir():
            file.chmod(0o644)  # safetensors' own files are their maker's alone, and a wheel keeps that

    replace_folder(out, fill)
    return out


def model_card(title: str, folder: Path, results: list[Result]) -> str:
    """Markdown: what was trained, how, and what was measured."""
    lines = [f"# {title}", "", "LeRobot's ACT for `gym_autoarm/PickIntoBox-v0`. Weights are stored as float16.", ""]
    training = folder.parent / "train.json"
    if training.is_file():
        record = json.loads(training.read_text(encoding="utf-8"))
        config = record["config"]
        size = "x".join(str(side) for side in config["image_size"])
        backbone = (
            "trained end to end by imitation from random weights; it never saw a label of the scene"
            if config["policy"].get("pretrained_backbone_weights", "ImageNet's") is None
            else "started from ImageNet weights"
        )
        lines += [
            "| | |",
            "|---|---|",
            f"| backbone | {backbone} |",
            f"| frames | resized to {size} by the policy's own preprocessor |",
            f"| training | {record['step']} steps of {config['batch_size']} samples, seed {config['seed']} |",
            "| command | `autoarm train DATASET --out RUN`, with the settings below |",
            f"| dataset | content hash `{record['dataset'][:16]}` |",
            "",
            "```json",
            json.dumps(config, indent=1),
            "```",
            "",
        ]
    if results:
        lines += ["| measured on | success | 95 % interval | command |", "|---|---|---|---|"]
        for result in results:
            rate = result.overall
            kind = result.setting.distribution["cube"]
            lines.append(
                f"| {kind} | {rate.successes} of {rate.episodes} | {100 * rate.low:.0f} to {100 * rate.high:.0f} % "
                f"| `{' '.join(result.setting.command)}` |"
            )
        lines.append("")
    return "\n".join(lines)


@dataclass
class _Arguments:
    """Export a checkpoint for shipping."""

    run: tyro.conf.Positional[Path]
    """A training run, or its checkpoint folder."""
    out: tyro.conf.Positional[Path]
    """Folder to make."""
    results: Annotated[list[Path], tyro.conf.arg(metavar="FILES")] = field(default_factory=list)
    """Result files for the model card."""


def main() -> None:
    """Run from the command line."""
    arguments = tyro.cli(_Arguments)
    try:
        export_policy(arguments.run, arguments.out, arguments.results)
    except AutoArmError as error:
        raise SystemExit(f"export: error: {error}") from error


if __name__ == "__main__":
    main()
