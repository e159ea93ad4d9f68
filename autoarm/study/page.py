"""The two pages of a study, `report.html` and `README.md`, from one list of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from autoarm.pages.blocks import Block, as_markdown
from autoarm.pages.templates import templates
from autoarm.runtime.files import write_text
from autoarm.study.plan import Study

HTML: Final = "report.html"
MARKDOWN: Final = "README.md"


def write_pages(folder: Path, study: Study, size: str, blocks: Sequence[Block]) -> Path:
    """Write `report.html` and `README.md`; returns the path of the first."""
    template = templates(__package__).get_template("report.html")
    head = {"title": study.title, "question": study.question, "name": study.name, "sha256": study.sha256, "size": size}
    write_text(folder / HTML, template.render(**head, blocks=blocks))
    write_text(folder / MARKDOWN, markdown(study, size, blocks))
    return folder / HTML


def markdown(study: Study, size: str, blocks: Sequence[Block]) -> str:
    """The whole page as Markdown."""
    parts = [f"# {study.title}", study.question, f"Study `{study.name}`, content `{study.sha256[:16]}`; {size}."]
    return "\n\n".join([*parts, *map(as_markdown, blocks)]) + "\n"
