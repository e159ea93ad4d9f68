"""Blocks that a page is made of: a template shows them as HTML, `as_markdown` as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A heading of level 2 or 3."""

    text: str
    level: int = 2
    kind: str = "heading"


@dataclass(frozen=True)
class Text:
    """A paragraph; one that states a verdict begins with it (`answer`)."""

    text: str
    answer: str = ""
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """A table whose cells are text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A figure, and a file with the data that it shows; both paths are relative to the page."""

    path: str
    data: str
    alt: str
    kind: str = "picture"


@dataclass(frozen=True)
class Video:
    """A video; its path is relative to the page."""

    path: str
    alt: str
    kind: str = "video"


Block = Heading | Text | Table | Picture | Video


def as_markdown(block: Block) -> str:
    """A block as Markdown, without an empty line at its end."""
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
