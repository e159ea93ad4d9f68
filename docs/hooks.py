"""What MkDocs does besides: README and CONTRIBUTING become pages, and links out of docs/ become names of files.

On a code host these pages link to results, suites and cards beside them in the checkout, which the site does not carry.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parents[1]
_PAGES: Final = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md"}
_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie at the root of the checkout, and the pictures that pages outside of docs/ show."""
    for page, source in _PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        text = text.replace("](docs/", "](").replace("](CONTRIBUTING.md", "](contributing.md")
        files.append(File.generated(config, page, content=text))
    for page in [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]:
        for is_picture, _, target in _LINK.findall(page.read_text(encoding="utf-8")):
            outside = _outside(page.parent, target)
            if is_picture and outside is not None and files.get_file_from_path(_copied(outside)) is None:
                files.append(File.generated(config, _copied(outside), abs_src_path=str(ROOT / outside)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Say which file of the checkout is meant, where a link leads out of docs/."""
    folder = ROOT if page.file.src_uri in _PAGES else (ROOT / "docs")

    def replace(found: re.Match[str]) -> str:
        is_picture, text, target = found.groups()
        outside = _outside(folder, target)
        if outside is None:
            return found.group(0)
        if is_picture:
            return f"![{text}]({_copied(outside)})"
        return text if text.strip("`") == outside else f"{text} (`{outside}` in the repository)"

    return _LINK.sub(replace, markdown)


def _outside(folder: Path, target: str) -> str | None:
    """The path in the checkout of a link's target that the site does not carry; None for all other links."""
    if re.match(r"[a-z]+:|#", target):
        return None
    path = (folder / target.partition("#")[0]).resolve()
    if not path.exists() or not path.is_relative_to(ROOT):
        return None
    if path.is_relative_to(ROOT / "docs") and path.is_file():
        return None
    return path.relative_to(ROOT).as_posix()


def _copied(path: str) -> str:
    return f"images/{path.replace('/', '-')}"
