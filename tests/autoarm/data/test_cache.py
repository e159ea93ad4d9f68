"""The cache holds whole files, and nothing that a killed process left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoarm.data.dataset import check_dataset, episode_frames
from autoarm.data.frames import cache_file, cached_frames, resize
from gym_autoarm import spec


def test_frames_are_those_of_every_episode_in_order(tiny_dataset: Path, tmp_path: Path) -> None:
    info = check_dataset(tiny_dataset)
    seen: list[tuple[int, int]] = []
    frames = cached_frames(info, (24, 32), lambda done, total: seen.append((done, total)), root=tmp_path)
    first = 0
    for episode in range(info.episodes):
        parts = [resize(episode_frames(info.folder, episode, camera), (24, 32)) for camera in spec.CAMERAS]
        np.testing.assert_array_equal(frames[first : first + len(parts[0])], np.stack(parts, axis=1))
        first += len(parts[0])
        assert seen[episode] == (first, info.frames)
    assert first == info.frames == len(frames)
    assert len(list((tmp_path / "frames").iterdir())) == 1


def test_what_killed_processes_left_is_removed_and_what_others_write_is_not(tmp_path: Path) -> None:
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    done.wait()
    dead, alive = tmp_path / f".one.npy.{done.pid}.tmp", tmp_path / f".two.npy.{os.getppid()}.tmp"
    other = tmp_path / "three.npy"
    for file in (dead, alive, other):
        file.write_text("x")
    with cache_file(tmp_path / "new.npy") as temporary:
        temporary.write_text("new")
    assert sorted(tmp_path.iterdir()) == sorted([alive, other, tmp_path / "new.npy"])


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with cache_file(tmp_path / "new.npy") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())
