"""A study from beginning to end, on a policy that has learned nothing."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

from autoarm.study.films import film_study
from autoarm.study.plan import Effort, Study
from autoarm.study.report import CONCLUSIONS, CORRECTION, verdict_lines, write_study_report
from autoarm.study.rows import read_rows
from autoarm.study.run import Progress, read_study_rows, rows_path, run_study
from autoarm.study.stages import STAGES
from autoarm.study.verdicts import control_verdicts, verdicts
from autoarm.study.workspace import Workspace
from gym_autoarm.errors import InvalidFileError, InvalidInputError

pytestmark = pytest.mark.lengthy


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, tiny_study: Study, tiny_effort: Effort) -> Path:
    """Folder with the rows of all stages."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOARM_CACHE", str(folder / "cache"))
        return run_study(tiny_study, effort=tiny_effort, out=folder / "out", work=folder / "work")


def test_every_stage_measures_every_arm_it_is_meant_for(ran: Path, tiny_study: Study) -> None:
    rows = read_study_rows(ran, tiny_study)
    assert list(rows) == list(STAGES)
    for stage, found in rows.items():
        arms = {row.arm for row in found}
        assert "end-to-end" in arms
        assert ("untrained" in arms) == (STAGES[stage].covers in ("all", "everybody"))
        assert (set(tiny_study.controls) <= arms) == (STAGES[stage].covers == "everybody")
    # The sum of the parts is the whole, the inert part carries nothing, the whole encoder everything.
    assert max(row.value for row in rows["mechanism"] if row.metric == "split_error" and row.value is not None) < 1e-4
    betas = {
        row.at["part"]: row.value for row in rows["mechanism"] if row.metric == "beta" and row.at["place"] == "inside"
    }
    assert betas["all"] == pytest.approx(sum(betas[part] or 0 for part in ("skip", "mlp", "constant")), abs=1e-4)
    effects = {row.at["part"]: row.value for row in rows["tracing"] if row.at["layer"] == "decoder"}
    assert effects["self-attention"] == pytest.approx(0, abs=1e-6)
    assert effects["cross-attention"] == pytest.approx(1, abs=1e-4)


def test_every_criterion_finds_its_rows(ran: Path, tiny_study: Study) -> None:
    rows = read_study_rows(ran, tiny_study)
    found = [*verdicts(tiny_study, rows).values(), *control_verdicts(tiny_study, rows).values()]
    missing = [
        finding.measure.name for verdict in found for finding in verdict.findings if finding.reason == "not measured"
    ]
    # Parts that a small effort leaves out, and a share of a success that there was none of.
    assert set(missing) <= {"gain of the inert part", "success without the MLP's answer, at the spots"}


def test_one_seed_decides_nothing(ran: Path, tiny_study: Study) -> None:
    rows = read_study_rows(ran, tiny_study)
    assert {verdict.answer for verdict in verdicts(tiny_study, rows).values()} == {"undecided"}


def test_the_report_says_every_verdict_in_both_forms(ran: Path, tiny_study: Study) -> None:
    (ran / CONCLUSIONS).write_text("One.\n\nTwo\nlines.\n")
    (ran / CORRECTION).write_text("Not so.\n")
    page = write_study_report(tiny_study, ran)
    html, text = page.read_text(), (ran / "README.md").read_text()
    assert "Two lines." in html
    assert "One.\n\nTwo lines.\n" in text
    for name, hypothesis in tiny_study.hypotheses.items():
        for criterion in hypothesis.criteria:
            assert criterion.name in text
        assert f"{name}. {hypothesis.claim}" in text
    assert "undecided" in html
    # The split of beta was not measured of a policy that has learned nothing, so that H1 has no answer there.
    assert "\n| untrained | not measured | undecided |" in text
    for name in ("slopes", "slopes-by-policy", "beta-parts", "finetuning"):
        assert (ran / "figures" / f"{name}.csv").read_text().count("\n") > 1
        assert f"figures/{name}.png" in html
    assert [line.split()[:2] for line in verdict_lines(tiny_study, ran)] == [
        [name, "undecided:"] for name in tiny_study.hypotheses
    ]


def test_films_show_an_episode_before_and_after(ran: Path, tiny_study: Study, tiny_effort: Effort) -> None:
    films = film_study(tiny_study, effort=tiny_effort, out=ran, work=ran.parent / "work")
    assert [film.name for film in films] == [f"finetuning-{place}.mp4" for place in ("tuned", "old", "third")]
    for film in films:
        with av.open(str(film)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(frames) == tiny_effort.time_limit + 1
        left, right = np.split(frames[0][40:].astype(int), 2, axis=1)
        assert np.abs(left - right).mean() < 3  # from the same start
    page = write_study_report(tiny_study, ran)
    assert page.read_text().count("<video") == 3
    assert "](videos/finetuning-old.mp4)" in page.with_name("README.md").read_text()


def test_films_need_what_was_measured(ran: Path, tiny_study: Study, tiny_effort: Effort, tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match=r"finetune\.jsonl.*--stage finetune"):
        film_study(tiny_study, effort=tiny_effort, out=tmp_path, work=tmp_path)
    with pytest.raises(InvalidFileError, match="of seed 7 was not measured"):
        film_study(tiny_study, effort=tiny_effort, out=ran, work=ran.parent / "work", seed=7)


def test_who_needs_a_policy_that_is_being_trained_waits_for_it(
    tiny_study: Study, tiny_effort: Effort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def slowly(_dataset: Path, out: Path, *_: object, **__: object) -> Path:
        trained.append(out)
        time.sleep(0.5)
        for folder in ("state", "pretrained_model"):
            (out / folder).mkdir(parents=True)
        (out / "pretrained_model" / "model.safetensors").touch()
        return out / "pretrained_model"

    monkeypatch.setattr("autoarm.training.run.train", slowly)
    monkeypatch.setattr(Workspace, "dataset", lambda self, name: tmp_path / name)
    workspaces = [Workspace(tiny_study, tiny_effort, tmp_path) for _ in range(3)]
    with ThreadPoolExecutor() as pool:  # the lock is the file's, and does not know threads from processes
        found = set(pool.map(lambda workspace: workspace.checkpoint("untrained", 0), workspaces))
    assert found == {tmp_path / "policies/untrained-0/pretrained_model"}
    assert len(trained) == 1


def test_what_is_done_is_not_done_again(ran: Path, tiny_study: Study, tiny_effort: Effort) -> None:
    seen: list[Progress] = []
    before = rows_path(ran, "absorption").read_bytes()
    run_study(
        tiny_study,
        stages=["absorption", "behaviour"],
        effort=tiny_effort,
        out=ran,
        work=ran.parent / "nowhere",  # where there is neither data nor policy
        progress=seen.append,
    )
    assert rows_path(ran, "absorption").read_bytes() == before
    assert [now.stage for now in seen if not now.unit] == ["behaviour", "absorption"]


def test_rows_of_another_study_are_refused(ran: Path, tiny_study: Study, tiny_effort: Effort) -> None:
    other = tiny_study.model_copy(update={"version": 2})
    with pytest.raises(InvalidFileError, match="another study"):
        run_study(other, stages=["attention"], effort=tiny_effort, out=ran, work=ran.parent / "work")
    with pytest.raises(InvalidFileError, match="run the study again"):
        read_study_rows(ran, other)


def test_damaged_rows_name_the_file(ran: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    text = rows_path(ran, "attention").read_text()
    path.write_text(text + json.dumps({"metric": "x"}) + "\n")
    with pytest.raises(InvalidFileError, match=r"rows\.jsonl"):
        read_rows(path)


def test_arms_can_be_measured_one_by_one(ran: Path, tiny_study: Study, tiny_effort: Effort, tmp_path: Path) -> None:
    for arm in ("untrained", "end-to-end"):
        work = ran.parent / "work"
        run_study(tiny_study, stages=["attention"], arms=[arm], effort=tiny_effort, out=tmp_path, work=work)
    alone, together = (read_study_rows(folder, tiny_study)["attention"] for folder in (tmp_path, ran))
    assert alone[0].arm == "untrained"
    assert sorted(map(str, alone)) == sorted(map(str, together))


def test_unknown_stages_and_arms_are_named(tiny_study: Study) -> None:
    with pytest.raises(InvalidInputError, match="no stage 'dance'"):
        run_study(tiny_study, stages=["dance"])
    with pytest.raises(InvalidInputError, match="no arm 'leg'"):
        run_study(tiny_study, arms=["leg"])
