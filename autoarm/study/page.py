"""The pages of a study: one list of blocks, written as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined

from autoarm.runtime.files import write_text
from autoarm.study.plan import Study

TEMPLATE: Final = "report.html"
HTML: Final = "report.html"
MARKDOWN: Final = "README.md"


@dataclass(frozen=True)
class Heading:
    """Level 2 or 3."""

    text: str
    level: int = 2
    kind: str = "heading"


@dataclass(frozen=True)
class Text:
    """A paragraph, perhaps after a verdict."""

    text: str
    answer: str = ""
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """Cells as text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A figure beside the page, and the data it shows."""

    path: str
    data: str
    alt: str
    kind: str = "picture"


@dataclass(frozen=True)
class Video:
    """A film beside the page."""

    path: str
    alt: str
    kind: str = "video"


Block = Heading | Text | Table | Picture | Video


def write_pages(folder: Path, study: Study, size: str, blocks: Sequence[Block]) -> Path:
    """Write `report.html` and `README.md`; returns the path of the first."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8"))
    head = {"title": study.title, "question": study.question, "name": study.name, "sha256": study.sha256, "size": size}
    write_text(folder / HTML, template.render(**head, blocks=blocks))
    write_text(folder / MARKDOWN, markdown(study, size, blocks))
    return folder / HTML


def markdown(study: Study, size: str, blocks: Sequence[Block]) -> str:
    """The same as text."""
    parts = [f"# {study.title}", study.question, f"Study `{study.name}`, content `{study.sha256[:16]}`; {size}."]
    return "\n\n".join([*parts, *map(_as_markdown, blocks)]) + "\n"


def _as_markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Text):
        return f"**{block.answer}.** {block.text}" if block.answer else block.text
    if isinstance(block, Video):
        return f"[{block.alt}]({block.path})"
    if isinstance(block, Picture):
        return f"![{block.alt}]({block.path})\n\n[Data]({block.data})"
    lines = [_line(block.columns), _line(["---"] * len(block.columns)), *map(_line, block.rows)]
    return "\n".join(([f"{block.caption}", ""] if block.caption else []) + lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
