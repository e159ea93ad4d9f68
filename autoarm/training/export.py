"""Make a trained policy small enough to ship: weights in half precision, and a card that says where it comes from.

python -m autoarm.training.export outputs/act assets/policies/act-five-spots --results outputs/seen.json
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from safetensors import safe_open
from safetensors.torch import save_file

from autoarm.policies.lerobot import WEIGHTS, checkpoint_folder
from autoarm.results.result import Interval, Result
from autoarm.runtime.files import replace_folder
from autoarm.training.backbone import PRETRAINING
from autoarm.training.checkpoint import POLICY_MARK, RECORD
from gym_autoarm.errors import AutoArmError, InvalidFileError


def export_policy(
    run: Path, out: Path, results: Sequence[Path] = (), seeds: Sequence[Path] = (), title: str | None = None
) -> Path:
    """Copy a checkpoint with its floating-point weights as float16 and a model card as `README.md`.

    LeRobot loads it as it is: values are widened to the model's own precision.

    Args:
        run: A training run of ours, or its checkpoint folder.
        out: Folder to make; replaced as a whole if it is there.
        results: Result files for the card's tables.
        seeds: Result files of the recipe's training seeds, on the same episodes.
        title: Title of the card; the folder's name by default.
    """
    folder = checkpoint_folder(run)
    loaded = [[Result.load(path) for path in paths] for paths in (results, seeds)]
    card = model_card(title or out.name, folder, *loaded)

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
            raise InvalidFileError(
                "does not fit into float16", file=folder / WEIGHTS, field=broken[0], cure="ship it in full precision"
            )
        save_file({name: value.contiguous() for name, value in half.items()}, temporary / WEIGHTS, metadata)
        (temporary / "README.md").write_text(card, encoding="utf-8")
        for file in temporary.iterdir():
            file.chmod(0o644)  # safetensors' own files are their maker's alone, and a wheel keeps that

    replace_folder(out, fill, POLICY_MARK)
    return out


def model_card(title: str, folder: Path, results: Sequence[Result] = (), seeds: Sequence[Result] = ()) -> str:
    """Markdown: what was trained, how, and what was measured.

    Args:
        title: Title of the card.
        folder: The checkpoint, in its training run where there is one.
        results: Results of this policy.
        seeds: Results of the same recipe's training seeds, on the same episodes.
    """
    lines = [f"# {title}", "", "LeRobot's ACT for `gym_autoarm/PickIntoBox-v0`. Weights are stored as float16.", ""]
    training = folder.parent / RECORD
    if training.is_file():
        record = json.loads(training.read_text(encoding="utf-8"))
        config = record["config"]
        size = "x".join(str(side) for side in config["image_size"])
        lines += [
            "| | |",
            "|---|---|",
            f"| backbone | {_backbone(record)} |",
            f"| frames | resized to {size} by the policy's own preprocessor |",
            f"| training | {_phases(config)}; seed {config['seed']} |",
            f"| time | {record['seconds'] / 60:.0f} minutes with {record['threads']} of the processor's threads |",
            f"| command | `{' '.join(record['command']) or 'autoarm train DATASET --out RUN'}` |",
            f"| dataset | content hash `{record['dataset'][:16]}` |",
            "",
            "```json",
            json.dumps(config, indent=1),
            "```",
            "",
        ]
    for result in results:
        lines += _measured(result)
    if seeds:
        lines += _over_seeds(seeds)
    return "\n".join(lines)


def _measured(result: Result) -> list[str]:
    suite = result.setting.suite
    what = f"suite `{suite.name}`, size {suite.size}" if suite else f"cube: {result.setting.distribution['cube']}"
    command = " ".join(result.setting.command)
    return [
        f"Measured on {what}" + (f", with `{command}`:" if command else ":"),
        "",
        "| | success | 95 % interval |",
        "|---|---|---|",
        *(
            f"| {name} | {rate.successes} of {rate.episodes} | {100 * rate.low:.0f} to {100 * rate.high:.0f} % |"
            for name, rate in _rates(result).items()
        ),
        "",
    ]


def _rates(result: Result) -> dict[str, Interval]:
    """Success on each of a suite's axes: a mean over all episodes would depend on how many an axis has."""
    return result.groups if result.setting.suite else {"all": result.overall}


def _over_seeds(results: Sequence[Result]) -> list[str]:
    """The same recipe with other training seeds: mean and range of the rates."""
    lines = [
        f"The recipe over {len(results)} training seeds, this one among them:",
        "",
        "| | mean | lowest | highest |",
        "|---|---|---|---|",
    ]
    for name in _rates(results[0]):
        rates = [100 * _rates(each)[name].rate for each in results]
        lines.append(f"| {name} | {sum(rates) / len(rates):.1f} % | {min(rates):.1f} % | {max(rates):.1f} % |")
    return [*lines, ""]


def _backbone(record: dict[str, Any]) -> str:
    config, origin = record["config"], record.get("backbone_made_by")
    if config["backbone"] is not None:
        how = (
            "pretrained in simulation on rendered scenes with the positions of cube and gripper as labels"
            if origin == PRETRAINING
            else f"made by {origin or 'a way that its folder does not tell'}"
        )
        further = any(phase["backbone"] == "trained" for phase in config["phases"])
        then = "trained further by imitation" if further else "frozen"
        return f"{how}, then {then}; weights `{config['backbone'][:16]}`"
    if config["policy"].get("pretrained_backbone_weights", "ImageNet's") is None:
        return "trained end to end by imitation from random weights; it never saw a label of the scene"
    return "started from ImageNet weights"


def _phases(config: dict[str, Any]) -> str:
    return ", then ".join(
        f"{phase['steps']} steps of {phase['batch_size']} samples with the backbone {phase['backbone']}"
        for phase in config["phases"]
    )


@dataclass
class _Arguments:
    """Export a checkpoint for shipping."""

    run: tyro.conf.Positional[Path]
    """A training run, or its checkpoint folder."""
    out: tyro.conf.Positional[Path]
    """Folder to make."""
    results: Annotated[list[Path], tyro.conf.arg(metavar="FILES")] = field(default_factory=list)
    """Result files for the model card."""
    seeds: Annotated[list[Path], tyro.conf.arg(metavar="FILES")] = field(default_factory=list)
    """Result files of the same recipe with other training seeds."""


def main() -> None:
    """Run from the command line."""
    arguments = tyro.cli(_Arguments)
    try:
        export_policy(arguments.run, arguments.out, arguments.results, arguments.seeds)
    except AutoArmError as error:
        raise SystemExit(f"export: error: {error}") from error


if __name__ == "__main__":
    main()
