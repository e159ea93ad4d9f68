"""The benchmark of the serial line runs, and its target holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "speed" / "twin.py"


@pytest.mark.slow
def test_driver_makes_a_thousand_cycles_a_second(tmp_path: Path) -> None:
    out = tmp_path / "twin.json"
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--json", str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(out.read_text())
    assert measured["cycles_per_second"] >= 1000
    # 14 bytes asked, 6 times 8 answered, 26 commanded, ten microseconds each.
    assert measured["paced_cycles_per_second"] <= 1e5 / (14 + 6 * 8)
    assert measured["loop_late_median_ms"] < 3.0
