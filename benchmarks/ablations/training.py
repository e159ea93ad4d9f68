"""What makes a policy better: one change at a time, each trained and measured in the same way.

Run with `python benchmarks/ablations/training.py DATASET --backbone BACKBONE --out OUT`; a row that is there already is
kept, and several processes may do different rows (`--rows`). The table is `OUT/training.md`, its numbers beside it.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import tyro

from autoarm.commands.train import Train
from autoarm.results.result import Interval, Result
from autoarm.runtime.files import replace_folder, write_text
from autoarm.training.checkpoint import POLICY_MARK
from gym_autoarm.errors import InvalidInputError

AXES: Final = ("fresh", "interpolation", "extrapolation")


@dataclass(frozen=True)
class Row:
    """One change of the recipe.

    Attributes:
        change: The change in words.
        train: Options of `autoarm train`.
        acts: Fields of the checkpoint's configuration that are changed before it is measured.
        of: The row whose training is used; its own by default.
        end_to_end: Whether the backbone is trained as well.
    """

    change: str
    train: tuple[str, ...] = ()
    acts: Mapping[str, Any] = field(default_factory=dict)
    of: str | None = None
    end_to_end: bool = False


ROWS: Final[dict[str, Row]] = {
    "base": Row("the preset, on a pretrained backbone"),
    "second-seed": Row("another training seed", ("--seed", "1")),
    "replan-10": Row("looks every 10 steps instead of 100", acts={"n_action_steps": 10}, of="base"),
    "replan-25": Row("looks every 25 steps", acts={"n_action_steps": 25}, of="base"),
    "replan-50": Row("looks every 50 steps", acts={"n_action_steps": 50}, of="base"),
    "ensembling": Row(
        "temporal ensembling, looks every step",
        acts={"n_action_steps": 1, "temporal_ensemble_coeff": 0.01},
        of="base",
    ),
    "chunk-25": Row("chunks of 25 actions instead of 100", ("--policy", "chunk_size", "25", "n_action_steps", "25")),
    "chunk-50": Row("chunks of 50 actions", ("--policy", "chunk_size", "50", "n_action_steps", "50")),
    "vae": Row("with the VAE", ("--policy", "use_vae", "true")),
    "vae-used": Row(
        "with the VAE, its KL term weighted 0.005 instead of 10", ("--policy", "use_vae", "true", "kl_weight", "0.005")
    ),
    "one-layer": Row("one encoder layer instead of four", ("--policy", "n_encoder_layers", "1")),
    "narrow": Row(
        "128 wide instead of 256, feed-forward 512", ("--policy", "dim_model", "128", "dim_feedforward", "512")
    ),
    "frames-144": Row("frames of 144x192 instead of 96x128", ("--image-size", "144", "192")),
    "dropout": Row("dropout of 0.1", ("--policy", "dropout", "0.1")),
    "wide": Row("512 wide, feed-forward 3200", ("--policy", "dim_model", "512", "dim_feedforward", "3200")),
    "relative-actions": Row("actions relative to where the joints are", ("--relative-actions",)),
    "no-state": Row("without the joints' positions", ("--no-state",)),
    "state-noise": Row("noise of 0.1 on the joints' positions", ("--state-noise", "0.1")),
    "state-dropout": Row("joints' positions hidden in half of the samples", ("--state-dropout", "0.5")),
    "state-dropout-80": Row("joints' positions hidden in 80 % of the samples", ("--state-dropout", "0.8")),
    "feature-noise": Row("noise of 0.3 on the feature maps", ("--feature-noise", "0.3")),
    "top-only": Row("without the lateral camera", ("--cameras", "top")),
    "lateral-only": Row("without the top camera", ("--cameras", "lateral")),
    "demonstrations-25": Row("25 of the 50 demonstrations", ("--demonstrations", "25")),
    "demonstrations-10": Row("10 of the 50 demonstrations", ("--demonstrations", "10")),
    "end-to-end": Row("the backbone trained by imitation alone", end_to_end=True),
    "colour": Row(
        "likewise, colour and noise of the images varied", ("--colour", "0.2", "--image-noise", "0.02"), end_to_end=True
    ),
    "shift": Row("likewise, images shifted by up to 2 pixels", ("--shift", "2"), end_to_end=True),
    "end-to-end-state-dropout": Row(
        "likewise, joints' positions hidden in half of the samples", ("--state-dropout", "0.5"), end_to_end=True
    ),
}


@dataclass
class Options:
    """Train and measure variants of the preset cpu.

    Example: python benchmarks/ablations/training.py outputs/five --backbone outputs/backbone --out outputs/ablations
    """

    dataset: tyro.conf.Positional[Path]
    """Folder of demonstrations."""
    backbone: Path
    """Folder that `autoarm pretrain` made."""
    out: Path
    """Folder for the runs and the table."""
    rows: tuple[str, ...] = tuple(name for name, row in ROWS.items() if not row.end_to_end)
    """Which rows; by default those that do not train a backbone."""
    steps: int = 1000
    """Optimiser steps with the backbone frozen."""
    episodes: int = 60
    """Episodes on each of the suite's axes."""
    workers: int = 1
    """Processes that measure."""
    keep: bool = False
    """Whether to keep the trained policies."""


def run_row(name: str, options: Options) -> None:
    """Train and measure a row, unless its result is there already."""
    from autoarm.evaluation.bench import bench

    result = options.out / f"{name}.json"
    if result.exists():
        return
    row = ROWS[name]
    trained = _run_folder(row.of or name, options)
    if not (trained / "done").exists():
        command = tyro.cli(Train, args=train_arguments(row.of or name, options))
        command.run()
        (trained / "done").touch()
    policy = trained / "pretrained_model"
    if row.acts:
        policy = changed_policy(policy, options.out / "policies" / name, row.acts)
    bench(str(policy), axes=AXES, episodes=options.episodes, workers=options.workers, out=result)
    if not options.keep and row.of is None and not any(other.of == name for other in ROWS.values()):
        shutil.rmtree(trained)


def train_arguments(name: str, options: Options) -> list[str]:
    """The arguments of `autoarm train` for a row."""
    row = ROWS[name]
    return [*_common_arguments(options, row.end_to_end), "--out", str(_run_folder(name, options)), *row.train]


def changed_policy(policy: Path, out: Path, fields: Mapping[str, Any]) -> Path:
    """A copy of a checkpoint folder with some fields of its `config.json` changed."""

    def fill(temporary: Path) -> None:
        shutil.copytree(policy, temporary, dirs_exist_ok=True)
        config = json.loads((temporary / POLICY_MARK).read_text(encoding="utf-8"))
        (temporary / POLICY_MARK).write_text(json.dumps({**config, **fields}, indent=4), encoding="utf-8")

    out.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(out, fill, POLICY_MARK)
    return out


def write_table(options: Options) -> None:
    """Write the rows measured so far as Markdown and as JSON."""
    done = {name: Result.load(options.out / f"{name}.json") for name in ROWS if (options.out / f"{name}.json").exists()}
    lines = [
        f"Each row: `{_train_command(options, False)}` with its options, then `{_bench_command(options)}`.",
    ]
    if any(ROWS[name].end_to_end for name in done):
        lines.append(f"Those marked * train the backbone, too: `{_train_command(options, True)}`.")
    lines += ["", f"| change | options | {' | '.join(AXES)} |", f"|---|---|{'---|' * len(AXES)}"]
    data = {}
    for name, result in done.items():
        row = ROWS[name]
        rates = [result.groups[axis] for axis in AXES]
        mark = " *" if row.end_to_end else ""
        lines.append(f"| {row.change}{mark} | {_options(row)} | {' | '.join(_percent(rate) for rate in rates)} |")
        data[name] = {
            "change": row.change,
            "train": train_arguments(row.of or name, options),
            "acts": dict(row.acts),
            "rates": {axis: rate.model_dump() for axis, rate in zip(AXES, rates, strict=True)},
        }
    write_text(options.out / "training.md", "\n".join(lines) + "\n")
    write_text(options.out / "training.json", json.dumps(data, indent=1) + "\n")


def _common_arguments(options: Options, end_to_end: bool) -> list[str]:
    backbone = [] if end_to_end else ["--backbone", str(options.backbone), "--steps", "0", str(options.steps)]
    return [str(options.dataset), *backbone]


def _train_command(options: Options, end_to_end: bool) -> str:
    return shlex.join(["autoarm", "train", *_common_arguments(options, end_to_end), "--out", "RUN"])


def _bench_command(options: Options) -> str:
    axes = [argument for axis in AXES for argument in ("--axis", axis)]
    return shlex.join(["autoarm", "bench", "RUN", *axes, "--episodes", str(options.episodes), "--out", "RESULT"])


def _options(row: Row) -> str:
    fields = ", ".join(f"`{key}` {value}" for key, value in row.acts.items())
    return f"in `config.json`: {fields}" if fields else f"`{shlex.join(row.train)}`" if row.train else ""


def _percent(rate: Interval) -> str:
    return f"{100 * rate.rate:.0f} % ({100 * rate.low:.0f} to {100 * rate.high:.0f})"


def _run_folder(name: str, options: Options) -> Path:
    return options.out / "runs" / name


def main() -> None:
    """Run from the command line."""
    options = tyro.cli(Options)
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        raise InvalidInputError(f"no row {unknown[0]!r}", field="rows", cure=f"choose from {', '.join(ROWS)}")
    for name in options.rows:
        run_row(name, options)
        write_table(options)


if __name__ == "__main__":
    main()
