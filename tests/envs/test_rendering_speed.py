"""The benchmark of the rendering runs, and its targets hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "speed" / "rendering.py"


@pytest.mark.slow
def test_tuned_rendering_is_cheap_and_looks_right(tmp_path: Path) -> None:
    out = tmp_path / "rendering.json"
    command = [sys.executable, str(BENCHMARK), "--json", str(out), "--episodes", "2", "--rounds", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    full, small = json.loads(out.read_text())["rendering"]
    assert full["size"] == [480, 640]
    assert full["speedup"] >= 5.0
    assert small["speedup"] >= 5.0
    for comparison in (full, small):
        assert min(comparison["tuned_psnr"].values()) >= 38.0
