from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoarm import doctor
from autoarm.commands.doctor import Doctor
from autoarm.doctor import Check

Usage = namedtuple("Usage", "total used free")


def only(checks: Iterator[Check]) -> Check:
    (check,) = checks
    return check


@pytest.fixture(scope="module")
def here() -> list[Check]:
    """What it says of the machine that runs the tests, which can run everything."""
    return doctor.examine()


def test_a_machine_that_runs_the_tests_has_no_problem(here: list[Check]) -> None:
    assert [check for check in here if check.status == "problem" and check.name != "disk"] == []
    assert {"python", "cores", "packages", "torch", "rendering", "frame", "video", "disk"} <= {c.name for c in here}


def test_what_is_not_well_comes_with_a_cure(here: list[Check]) -> None:
    for check in here:
        assert check.message
        assert (check.status == "ok") == (check.cure is None)


def test_report_names_versions_and_renderer(here: list[Check]) -> None:
    messages = {check.name: check.message for check in here}
    for package in ("mujoco", "gymnasium", "torch", "lerobot", "numpy"):
        assert f"{package} " in messages["packages"]
    assert sys.version.split()[0] in messages["python"]


def test_json_is_json_and_the_exit_code_says_whether_there_is_a_problem() -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "autoarm.cli", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    checks = [Check(**each) for each in json.loads(done.stdout)]
    assert done.returncode == int(any(check.status == "problem" for check in checks))
    # Ten seconds on a quiet machine.
    assert time.monotonic() - started < 60


@pytest.mark.skipif(sys.platform != "linux", reason="EGL is Linux's")
def test_broken_gl_is_a_problem_with_its_cure(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "MUJOCO_GL": "egl",
        "__EGL_VENDOR_LIBRARY_FILENAMES": str(tmp_path / "missing.json"),
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [sys.executable, "-m", "autoarm.cli", "doctor"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 1
    assert "problem" in done.stdout
    assert "libegl1 libopengl0 libgl1-mesa-dri" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(("free", "status"), [(0.2e9, "problem"), (4e9, "warning"), (50e9, "ok")])
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: float, status: str) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage(100e9, 100e9 - free, free))
    check = only(doctor.check_disk(tmp_path))
    assert check.status == status
    assert f"{free / 1e9:.1f} GB" in check.message


@pytest.mark.parametrize(
    ("renderer", "gpu", "status"),
    [
        ("llvmpipe (LLVM 15.0.6, 256 bits)", True, "warning"),
        ("llvmpipe (LLVM 15.0.6, 256 bits)", False, "ok"),
        ("NVIDIA H200/PCIe/SSE2", True, "ok"),
    ],
)
def test_software_rendering_beside_a_gpu_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, renderer: str, gpu: bool, status: str
) -> None:
    monkeypatch.setattr("gym_autoarm.rendering.gl_renderer", lambda: renderer)
    monkeypatch.setattr(doctor, "has_gpu", lambda: gpu)
    check = only(doctor.check_rendering())
    assert (check.status, check.message.split(":")[0]) == (status, renderer)


def test_packages_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["mujoco==1.0", "surely-not-installed>=2", "numpy", 'also-not; extra == "dev"']
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: wanted)
    *problems, summary = doctor.check_packages()
    assert {check.name: check.status for check in problems} == {"mujoco": "problem", "surely-not-installed": "problem"}
    assert "==1.0" in problems[0].message
    assert summary.status == "ok"
    assert "numpy" in summary.message
    assert "mujoco" not in summary.message


def port(device: str, vid: int | None) -> SimpleNamespace:
    return SimpleNamespace(device=device, vid=vid, description="a board")


def test_serial_ports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    ports = [port(str(ready), 1), port(str(tmp_path / "closed"), 1), port("built-in", None)]
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: ports)
    found = {check.message.split(" ")[0]: check for check in doctor.check_serial_ports()}
    assert found.keys() == {str(ready), str(tmp_path / "closed")}
    assert found[str(ready)].status == "ok"
    if os.name == "posix":
        assert found[str(tmp_path / "closed")].status == "warning"
    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    assert only(doctor.check_serial_ports()).status == "ok"


def test_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    from lerobot.cameras.opencv import OpenCVCamera

    profile = {"width": 640, "height": 480, "fps": 30.0}
    cameras = [{"id": name, "default_stream_profile": profile} for name in ("first", "second")]
    monkeypatch.setattr(OpenCVCamera, "find_cameras", lambda: cameras)
    assert [check.message for check in doctor.check_cameras()] == [
        "first, 640x480 at 30.0 Hz",
        "second, 640x480 at 30.0 Hz",
    ]


def test_search_for_cameras_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from lerobot.cameras.opencv import OpenCVCamera

    monkeypatch.setattr(doctor, "_CAMERA_PATIENCE", 0.05)
    monkeypatch.setattr(OpenCVCamera, "find_cameras", lambda: time.sleep(5))
    assert only(doctor.check_cameras()).status == "warning"


def test_a_check_that_breaks_is_a_problem_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Check]:
        raise OSError("the bus is on fire")

    quick = ("check_torch", "check_rendering", "check_frame", "check_video", "check_cameras", "check_packages")
    for name in quick:
        monkeypatch.setattr(doctor, name, lambda: iter(()))
    monkeypatch.setattr(doctor, "check_serial_ports", broken)
    checks = {check.name: check for check in doctor.examine()}
    assert checks["serial ports"].status == "problem"
    assert "on fire" in checks["serial ports"].message
    assert "disk" in checks


@pytest.mark.parametrize(("statuses", "code"), [(["ok", "warning"], 0), (["ok", "problem"], 1)])
def test_only_problems_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], statuses: list[Any], code: int
) -> None:
    cures = {"ok": None, "warning": "mend it", "problem": "mend it"}
    checks = [Check("thing", status, "found [bold]odd[/bold]", cures[status]) for status in statuses]
    monkeypatch.setattr(doctor, "examine", lambda: checks)
    assert Doctor().run() == code
    printed = capsys.readouterr().out
    assert "found [bold]odd[/bold]" in printed  # what machines say is not markup
    assert "mend it" in printed
