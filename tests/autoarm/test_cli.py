"""The command line as its users meet it: in a process of its own."""

from __future__ import annotations

import inspect
import os
import pty
import resource
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import pytest

from autoarm import cli
from autoarm.commands.doctor import Doctor
from gym_autoarm.errors import InvalidInputError

COMMANDS = [
    *("demo", "collect", "restage", "pretrain", "distil", "train", "finetune", "eval", "bench", "verify"),
    *("compare", "film", "leaderboard"),
    *("interp", "study", "twin-check", "replay", "doctor", "align", "teleop", "park", "release", "twin"),
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autoarm.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def seconds(command: list[str]) -> tuple[float, float]:
    """Time on the clock and on the processor; the median of three runs each."""
    clock, processor = [], []
    for _ in range(3):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        clock.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(clock), statistics.median(processor)


def test_help_appears_within_a_second() -> None:
    subprocess.run([sys.executable, "-c", "import autoarm.cli"], check=True)  # compiles what was never compiled
    clock, processor = seconds([sys.executable, "-m", "autoarm.cli", "--help"])
    bare, _ = seconds([sys.executable, "-c", "pass"])
    assert processor < 1.0
    # A bare interpreter takes some 30 ms; where it takes longer, the machine is busy with something else.
    assert clock < max(1.0, 30 * bare)


HEAVY = {"torch", "lerobot", "mujoco", "scipy", "matplotlib", "pandas", "sklearn", "cv2", "av"}


@pytest.mark.parametrize(
    ("arguments", "heavy"), [(["--help"], HEAVY | {"numpy", "gymnasium"}), (["eval", "--help"], HEAVY)]
)
def test_help_imports_nothing_heavy(arguments: list[str], heavy: set[str]) -> None:
    code = (
        "import sys\n"
        "from autoarm.cli import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "except SystemExit:\n"
        "    print('IMPORTED', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert {"IMPORTED", "autoarm", "tyro"} <= imported
    assert not heavy & imported


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "nowhere", "--out", "run"], "nowhere: there is no such folder (record one with `autoarm collect`)"),
        (["train", "nowhere", "there", "--out", "run"], "nowhere: there is no such folder"),
        (["train", "--out", "run"], "dataset: there is none (name a dataset's folder, or several)"),
        (["distil", "nowhere", "--out", "backbone"], "nowhere: there is no such folder"),
        (["restage", "nowhere", "--out", "again"], "nowhere: there is no such folder"),
        (["replay", "nowhere"], "nowhere: there is no such folder"),
        (["bench", "nearest", "--dataset", "nowhere", "--out", "r.json"], "nowhere: there is no such folder"),
        (["eval", "runs/nowhere"], "policy: there is no folder 'runs/nowhere' (name the folder of a checkpoint)"),
        (["eval", "blind:runs/nowhere"], "policy: there is no folder 'runs/nowhere'"),
        (["bench", "neares", "--out", "r.json"], "policy: there is no policy 'neares' (did you mean 'nearest'?"),
        (["finetune", "act-five-spot", "nowhere", "--out", "x"], "(did you mean 'act-five-spots'?"),
        (["interp", "report", "act-five-spots", "nowhere"], "nowhere: there is no such folder"),
        (["interp", "sites", "act"], "policy: there is no policy 'act'"),
        (["compare", "a.json", "b.json"], "a.json: there is no such file (name a file that `autoarm eval --out`"),
        (["verify", "a.json"], "a.json: there is no such file"),
        (["film", "a.json"], "a.json: there is no such file"),
        (["colect", "--out", "x"], "there is no command 'colect' (did you mean 'collect'? choose from demo, "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_name_is_said_before_anything_heavy_is_imported(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = (
        "import sys\n"
        "from autoarm.cli import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "except SystemExit as stopped:\n"
        "    print(stopped.code, *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    exit_code, *imported = done.stdout.split()
    assert exit_code == "2"
    assert done.stderr.startswith("autoarm: error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not HEAVY & set(imported)
    assert not list(tmp_path.iterdir())


def test_it_says_its_version_and_runs_as_a_module() -> None:
    assert run("--version").stdout == f"autoarm {version('autoarm')}\n"
    command = [sys.executable, "-m", "autoarm", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == run("--version").stdout


def test_no_colour_in_a_terminal_that_wants_none() -> None:
    def shown(environment: dict[str, str]) -> bytes:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "autoarm", "--help"]
        with subprocess.Popen(command, stdout=theirs, env={**os.environ, "TERM": "xterm", **environment}):
            os.close(theirs)
            text = b""
            with suppress(OSError):  # how a terminal says that nobody writes any more
                while part := os.read(ours, 4096):
                    text += part
        os.close(ours)
        return text

    assert b"\x1b[" in shown({"NO_COLOR": ""})
    assert b"\x1b[" not in shown({"NO_COLOR": "1"})


def test_help_lists_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"• {command}" in done.stdout


def test_a_command_is_summed_up_by_its_first_sentence() -> None:
    assert list(cli.COMMANDS) == COMMANDS
    for entry in cli.COMMANDS.values():
        docstring = inspect.getdoc(entry.load())
        assert docstring is not None
        assert " ".join(docstring.split("\n\n")[0].split()) == entry.summary


def test_a_command_may_be_written_with_an_underscore() -> None:
    assert run("twin_check", "--help").stdout == run("twin-check", "--help").stdout != ""


def test_completions_know_every_option() -> None:
    script = run("--tyro-print-completion", "bash").stdout
    for option in ("--episodes-per-spot", "--state-dropout", "--incidents", "--trajectory"):
        assert option in script


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    assert f"Example: autoarm {command}" in " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["doctor", "--colour"], ["eval"], ["eval", "expert", "--episodes", "many"], ["collect", "--spots"]],
    ids=lambda arguments: " ".join(arguments) or "nothing",
)
def test_bad_command_lines_are_refused(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_our_errors_are_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: Doctor) -> int:
        raise InvalidInputError("there is no spot 'attic'", field="spot", cure="choose another")

    monkeypatch.setattr(Doctor, "run", fail)
    with pytest.raises(SystemExit) as caught:
        cli.main(["doctor"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "autoarm: error: spot: there is no spot 'attic' (choose another)\n"


@pytest.mark.parametrize("arguments", [["--debug", "verify", "a.json"], ["verify", "a.json", "--debug"]])
def test_where_an_error_arose_is_shown_to_whoever_asks(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    *above, last = capsys.readouterr().err.splitlines()
    assert above[0].startswith("Traceback")
    assert last.startswith("autoarm: error: a.json: there is no such file")


@pytest.mark.parametrize(("outcome", "code"), [(0, 0), (1, 1)])
def test_exit_code_is_what_the_command_says(monkeypatch: pytest.MonkeyPatch, outcome: int, code: int) -> None:
    monkeypatch.setattr(Doctor, "run", lambda self: outcome)
    with pytest.raises(SystemExit) as caught:
        cli.main(["doctor"])
    assert (caught.value.code or 0) == code


def test_interruption_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(self: Doctor) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Doctor, "run", interrupt)
    with pytest.raises(SystemExit) as caught:
        cli.main(["doctor"])
    assert caught.value.code == 130
    assert "Traceback" not in capsys.readouterr().err
