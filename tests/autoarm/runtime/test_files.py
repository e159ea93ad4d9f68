"""What a command is told to write to is written through or refused, and never replaced by something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autoarm import cli
from autoarm.runtime.files import check_replaceable, check_writable, replace_folder, write_text
from gym_autoarm.errors import InvalidFileError


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    file, link = tmp_path / "elsewhere" / "file.txt", tmp_path / "link.txt"
    file.write_text("old")
    link.symlink_to(file)
    write_text(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert sorted(tmp_path.rglob("*")) == [file.parent, file, link]


def test_devices_and_pipes_are_refused_before_the_work_and_left_alone(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    linked = tmp_path / "linked"
    linked.symlink_to(pipe)
    for path in (pipe, linked, Path(os.devnull)):
        with pytest.raises(InvalidFileError, match="is a device or a pipe"):
            check_writable(path)
        with pytest.raises(InvalidFileError, match="is a device or a pipe"):
            write_text(path, "text")
        assert not path.is_file()
        assert path.exists()


def fill(folder: Path) -> None:
    (folder / "mark").write_text("new")


def test_a_folder_is_replaced_only_by_its_like(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    replace_folder(folder, fill, "mark")
    (folder / "more").write_text("old")
    replace_folder(folder, fill, "mark")
    assert [file.name for file in folder.iterdir()] == ["mark"]

    photos = tmp_path / "photos"
    photos.mkdir()
    replace_folder(photos, fill, "mark")  # an empty one is in nobody's way
    (photos / "mark").unlink()
    (photos / "summer.jpg").write_text("dear")
    file = tmp_path / "file"
    file.write_text("dear")
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    for place, said in ((photos, "there is no mark in it"), (file, "is no folder"), (dangling, "is no folder")):
        with pytest.raises(InvalidFileError, match=said):
            check_replaceable(place, "mark")
        with pytest.raises(InvalidFileError, match=said):
            replace_folder(place, fill, "mark")
    assert (photos / "summer.jpg").read_text() == file.read_text() == "dear"


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    folder, link = tmp_path / "disk" / "run", tmp_path / "run"
    replace_folder(folder, fill, "mark")
    (folder / "mark").write_text("old")
    link.symlink_to(folder)
    replace_folder(link, fill, "mark")
    assert link.is_symlink()
    assert (folder / "mark").read_text() == "new"


@pytest.mark.parametrize(
    "command",
    [
        ["train", "demonstrations", "--out", "demonstrations"],
        ["train", "demonstrations", "--out", "demonstrations/meta/info.json"],
        ["distil", "demonstrations", "--out", "demonstrations"],
        ["pretrain", "--out", "demonstrations"],
    ],
    ids=" ".join,
)
def test_no_run_takes_the_place_of_a_dataset(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "demonstrations/meta/info.json"
    info.parent.mkdir(parents=True)
    info.write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("autoarm.data.dataset.read_info", lambda folder: None)
    with pytest.raises(SystemExit) as stopped:
        cli.main(command)
    assert stopped.value.code == 2
    assert command[-1] in capsys.readouterr().err
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [info]
