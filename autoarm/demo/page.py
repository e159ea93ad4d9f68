"""`write_report`: from results to a page for people."""

from __future__ import annotations

import base64
import io
import shlex
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, StrictUndefined
from PIL import Image

from autoarm.figures.style import save_figure
from autoarm.interp.figures.attention import attention_figure
from autoarm.interp.methods.attention import CrossAttention, Frame
from autoarm.policies.loading import BASELINES
from autoarm.results.places import place
from autoarm.results.plots.rates import rates
from autoarm.results.plots.success_map import success_map
from autoarm.results.result import EpisodeRow, Result
from autoarm.runtime.files import write_text
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.scene_data import restore_scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE: Final = "report.html"
PAGE: Final = "report.html"
FIGURES: Final = "figures"
"""Folder beside the page that holds every figure as PNG, SVG and CSV."""


@dataclass(frozen=True)
class AttentionView:
    """Where a policy looked at one moment.

    Attributes:
        policy: Its name.
        moment: When, in words that follow "Here it looks at".
        frames: What each camera saw, RGB uint8.
        attention: Of the last decoder layer.
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
        folder: Where the page goes; the `video` paths of the results start from here.
        results: In the order in which they are to be shown; those of one policy and those of one place are grouped.
        title: Of the page.
        command: The command line that made it.
        attention: Shown where there is one.
        data: File beside the page that holds the results.

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
        # The summaries are of the command's help; what follows the semicolon is about its options.
        "baselines": {name: BASELINES[name].summary.partition(";")[0] for name in policies if name in BASELINES},
        "command": shlex.join(command),
        "repeat": [repetition(result) for result in results],
        "platform": results[0].platform,
        "renderer": next((r.platform.gl_renderer for r in results if r.platform.gl_renderer), None),
        "data": data,
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8"))
    path = folder / PAGE
    write_text(path, template.render(page))
    return path


# -- What the page says ------------------------------------------------------------------------------------------------


def summary(results: Sequence[Result]) -> str:
    """What came out for the first policy, in a sentence."""
    name = results[0].policy.name
    parts = [
        f"{result.overall.successes} of {result.overall.episodes} episodes {place(result)}"
        for result in results
        if result.policy.name == name
    ]
    return f"{name} put the cube in the box in {' and in '.join(parts)}."


def table_row(result: Result) -> dict[str, Any]:
    """Cells of the headline table."""
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
    """The first success and the first failure that have a video, and links to the other videos; nothing without any."""
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
            chosen.append(first | {"poster": _data_uri("image/jpeg", poster(file))})
        else:
            total = sum(row.success is success for row in result.rows)
            chosen.append({"outcome": outcome, "address": None, "total": total})
        more += [video for _, video in found[1:]]
    return {"policy": result.policy.name, "where": place(result), "chosen": chosen, "more": more}


def video_file(folder: Path, row: EpisodeRow) -> Path | None:
    """A row's video; nothing where there is none, or it lies outside the folder."""
    if row.video is None:
        return None
    file = (folder / row.video).resolve()
    return file if file.is_file() and file.is_relative_to(folder.resolve()) else None


def poster(video: Path) -> bytes:
    """The last frame of a video as JPEG: how it ended, to be seen before it is played."""
    import av

    try:
        with av.open(str(video)) as container:
            (last,) = deque(container.decode(video=0), maxlen=1)
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise InvalidFileError("not a video", file=video, cure="evaluate the policy again") from error
    data = io.BytesIO()
    Image.fromarray(last.to_ndarray(format="rgb24")).save(data, "JPEG", quality=80)
    return data.getvalue()


def repetition(result: Result) -> dict[str, str]:
    """How to get a result again."""
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
    """Save a figure; the PNG as it goes into the page, and the addresses of its other forms beside the page."""
    figure, rows = drawn
    png = save_figure(figure, folder / FIGURES / name, rows)
    beside = f"{FIGURES}/{name}"
    return {"image": _data_uri("image/png", png.read_bytes()), "svg": f"{beside}.svg", "csv": f"{beside}.csv"}


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
