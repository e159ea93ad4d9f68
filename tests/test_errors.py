"""Every error about a file says what to do about it."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("autoarm", "envs", "hardware") for path in (ROOT / folder).rglob("*.py"))
OF_FILES = {"InvalidFileError", "CameraError", "LateError", "MissingDependencyError", "RenderingError"}


def _without_cure(path: Path) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [
        f"line {call.lineno}: {ast.unparse(call)[:80]}"
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id in OF_FILES
        and not any(keyword.arg in ("cure", None) for keyword in call.keywords)
    ]


def test_errors_have_a_cure() -> None:
    assert len(SOURCES) > 100
    found = {str(path.relative_to(ROOT)): _without_cure(path) for path in SOURCES}
    assert {path: lines for path, lines in found.items() if lines} == {}
