"""The pre-registration: what it must say, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoarm.study.plan import Effort, Study, load_study, study_names
from autoarm.study.report import verdict_lines
from autoarm.study.stages import STAGES, units
from autoarm.study.workspace import Workspace, spot_name
from autoarm.training.presets import CPU
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.sampling import spot_position

RESULTS = Path(__file__).parents[3] / "benchmarks/results/lookup-table-v1"


def write(study: Study, tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study.model_dump(mode="json") | changes))
    return path


def test_the_study_is_complete(lookup_table: Study) -> None:
    assert study_names() == ["lookup-table-v1"]
    assert list(lookup_table.hypotheses) == ["H1", "H2", "H3", "H4", "H5", "H6"]
    assert lookup_table.effort["full"].seeds >= 5
    for hypothesis in lookup_table.hypotheses.values():
        assert lookup_table.arms[hypothesis.arm].seeds >= lookup_table.least_seeds
        # Nothing that has seen labels of what is probed decides.
        assert lookup_table.arms[hypothesis.arm].backbone == "trained"
    assert {each.backbone for each in lookup_table.arms.values()} == {"trained", "pretrained", "untrained"}


def test_datasets_differ_in_spots_and_not_in_size(lookup_table: Study) -> None:
    recorded = {name: len(each.spots) * each.episodes_per_spot for name, each in lookup_table.datasets.items()}
    assert {arm.demonstrations or recorded[arm.dataset] for arm in lookup_table.arms.values()} == {50}
    assert {len(each.spots) for each in lookup_table.datasets.values()} == {2, 5, 10, 20}


def test_the_reference_policies_are_of_the_same_data_and_recipe(lookup_table: Study, tmp_path: Path) -> None:
    full = Workspace(lookup_table, lookup_table.effort["full"], tmp_path)
    assert [spot_name(point) for point in lookup_table.datasets["spots-5"].spots] == list(spec.SPOTS)
    assert lookup_table.datasets["spots-5"].seed == 0
    assert full.config("end-to-end", 3) == replace(CPU, seed=3)


def test_an_arm_may_learn_from_fewer_in_fewer_steps_and_hide_the_state(lookup_table: Study, tmp_path: Path) -> None:
    full = Workspace(lookup_table, lookup_table.effort["full"], tmp_path)
    assert full.config("twenty-spots", 0).demonstrations == 50
    assert full.config("state-hidden", 0).augmentation.state_dropout == 0.5
    assert [phase.steps for phase in full.config("pretrained", 0).phases] == [CPU.phases[0].steps, 1200]


def test_positions_are_held_out(lookup_table: Study) -> None:
    for name, dataset in lookup_table.datasets.items():
        for (x, y), _ in lookup_table.held_out(name):
            assert min((x - a) ** 2 + (y - b) ** 2 for a, b in dataset.spots) ** 0.5 >= lookup_table.clearance
    places = [place for _, place in lookup_table.held_out("spots-5")]
    assert places == ["inside"] * 12 + ["outside"] * 16
    assert {place for _, place in lookup_table.held_out("spots-2")} == {"outside"}


def test_spots_reach_the_recorder(lookup_table: Study) -> None:
    for dataset in lookup_table.datasets.values():
        for point in dataset.spots:
            assert spot_position(spot_name(point)) == point


def test_units_are_distinct_and_seed_by_seed(lookup_table: Study, tmp_path: Path) -> None:
    workspace = Workspace(lookup_table, lookup_table.effort["full"], tmp_path)
    for stage in STAGES:
        names = [unit.name for unit in units(workspace, stage)]
        assert names
        assert len(set(names)) == len(names)
    trained = [(unit.seed, unit.recipe) for unit in units(workspace, "train")]
    assert trained == sorted(trained, key=lambda pair: pair[0])
    assert len(trained) == sum(arm.seeds for arm in lookup_table.arms.values())


def test_every_criterion_asks_a_stage_that_measures_its_arm(lookup_table: Study, tmp_path: Path) -> None:
    workspace = Workspace(lookup_table, lookup_table.effort["full"], tmp_path)
    for hypothesis in lookup_table.hypotheses.values():
        for criterion in hypothesis.criteria:
            assert hypothesis.arm in {unit.recipe for unit in units(workspace, criterion.stage)}


def test_the_digest_is_of_the_content(lookup_table: Study, tmp_path: Path) -> None:
    assert load_study(write(lookup_table, tmp_path)).sha256 == lookup_table.sha256
    assert load_study(write(lookup_table, tmp_path, clearance=0.014)).sha256 != lookup_table.sha256


def test_the_committed_rows_still_belong_to_the_study_and_give_its_report(lookup_table: Study) -> None:
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    for line in verdict_lines(lookup_table, RESULTS):
        name, answer, why = line.split(" ", 2)
        assert f"**{answer.removesuffix(':')}.** {name}. {why}" in text


def test_a_new_study_names_no_resampling(lookup_table: Study, tmp_path: Path) -> None:
    data = lookup_table.model_dump(mode="json")
    del data["resamples"]
    file = tmp_path / "new.yaml"
    file.write_text(yaml.safe_dump(data))
    assert load_study(file).resamples is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour"),
        ({"positions": {"inside": [[0.9, 0.0]], "outside": [[0.26, -0.03]]}}, "work area"),
        ({"positions": {"inside": [[0.26, -0.03]], "outside": [[0.155, -0.04]]}}, "does not lie inside"),
        ({"effort": {}}, "'full' and 'quick'"),
        ({"least_seeds": 1}, "least_seeds"),
    ],
)
def test_mistakes_are_named(lookup_table: Study, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFileError, match=message):
        load_study(write(lookup_table, tmp_path, **changes))


def test_thresholds_must_lie_apart(lookup_table: Study, tmp_path: Path) -> None:
    data = lookup_table.model_dump(mode="json")
    data["hypotheses"]["H4"]["criteria"][0]["refuted"] = {"at_least": 0.1, "at_most": None}
    with pytest.raises(InvalidFileError, match="must lie apart"):
        load_study(write(lookup_table, tmp_path, hypotheses=data["hypotheses"]))


def test_unknown_studies_are_named() -> None:
    with pytest.raises(InvalidInputError, match="no study 'everything'"):
        load_study("everything")


def test_effort_scales_the_demonstrations(lookup_table: Study, tiny_effort: Effort, tmp_path: Path) -> None:
    full = Workspace(lookup_table, lookup_table.effort["full"], tmp_path)
    assert full.demonstrations("spots-5").episodes_per_spot == 10
    assert full.demonstrations("finetuning").episodes_per_spot == 10
    assert Workspace(lookup_table, tiny_effort, tmp_path).demonstrations("spots-5").episodes_per_spot == 1


def test_a_place_that_is_no_spot_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="x:y"):
        spot_position("0.2;0.05")
