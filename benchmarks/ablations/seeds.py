"""How well a recipe does, not its best run: policies of one recipe and several training seeds on the same episodes.

Run with `python benchmarks/ablations/seeds.py RUN RUN ... --out OUT`. Measured results are kept in `OUT`, and a run
that was stopped goes on; the table is `OUT/seeds.md`, its numbers beside it. The interval of a mean is Student's t over
training seeds, since a second training run is a new draw and a second episode of the same run is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tyro

from autoarm.results.result import Result
from autoarm.runtime.files import write_text
from autoarm.statistics import rate_over_seeds
from gym_autoarm.errors import InvalidInputError

AXES: Final = ("fresh", "interpolation", "extrapolation")


@dataclass
class Options:
    """Measure policies of one recipe.

    Example: python benchmarks/ablations/seeds.py outputs/act-0 outputs/act-1 outputs/act-2 --out outputs/seeds
    """

    policies: tyro.conf.Positional[tuple[Path, ...]]
    """Training runs, or checkpoint folders."""
    out: Path
    """Folder for the results and the table."""
    axes: tuple[str, ...] = AXES
    """Axes of the suite to measure on."""
    episodes: int = 200
    """Episodes at each level of an axis."""
    workers: int = 1
    """Processes that measure."""


def measure(options: Options) -> dict[str, Result]:
    """Results by the policies' names, measured where they are missing. Raises `InvalidInputError`."""
    from autoarm.evaluation.bench import bench

    if len(options.policies) < 2:
        raise InvalidInputError("one policy says nothing about its recipe", field="policies", cure="give two or more")
    found = {}
    for policy in options.policies:
        file = options.out / f"{policy.name}.json"
        if not file.exists():
            bench(str(policy), axes=options.axes, episodes=options.episodes, workers=options.workers, out=file)
        found[policy.name] = Result.load(file)
    return found


def summary(results: Mapping[str, Result]) -> dict[str, Any]:
    """Success of every policy on each axis, and their mean with its interval over policies."""
    axes: dict[str, Any] = {}
    for axis in next(iter(results.values())).groups:
        own = [result.groups[axis] for result in results.values()]
        mean = rate_over_seeds([each.successes for each in own], [each.episodes for each in own])
        axes[axis] = {
            "policies": {name: result.groups[axis].model_dump() for name, result in results.items()},
            "mean": {"rate": mean.estimate, "low": mean.low, "high": mean.high},
        }
    return axes


def table(axes: Mapping[str, Any]) -> str:
    """The summary as a Markdown table."""
    names = list(next(iter(axes.values()))["policies"])
    lines = [_line(["axis", *names, "mean"]), _line(["---"] * (len(names) + 2))]
    for axis, found in axes.items():
        cells = [f"{100 * found['policies'][name]['rate']:.1f} %" for name in names]
        mean = found["mean"]
        cells.append(f"{100 * mean['rate']:.1f} % ({100 * mean['low']:.1f} to {100 * mean['high']:.1f})")
        lines.append(_line([axis, *cells]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run from the command line."""
    options = tyro.cli(Options)
    axes = summary(measure(options))
    write_text(options.out / "seeds.json", json.dumps(axes, indent=1) + "\n")
    write_text(options.out / "seeds.md", table(axes))
    print(table(axes), end="")


if __name__ == "__main__":
    main()
