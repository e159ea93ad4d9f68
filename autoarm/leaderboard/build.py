"""`build_leaderboard` makes a static site from a folder of results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from autoarm.figures.style import save_figure
from autoarm.leaderboard import pages
from autoarm.leaderboard.entries import Entry, load_boards, unique_slugs
from autoarm.leaderboard.pages import Ranked
from autoarm.leaderboard.ranking_figure import ROLE_COLOURS, ranking
from autoarm.pages.pictures import poster
from autoarm.pages.templates import templates
from autoarm.results.plots.axis_curves import MOST, axis_curves
from autoarm.results.plots.failures import OUTCOME_COLOURS, failures, outcome
from autoarm.results.videos import video_file
from autoarm.runtime.files import replace_folder
from gym_autoarm.errors import PLACE, InvalidFileError, InvalidInputError

MARK: Final = "autoarm leaderboard"
"""Generator that the front page names; only a folder with such a page is ever replaced."""
ASSETS: Final = ("site.css", "site.js", "compare.js")


def build_leaderboard(
    results: Path, out: Path, *, title: str = "AutoArm leaderboard", progress: Callable[[str], None] | None = None
) -> Path:
    """Build the site.

    It consists of `index.html` with the rankings, and for each suite a folder with a page for each policy, the
    comparison of any two, the results themselves, videos, and figures. It needs no network and works from a folder as
    well as from a web server.

    Args:
        results: Folder with result files at any depth; see `autoarm.leaderboard.entries.load_boards`.
        out: Folder for the site. An older site in its place is replaced once the new one is complete.
        title: Title of the site.
        progress: Called with the name of each part before it is made.

    Returns:
        Path of the front page.

    Raises:
        InvalidInputError: If there are no results, or `out` holds anything but such a site.
        InvalidFileError: If a result or a video is damaged, naming it, or the site cannot be written.
    """
    _check_place(out, results)
    report = progress or (lambda _: None)
    boards = [pages.ranked(board) for board in load_boards(results)]

    def fill(folder: Path) -> None:
        _write_site(folder, boards, results, title, report)

    try:
        replace_folder(out, fill, "index.html")
    except OSError as error:
        raise InvalidFileError(f"cannot be written: {error.strerror or error}", file=out, cure=PLACE) from error
    return out / "index.html"


def _check_place(out: Path, results: Path) -> None:
    mine, theirs = out.resolve(), results.resolve()
    if mine == theirs or mine.is_relative_to(theirs) or theirs.is_relative_to(mine):
        raise InvalidInputError(
            "the site and the results need folders of their own", file=out, field="out", cure="choose another folder"
        )
    if not out.exists():
        return
    if not out.is_dir():
        raise InvalidInputError("is a file", file=out, field="out", cure="name a folder")
    front = out / "index.html"
    ours = front.is_file() and f'content="{MARK}"' in front.read_text(encoding="utf-8", errors="replace")[:1000]
    if any(out.iterdir()) and not ours:
        raise InvalidInputError(
            "holds something else, which would be lost", file=out, field="out", cure="name a new or empty folder"
        )


def _write_site(
    folder: Path, boards: Sequence[Ranked], results: Path, title: str, report: Callable[[str], None]
) -> None:
    environment = templates(__package__, "templates")
    suites = [{"slug": each.board.slug, "title": each.board.title} for each in boards]

    def page(path: Path, template: str, **content: Any) -> None:
        depth = len(path.relative_to(folder).parts) - 1
        common = {"site": title, "mark": MARK, "root": "../" * depth, "suites": suites}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(environment.get_template(template).render(common | content), encoding="utf-8")

    assets = folder / "assets"
    assets.mkdir()
    for name in ASSETS:
        (assets / name).write_text(_resource(name), encoding="utf-8")
    (assets / "colours.css").write_text(_colours(), encoding="utf-8")
    named = _named(results)
    for found in boards:
        board = found.board
        place = folder / board.slug
        for entry in found.entries:
            report(f"{board.title}: {entry.name}")
            (place / "results").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(entry.file, place / "results" / f"{entry.slug}.json")
            content = pages.policy_page(found, entry, named, _videos(place, entry))
            page(place / "policies" / f"{entry.slug}.html", "policy.html", **content)
        report(f"{board.title}: comparisons")
        data = _embedded(pages.comparison_data(found))
        page(place / "compare.html", "compare.html", board={"slug": board.slug, "title": board.title}, data=data)
        report(f"{board.title}: figures")
        _figures(place / "figures", found)
    page(folder / "submit.html", "submit.html", results=named, suite=boards[0].board.name)
    page(folder / "index.html", "index.html", **pages.front_page(boards))


def _videos(place: Path, entry: Entry) -> list[dict[str, Any]]:
    """Copy an entry's videos into the site, each with its last frame as poster; addresses are relative to its page."""
    kept = [(row, file) for row in entry.result.rows if (file := video_file(entry.file.parent, row)) is not None]
    names = unique_slugs(f"{pages.episode_name(row)} {'success' if row.success else 'failure'}" for row, _ in kept)
    target = place / "videos" / entry.slug
    found = []
    for name, (row, file) in zip(names, kept, strict=True):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / f"{name}.mp4")
        (target / f"{name}.jpg").write_bytes(poster(file))
        beside = f"../videos/{quote(entry.slug)}/{quote(name)}"
        found.append(
            {
                "axis": row.group,
                "address": f"{beside}.mp4",
                "poster": f"{beside}.jpg",
                "success": row.success,
                "episode": pages.episode_name(row),
                "outcome": outcome(row),
                "steps": row.steps,
            }
        )
    return found


def _figures(folder: Path, found: Ranked) -> None:
    if any(each.score is not None for each in found.standings):
        save_figure(*_at(ranking(found.standings), folder / "ranking"))
    results = [each.result for each in found.standings]
    save_figure(*_at(axis_curves(results[:MOST]), folder / "axes"))
    save_figure(*_at(failures(results), folder / "outcomes"))


def _at[F, R](drawn: tuple[F, R], stem: Path) -> tuple[F, Path, R]:
    return drawn[0], stem, drawn[1]


def _embedded(data: Any) -> Markup:
    """JSON for a script element, escaped so that nothing in it ends the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _colours() -> str:
    rules = [f".mode.{name} {{ fill: {colour}; background: {colour}; }}" for name, colour in OUTCOME_COLOURS.items()]
    rules += [f".role-{role} {{ --role: {colour}; }}" for role, colour in ROLE_COLOURS.items()]
    return "/* The colours of the figures: Okabe and Ito's, told apart with every kind of colour vision. */\n" + (
        "\n".join(rules) + "\n"
    )


def _named(results: Path) -> str:
    """The folder of results as commands on the pages name it; an absolute path means nothing on other machines."""
    return "benchmarks/results" if results.is_absolute() else results.as_posix()


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
