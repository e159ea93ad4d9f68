"""What benchmarks/speed/full_size.py does on a GPU runs on a CPU as well, at toy size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/speed/full_size.py"


@pytest.mark.slow
def test_a_toy_run_goes_from_recording_to_a_table_and_goes_on_where_it_was_left(tmp_path: Path) -> None:
    out = tmp_path / "full-size"
    toy = ["--episodes-per-spot", "1", "--image-size", "96", "128", "--fast-steps", "2", "3", "--full-steps", "2"]
    command = [sys.executable, str(SCRIPT), "--out", str(out), *toy, "--batch-size", "2", "--episodes", "5"]
    options = ["--workers", "2", "--device", "cpu"]

    def run() -> str:
        return subprocess.run([*command, *options], check=True, capture_output=True, text=True, timeout=900).stdout

    first = run()
    numbers = json.loads((out / "full-size.json").read_text())
    assert set(numbers["seconds"]) == {"recording", "training", "evaluation"}
    assert all(seconds > 0 for seconds in numbers["seconds"].values())
    assert len(numbers["full_fast_samples_per_second"]) == 2
    assert len(numbers["full_samples_per_second"]) == 1
    assert 0 <= numbers["successes"] <= numbers["episodes"] == 5
    table = (out / "full-size.md").read_text()
    assert table in first
    assert f"| success at the spots | {numbers['successes']} of 5 |" in table
    assert "not in this call" not in table

    weights = (out / "full-fast/pretrained_model/model.safetensors").read_bytes()
    again = run()
    assert "| recording the demonstrations | there already |" in again
    assert (out / "full-fast/pretrained_model/model.safetensors").read_bytes() == weights
    assert json.loads((out / "full-size.json").read_text())["successes"] == numbers["successes"]
