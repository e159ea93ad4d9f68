"""How commands end: with a code that scripts can rely on, and a hint for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoarm import cli
from autoarm.commands.next_step import next_step

CLUELESS = """
class Clueless:
    name = "clueless"
    needs_images = False

    def reset(self, seed, info):
        pass

    def act(self, observation, info):
        raise RuntimeError("no idea")
"""


@pytest.mark.parametrize(
    "measure", [["eval", "--episodes", "2"], ["bench", "--episodes", "1", "--axis", "yaw"]], ids=["eval", "bench"]
)
def test_an_episode_whose_policy_raises_is_a_row_and_an_exit_code(
    measure: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clueless_policy.py").write_text(CLUELESS)
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "result.json"
    command, *options = measure
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "clueless_policy:Clueless", *options, "--out", str(out)])
    assert stopped.value.code == 1
    rows = json.loads(out.read_text())["rows"]
    assert {row["error"] for row in rows} == {"RuntimeError: no idea"}
    assert "RuntimeError: no idea" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "no-op", *options, "--out", str(tmp_path / "other.json")])
    assert stopped.value.code == 0  # failing at the task is no fault


def test_people_are_told_what_comes_next_and_log_files_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    next_step("train", Path("my data"), "--out", "outputs/act")
    assert not capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    next_step("train", Path("my data"), "--out", "outputs/act")
    assert capsys.readouterr().err == "next: autoarm train 'my data' --out outputs/act\n"
