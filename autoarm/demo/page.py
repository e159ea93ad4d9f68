"""`write_report` makes a page for people from results."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np

from autoarm.figures.style import save_figure
from autoarm.interp.figures.attention import attention_figure
from autoarm.interp.methods.attention import CrossAttention, Frame
from autoarm.pages.pictures import data_uri, poster
from autoarm.pages.templates import templates
from autoarm.policies.loading import BASELINES
from autoarm.results.places import place
from autoarm.results.plots.rates import rates
from autoarm.results.plots.success_map import success_map
from autoarm.results.result import EpisodeRow, Result
from autoarm.results.videos import video_file
from autoarm.runtime.files import write_text
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene_data import restore_scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE: Final = "report.html"
FIGURES: Final = "figures"
"""Folder beside the page with every figure as PNG, SVG and CSV."""


@dataclass(frozen=True)
class AttentionView:
    """The attention of a policy at one moment.

    Attributes:
        policy: Name of the policy.
        moment: The moment, in words that follow "Here it looks at".
        frames: Frame of each camera, RGB uint8.
        attention: Cross-attention of the last decoder layer.
    """

    policy: str
    moment: str
    frames: Mapping[str, Frame]
    attention: CrossAttention


def write_report(
    folder: Path,
    results: Sequence[Result],
    *,
    title: str = "AutoArm report",
    command: Sequence[str] = (),
    attention: AttentionView | None = None,
    data: str | None = None,
) -> Path:
    """Write `report.html` and its figures into `folder`.

    Args:
        folder: Folder for the page; the `video` paths of the results are relative to it.
        results: Results in the order of the page, which groups them by policy and by place of the cube.
        title: Title of the page.
        command: The command line that made the page.
        attention: Attention to show, if any.
        data: Name of the file with the results, beside the page.

    Returns:
        The page's path.

    Raises:
        InvalidInputError: If there are no results.
        InvalidFileError: If the folder cannot be written to, or a video is damaged.
    """
    if not results:
        raise InvalidInputError("no results to report", field="results", cure="evaluate a policy first")
    places = list(dict.fromkeys(place(result) for result in results))
    policies = list(dict.fromkeys(result.policy.name for result in results))
    page = {
        "title": title,
        "summary": summary(results),
        "tables": [(where, [table_row(r) for r in results if place(r) == where]) for where in places],
        "rates": _picture(folder, "rates", rates(results)),
        "maps": [_map(folder, name, number, results) for number, name in enumerate(policies, start=1)],
        "videos": [shown for result in results if (shown := videos(folder, result))],
        "attention": None if attention is None else _attention(folder, attention),
        # A summary is also the command's help: what follows its semicolon is about options.
        "baselines": {name: BASELINES[name].summary.partition(";")[0] for name in policies if name in BASELINES},
        "command": shlex.join(command),
        "repeat": [repetition(result) for result in results],
        "platform": results[0].platform,
        "arm": results[0].setting.simulated_arm,
        "renderer": next((r.platform.gl_renderer for r in results if r.platform.gl_renderer), None),
        "data": data,
    }
    path = folder / PAGE
    write_text(path, templates(__package__).get_template("report.html").render(page))
    return path


# -- What the page says ------------------------------------------------------------------------------------------------


def summary(results: Sequence[Result]) -> str:
    """The result of the first policy in a sentence."""
    name = results[0].policy.name
    parts = [
        f"{result.overall.successes} of {result.overall.episodes} episodes {place(result)}"
        for result in results
        if result.policy.name == name
    ]
    return f"{name} put the cube in the box in {' and in '.join(parts)}."


def table_row(result: Result) -> dict[str, Any]:
    """Cells of a row of the first table."""
    steps = [row.steps for row in result.rows if row.success]
    return {
        "policy": result.policy.name,
        "count": f"{result.overall.successes} of {result.overall.episodes}",
        "rate": f"{100 * result.overall.rate:.0f} %",
        "interval": f"{100 * result.overall.low:.0f}–{100 * result.overall.high:.0f} %",
        "steps": f"{np.mean(steps):.0f}" if steps else "–",
        "errors": sum(row.error is not None for row in result.rows),
    }


def videos(folder: Path, result: Result) -> dict[str, Any] | None:
    """The first success and the first failure with a video, and links to the other videos; None if there are none."""
    kept = [(row, file) for row in result.rows if (file := video_file(folder, row)) is not None]
    if not kept:
        return None
    chosen: list[dict[str, Any]] = []
    more: list[dict[str, Any]] = []
    for success in (True, False):
        outcome = "success" if success else "failure"
        found = [(file, _video(folder, row, file)) for row, file in kept if row.success is success]
        if found:
            file, first = found[0]
            chosen.append(first | {"poster": data_uri("image/jpeg", poster(file))})
        else:
            total = sum(row.success is success for row in result.rows)
            chosen.append({"outcome": outcome, "address": None, "total": total})
        more += [video for _, video in found[1:]]
    return {"policy": result.policy.name, "where": place(result), "chosen": chosen, "more": more}


def repetition(result: Result) -> dict[str, str]:
    """The command, seed and weights that repeat a result."""
    return {
        "policy": result.policy.name,
        "where": place(result),
        "command": shlex.join(result.setting.command),
        "seed": str(result.setting.seed),
        "sha256": result.policy.sha256 or "",
        "seconds": f"{result.seconds:.0f}",
    }


def _video(folder: Path, row: EpisodeRow, file: Path) -> dict[str, Any]:
    cube = restore_scene(row.scene).cube
    about = f"cube at {row.group if row.group in spec.SPOTS else f'{cube.x:.2f}, {cube.y:.2f} m'}, {row.steps} steps"
    if not row.success:
        about += f", got as far as “{row.stage}”"
    return {
        "outcome": "success" if row.success else "failure",
        "address": quote(file.relative_to(folder.resolve()).as_posix()),
        "about": about,
    }


def _map(folder: Path, name: str, number: int, results: Sequence[Result]) -> dict[str, str]:
    own = [result for result in results if result.policy.name == name]
    picture = _picture(folder, f"success-map-{number}", success_map(own))
    counts = " and ".join(f"{r.overall.successes} of {r.overall.episodes} {place(r)}" for r in own)
    return picture | {"alt": f"Table from above with the successes of {name}: {counts}."}


def _attention(folder: Path, view: AttentionView) -> dict[str, Any]:
    heads, slots, tokens = view.attention.weights.shape
    shares = view.attention.shares()
    sizes = set(view.attention.layout.grids.values())
    grids = [f"{rows}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{columns}" for rows, columns in sorted(sizes)]
    vectors = {"latent": "the latent", "state": "the arm's joint positions", "environment": "the environment's state"}
    return _picture(folder, "attention", attention_figure(view.frames, view.attention)) | {
        "policy": view.policy,
        "moment": view.moment,
        "heads": heads,
        "slots": slots,
        "tokens": tokens,
        "grids": " and ".join(grids),
        "even": f"{100 / tokens:.1f} %",
        "others": [(vectors[name], f"{100 * shares[name]:.1f} %") for name in view.attention.layout.vectors],
    }


def _picture(folder: Path, name: str, drawn: tuple[Figure, list[dict[str, Any]]]) -> dict[str, str]:
    """Save a figure; returns the PNG as a data URI, and the addresses of the SVG and CSV beside the page."""
    figure, rows = drawn
    png = save_figure(figure, folder / FIGURES / name, rows)
    beside = f"{FIGURES}/{name}"
    return {"image": data_uri("image/png", png.read_bytes()), "svg": f"{beside}.svg", "csv": f"{beside}.csv"}
