"""What the results of five-spots-v1 rest on is still there: arm, expert, streams, demonstrations, weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoarm.data.collect import collect
from autoarm.evaluation.verify import verify
from autoarm.policies.lookup import fingerprint
from autoarm.results.result import Result
from gym_autoarm.body_files import STIFF_BODY, load_body
from gym_autoarm.scene import Scene

RESULTS = Path(__file__).parents[3] / "benchmarks/results/five-spots-v1"


@pytest.mark.parametrize("name", ["expert", "no-op", "random"])
def test_rows_without_pictures_come_out_again(name: str) -> None:
    """On the arm of that time, with its streams and the expert that is planned for it."""
    assert not verify(RESULTS / f"{name}.json", sample=12).mismatches


@pytest.mark.slow
def test_rows_of_demonstrations_and_networks_come_out_again(tmp_path: Path) -> None:
    """Recorded anew, as `autoarm collect --scene.body so101 --order by-spot` does."""
    demonstrations = collect(tmp_path / "five-spots", order="by-spot", base=Scene(body=load_body(STIFF_BODY))).folder
    recorded = Result.load(RESULTS / "nearest.json").policy.config["dataset_sha256"]
    assert fingerprint(demonstrations) == recorded
    for name in ("nearest", "rbf", "position-fed", "nearest-state", "replay"):
        assert not verify(RESULTS / f"{name}.json", sample=6, dataset=demonstrations).mismatches, name
    for name in ("act-five-spots", "act-five-spots-pretrained"):
        # Pictures, and what a network makes of them, differ in the last digits from processor to processor.
        assert verify(RESULTS / f"{name}.json", sample=6).passed, name
