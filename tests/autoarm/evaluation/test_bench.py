"""A run of a suite: resumed, edited, broken, on several processes; and verified."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from autoarm.cli import main
from autoarm.commands.bench import bench_table
from autoarm.commands.verify import report
from autoarm.evaluation.bench import bench
from autoarm.evaluation.engine import Progress
from autoarm.evaluation.film_result import film_result
from autoarm.evaluation.verify import SIGNIFICANCE, choose_rows, verify
from autoarm.policies.scripted import ExpertPolicy
from autoarm.results.journal import Journal, journal_path
from autoarm.results.result import EpisodeRow, Result
from autoarm.statistics import mcnemar_exact
from autoarm.suite.draw import plan_suite
from gym_autoarm.errors import AutoArmError, InvalidFileError, InvalidInputError
from gym_autoarm.rng import stream

OWN = """
from autoarm.policies.scripted import ExpertPolicy

class Own(ExpertPolicy):
    name = "own"

    def plan(self, observation, info, seed):
        if seed % 2:
            raise RuntimeError("odd seeds are beyond me")
        return super().plan(observation, info, seed)
"""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, small_file: Path) -> Path:
    """A finished result of the expert. Not to be changed: copy it."""
    out = tmp_path_factory.mktemp("first") / "expert.json"
    bench("expert", small_file, size="quick", out=out, command=["autoarm", "bench"])
    return out


def content(path: Path) -> dict[str, Any]:
    return {**json.loads(path.read_text()), "seconds": None}


def edited(path: Path, change: Callable[[dict[str, Any]], None], reseal: bool, target: Path) -> Path:
    data = json.loads(path.read_text())
    change(data)
    if reseal:
        Result.model_validate(data).save(target)
    else:
        target.write_text(json.dumps(data))
    return target


# -- Running -----------------------------------------------------------------------------------------------------------


def test_the_result_holds_the_suite_and_its_rows(first, small):
    result = Result.load(first)
    counts = small.counts("quick", None)
    assert [row.key for row in result.rows] == [each.key for each in plan_suite(small, counts)]
    assert list(result.groups) == ["still", "far"]
    assert list(result.levels) == ["far/near", "far/far"]
    record = result.setting.suite
    assert record is not None
    assert (record.name, record.size, record.sha256) == ("small-v1", "quick", small.sha256)
    assert record.axes["far"].unit == "cm"
    assert {name: level.value for name, level in record.axes["far"].levels.items()} == {"near": 1, "far": 3}
    assert result.overall.successes == 3
    assert all(row.failure is None and row.jerk is not None and row.jerk > 0 for row in result.rows)
    assert list(first.parent.iterdir()) == [first]


class Interrupted(Exception):
    pass


def stop_after(rows: int) -> Callable[[Progress], None]:
    seen = 0

    def progress(done: Progress) -> None:
        nonlocal seen
        seen += done.row is not None
        if seen == rows:
            raise Interrupted

    return progress


@pytest.mark.parametrize("torn", [False, True])
def test_an_interrupted_run_goes_on_and_ends_the_same(first, small_file, tmp_path, torn):
    out = tmp_path / "expert.json"
    settings: dict[str, Any] = {"size": "quick", "out": out, "command": ["autoarm", "bench"]}
    with pytest.raises(Interrupted):
        bench("expert", small_file, **settings, progress=stop_after(2))
    journal = journal_path(out)
    assert list(tmp_path.iterdir()) == [journal]
    if torn:
        text = journal.read_text()
        journal.write_text(text[: len(text) - 40])  # killed in the middle of a line
    steps: list[Progress] = []
    bench("expert", small_file, **settings, progress=steps.append)
    assert [step.done for step in steps] == ([1, 2, 3] if torn else [2, 3])
    assert content(out) == content(first)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("policy", "changes", "said"),
    [
        ("no-op", {}, "policy.name was 'expert' and is now 'no-op'"),
        ("expert", {"size": "standard"}, "setting.episodes was '3' and is now '6'"),
        ("expert", {"image_size": (64, 64)}, "setting.image_size"),
    ],
)
def test_a_journal_of_another_run_is_left_alone(small_file, tmp_path, policy, changes, said):
    out = tmp_path / "out.json"
    with pytest.raises(Interrupted):
        bench("expert", small_file, size="quick", out=out, progress=stop_after(1))
    before = journal_path(out).read_text()
    with pytest.raises(InvalidFileError) as caught:
        bench(policy, small_file, **{"size": "quick", "out": out, **changes})
    assert said in str(caught.value)
    assert journal_path(out).read_text() == before


@pytest.mark.parametrize(("line", "text"), [(0, "{}"), (1, '{"seconds": 1}')])
def test_a_damaged_journal_is_named_with_its_line(small_file, tmp_path, line, text):
    out = tmp_path / "out.json"
    with pytest.raises(Interrupted):
        bench("no-op", small_file, size="quick", out=out, progress=stop_after(2))
    journal = journal_path(out)
    lines = journal.read_text().splitlines()
    lines[line] = text
    journal.write_text("\n".join(lines) + "\n")
    with pytest.raises(InvalidFileError) as caught:
        bench("no-op", small_file, size="quick", out=out)
    assert (caught.value.file, caught.value.field) == (str(journal), f"line {line + 1}")


def test_a_full_disk_is_said_and_costs_no_row(small_file, tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    add = Journal.add

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def once_more(self: Journal, row: EpisodeRow, seconds: float) -> None:
        if len(self.rows) == 1:
            monkeypatch.setattr(os, "fsync", full)
        add(self, row, seconds)

    monkeypatch.setattr(Journal, "add", once_more)
    with pytest.raises(InvalidFileError, match="No space left on device") as caught:
        bench("no-op", small_file, size="quick", out=out)
    assert "make room" in str(caught.value)
    monkeypatch.undo()
    assert not out.exists()
    assert len(bench("no-op", small_file, size="quick", out=out).rows) == 3


@pytest.mark.parametrize(
    ("reply", "said"),
    [(np.full((5, 6), np.nan), "not a finite number"), (np.zeros((5, 7)), "(5, 7)"), (RuntimeError("lost"), "lost")],
)
def test_a_policy_that_breaks_gets_its_rows_and_the_run_goes_on(small, reply, said):
    class Broken(ExpertPolicy):
        def act(self, observation, info):
            if isinstance(reply, Exception):
                raise reply
            return reply

    result = bench(Broken(), small, size="quick")
    assert len(result.rows) == 3
    assert all(row.failure == "error" and said in (row.error or "") for row in result.rows)


@pytest.mark.lengthy
def test_processes_and_sizes_change_no_row(small_file, tmp_path, monkeypatch):
    (tmp_path / "own_policy.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    here = bench("own_policy:Own", small_file, size="standard")
    there = bench("own_policy:Own", small_file, size="standard", workers=2)
    assert there.rows == here.rows
    assert {row.failure for row in here.rows} == {None, "error"}
    few = bench("own_policy:Own", small_file, episodes=1, axes=["far"])
    assert few.setting.suite is not None
    assert few.setting.suite.size == "custom"
    assert few.rows == [row for row in here.rows if row.group == "far" and row.index == 0]


def test_the_first_success_and_failure_of_each_axis_are_filmed(small, tmp_path, monkeypatch):
    filmed = {}

    def film(path: Path, scene: object, actions: Any, text: str) -> None:
        filmed[path.relative_to(tmp_path).as_posix()] = (len(actions), text)

    monkeypatch.setattr("autoarm.evaluation.engine.film", film)

    class Sometimes(ExpertPolicy):
        def plan(self, observation, info, seed):
            plan = super().plan(observation, info, seed)
            return plan if info["cube_pose"][1] > 0.05 else plan[:30]

    result = bench(Sometimes(), small, size="standard", out=tmp_path / "some.json", videos=True)
    shown = {row.video: row for row in result.rows if row.video}
    assert set(shown) == set(filmed)
    assert {(row.group, row.success) for row in shown.values()} == {(r.group, r.success) for r in result.rows}
    for path, (steps, text) in filmed.items():
        assert path.startswith("some/")
        assert steps == shown[path].steps
        assert ("success" in text) is shown[path].success


def test_a_result_is_filmed_afterwards(first, small_file, tmp_path, monkeypatch):
    made = []

    def film(path: Path, *_: object) -> None:
        path.parent.mkdir(exist_ok=True)
        path.touch()
        made.append(path)

    monkeypatch.setattr("autoarm.evaluation.engine.film", film)
    before, file = Result.load(first), tmp_path / "expert.json"
    shutil.copy(first, file)
    assert film_result(file, suite=small_file, axes=["far"]) == made == [tmp_path / "expert" / "far-success.mp4"]
    after = Result.load(file)
    assert [row.video for row in after.rows if row.video] == ["expert/far-success.mp4"]
    assert [row.model_copy(update={"video": None}) for row in after.rows] == before.rows
    assert verify(file, suite=small_file).passed
    with pytest.raises(InvalidInputError, match="dark"):
        film_result(file, suite=small_file, axes=["dark"])


def test_a_film_that_shows_another_end_than_its_row_is_thrown_away(first, small_file, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "autoarm.evaluation.engine.film", lambda path, *_: (path.parent.mkdir(exist_ok=True), path.touch())
    )
    data = Result.load(first)
    changed = [data.rows[0].model_copy(update={"success": False, "failure": "dropped"}), *data.rows[1:]]
    file = tmp_path / "edited.json"
    Result.from_rows(data.policy, data.setting, data.platform, changed, data.seconds).save(file)
    kept = film_result(file, suite=small_file)
    assert [row.key for row in Result.load(file).rows if row.video] == [data.rows[1].key]
    assert kept == list((tmp_path / "edited").iterdir())


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"episodes": 0}, {"axes": ["dark"]}, {"videos": True}, {"suite": "none"}]
)
def test_settings_that_make_no_sense_are_refused_before_anything_runs(small_file, wrong):
    with pytest.raises(InvalidInputError):
        bench("expert", **{"suite": small_file, "size": "quick", **wrong})


def test_the_table_has_a_line_for_every_axis_and_level(first):
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(bench_table(Result.load(first)))
    text = console.export_text()
    for word in ("Still", "Far", "near", "far", "3/3", "100%", "44% to 100%"):
        assert word in text


# -- Verifying ---------------------------------------------------------------------------------------------------------


def test_a_result_verifies_where_it_was_made(first, small_file):
    found = verify(first, suite=small_file)
    assert found.passed
    assert found.same_platform
    assert (found.rows, found.total, found.mismatches) == (3, 3, ())
    assert verify(first, suite=small_file, sample=1, seed=3).rows == 1


def success_to_failure(data: dict[str, Any]) -> None:
    data["rows"][1].update(success=False, stage="lift", failure="dropped")


def edit_steps(data: dict[str, Any]) -> None:
    data["rows"][2]["steps"] -= 1


def test_an_edited_row_is_caught_by_the_digest(first, tmp_path):
    file = edited(first, edit_steps, False, tmp_path / "edited.json")
    with pytest.raises(InvalidFileError) as caught:
        verify(file)
    assert caught.value.field == "digest"


def test_an_edited_row_with_a_new_digest_is_caught_by_running_it(first, small_file, tmp_path):
    file = edited(first, edit_steps, True, tmp_path / "edited.json")
    found = verify(file, suite=small_file)
    assert not found.passed
    (mismatch,) = found.mismatches
    assert (mismatch.row, mismatch.field, mismatch.recorded + 1) == ("far/far/0", "steps", mismatch.found)
    assert any("far/far/0: steps" in line for line in report(found))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (success_to_failure, "overall"),
        (lambda data: data["rows"].pop(), "rows"),
        (lambda data: data["rows"].reverse(), "rows.0"),
        (lambda data: data["rows"][0].update(seed=5), "rows.0"),
        (lambda data: data["rows"][0]["scene"].update(surface="mat"), "rows.0.scene"),
        (lambda data: data["setting"]["suite"].update(sha256="0" * 64), "setting.suite.sha256"),
        (lambda data: data["setting"]["suite"]["axes"].pop("far"), "rows"),
        (lambda data: data["setting"]["suite"]["axes"]["far"].update(title="Near"), "setting.suite"),
        (lambda data: data["policy"].update(sha256="0" * 64), "policy"),
        (lambda data: data["policy"]["config"].update(dataset_sha256="0" * 64), "dataset"),
        (lambda data: data["policy"].update(name="lost", path="/nowhere"), "policy"),
    ],
)
def test_what_does_not_fit_together_is_found_before_anything_runs(first, small_file, tmp_path, change, field):
    file = edited(first, change, True, tmp_path / "edited.json")
    with pytest.raises(AutoArmError) as caught:
        verify(file, suite=small_file)
    assert caught.value.field == field


def test_on_another_platform_success_must_agree(first, small_file, tmp_path):
    def elsewhere(data: dict[str, Any]) -> None:
        data["platform"]["machine"] = "another"
        edit_steps(data)

    found = verify(edited(first, elsewhere, True, tmp_path / "elsewhere.json"), suite=small_file)
    assert not found.same_platform
    assert found.passed  # 3 of 3 again, though a row differs
    assert any(change.startswith("machine: another") for change in found.platform_changes)
    assert found.mismatches
    worse = replace(found, paired=mcnemar_exact([True] * 6, [False] * 6))
    assert not worse.passed
    assert report(worse)[-1] == "NOT verified"


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("episodes", [20, 100, 765])
@pytest.mark.parametrize("shared", [0.0, 0.7])
def test_an_honest_repeat_on_another_platform_hardly_ever_fails(rate, episodes, shared):
    """Both platforms have the same success; on `shared` of the episodes they also have the same outcome."""
    rng = stream(0, "honest repeats", episodes)
    failures = 0
    for _ in range(1000):
        recorded = rng.random(episodes) < rate
        found = np.where(rng.random(episodes) < shared, recorded, rng.random(episodes) < rate)
        failures += mcnemar_exact(recorded, found).p_value < SIGNIFICANCE
    assert failures <= 66  # 50 are allowed on average, and 66 are exceeded by chance once in a hundred


@pytest.mark.parametrize(
    ("episodes", "before", "now", "expected"),
    [(100, 0.9, 0.6, 0.95), (765, 0.8, 0.6, 0.99), (765, 0.6, 0.4, 0.99)],  # 765 rows are the suite's standard size
)
def test_a_policy_that_succeeds_much_less_than_recorded_fails(episodes, before, now, expected):
    rng = stream(0, "dishonest results")
    caught = [
        mcnemar_exact(rng.random(episodes) < before, rng.random(episodes) < now).p_value < SIGNIFICANCE
        for _ in range(200)
    ]
    assert np.mean(caught) >= expected


def test_a_result_of_eval_verifies_too(tmp_path):
    from autoarm.evaluation.evaluate import evaluate

    out = tmp_path / "no-op.json"
    evaluate("no-op", episodes=3, time_limit=5).save(out)
    assert verify(out).passed


def test_a_sample_is_the_same_every_time_and_another_for_another_seed():
    assert choose_rows(100, 10, 0) == choose_rows(100, 10, 0) != choose_rows(100, 10, 1)
    assert choose_rows(4, None, 0) == choose_rows(4, 9, 0) == [0, 1, 2, 3]


# -- The command line --------------------------------------------------------------------------------------------------


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


def test_bench_and_verify_from_the_command_line(first, small_file, tmp_path, capsys):
    out = tmp_path / "expert.json"
    assert run("bench", "expert", "--suite", small_file, "--size", "quick", "--axis", "far", "--out", out) == 0
    assert Result.load(out).rows == [row for row in Result.load(first).rows if row.group == "far"]
    assert "2/2" in capsys.readouterr().out
    assert run("verify", out, "--suite", small_file) == 0
    assert "2 of 2 rows identical" in capsys.readouterr().out
    edited(out, lambda data: data["rows"][0].update(jerk=1.0), True, out)
    assert run("verify", out, "--suite", small_file) == 1
    assert "jerk was 1.0" in capsys.readouterr().out
    assert run("verify", tmp_path / "missing.json") == 2
    assert run("bench", "exprt", "--suite", small_file, "--out", tmp_path / "new.json") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expert.json"]


def test_an_interruption_says_where_the_rows_are(small_file, tmp_path, capsys, monkeypatch):
    def interrupted(self: object, row: EpisodeRow, seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "add", interrupted)
    out = tmp_path / "expert.json"
    assert run("bench", "no-op", "--suite", small_file, "--size", "quick", "--out", out) == 130
    assert journal_path(out).name in "".join(capsys.readouterr().err.split())
