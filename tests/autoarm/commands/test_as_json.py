"""What measuring commands print for programs is JSON, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoarm.cli import main
from autoarm.results.result import Result


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """The exit code of a command, and what it printed."""
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json"])
    return int(end.value.code or 0), json.loads(capsys.readouterr().out)


def test_eval_and_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "no-op.json"
    code, found = printed(capsys, "eval", "no-op", "--episodes", "2", "--time-limit", "5", "--out", str(out))
    assert code == 0
    assert found["overall"]["episodes"] == 2
    assert found["overall"]["rate"] == 0.0
    assert found["policy"] == "no-op"
    assert found["errors"] == []
    assert Result.load(Path(found["file"])).overall.episodes == 2
    code, found = printed(capsys, "verify", str(out))
    assert code == 0
    assert found["passed"] is True
    assert found["rows"] == found["total"] == 2
    assert found["mismatches"] == []


def test_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--suite", "five-spots-v2", "--axis", "yaw", "--episodes", "1", "--out", str(tmp_path / "bench.json")]
    code, found = printed(capsys, "bench", "no-op", *options)
    assert code == 0
    assert found["suite"] == "five-spots-v2"
    assert list(found["groups"]) == ["yaw"]
    assert list(found["levels"]) == ["yaw/15deg", "yaw/30deg", "yaw/45deg"]
