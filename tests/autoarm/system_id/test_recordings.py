"""Recordings as motions: files, datasets, units, gaps, and what cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoarm.system_id.arm_dataset import open_arm_dataset
from autoarm.system_id.motion import Motion
from autoarm.system_id.motion_files import read_motions
from autoarm.system_id.units import half_ranges, tick, units_of
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.rng import stream

TICK = 360 / 4095
SHUFFLED = [f"{joint}.pos" for joint in reversed(spec.JOINTS)]


def wave(seconds: float = 4.0, fps: int = 50) -> Motion:
    """Encoder readings of a slow wave, degrees."""
    times = np.arange(round(seconds * fps)) / fps
    goals = np.array([0, -40, 30, 50, 10, 50]) + 30 * np.sin(times[:, None] + np.arange(6))
    return Motion("wave", times, goals, np.rint((goals - 1) / TICK) * TICK)


def as_percent(motion: Motion, ticks: list[int]) -> Motion:
    """The same arm, counted as LeRobot does by default: -100 to 100 of a range of so many ticks."""
    scale = np.array([*(100 / (count * TICK / 2) for count in ticks), 1.0])
    return replace(motion, goals=motion.goals * scale, positions=motion.positions * scale)


def test_file_and_folder_are_read_in_the_order_of_names(tmp_path: Path, write_motion: Callable[..., Path]) -> None:
    write_motion(tmp_path / "b.parquet", wave())
    file = write_motion(tmp_path / "a.parquet", wave())
    motions, said = read_motions(tmp_path)
    assert [motion.name for motion in motions] == ["a", "b"]
    assert not said
    np.testing.assert_allclose(read_motions(file)[0][0].positions, wave().positions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{joint}__goal": None for joint in spec.JOINTS}, "there are no goals"),
        ({"elbow_flex__pos": None}, "pos: elbow_flex: of another robot"),
        ({"t": None}, "t: there is no clock"),
        ({"t": ["a"] * 200}, "t: holds no numbers"),
        ({"t": np.arange(200) / 250}, "lasts 0.80 s"),
        ({"wrist_flex__pos": np.full(200, 170.0)}, "wrist_flex: reads 170, which this arm does not reach"),
        ({"elbow_flex__pos": np.full(200, np.nan)}, "lasts 0.00 s"),
    ],
)
def test_file_that_cannot_be_used_is_named(
    tmp_path: Path, write_motion: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    file = write_motion(tmp_path / "bad.parquet", wave(), **changes)
    with pytest.raises(InvalidFileError, match=message) as raised:
        read_motions(file)
    assert str(file) in str(raised.value)


def test_radians_are_refused(tmp_path: Path, write_motion: Callable[..., Path]) -> None:
    motion = wave()
    file = write_motion(
        tmp_path / "r.parquet", replace(motion, goals=motion.goals / 57.3, positions=motion.positions / 57.3)
    )
    with pytest.raises(InvalidFileError, match=r"radians.*convert"):
        read_motions(file)


def test_what_is_no_motion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match=r"no \.parquet files"):
        read_motions(tmp_path)
    with pytest.raises(InvalidFileError, match="no such file"):
        read_motions(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(InvalidFileError, match="not a Parquet file"):
        read_motions(tmp_path / "text.parquet")


def test_gaps_and_clock_jumps_cut_a_motion(tmp_path: Path, write_motion: Callable[..., Path]) -> None:
    motion = wave(6.0)
    times = motion.times.copy()
    times[100:] += 0.5  # rows are missing
    times[200:] -= 3.0  # the clock was set
    positions = motion.positions[:, 2].copy()
    positions[290:] = np.nan
    motions, said = read_motions(write_motion(tmp_path / "m.parquet", motion, t=times, elbow_flex__pos=positions))
    assert [len(part.times) for part in motions] == [100, 100, 90]
    assert [part.name for part in motions] == ["m#1", "m#2", "m#3"]
    assert {part.recording for part in motions} == {"m"}
    assert "m: cut into 3" in said[0]


@pytest.mark.parametrize("fps", [15, 30, 50])
def test_dataset_in_degrees(tmp_path: Path, write_dataset: Callable[..., Path], fps: int) -> None:
    motion = wave(8.0, fps)
    dataset = open_arm_dataset(write_dataset(tmp_path / "d", [motion, motion], names=SHUFFLED))
    assert dataset.units == "degrees"
    assert dataset.fps == fps
    motions, _ = dataset.motions()
    assert len(motions) == 2
    np.testing.assert_allclose(motions[1].goals, motion.goals, atol=1e-4)
    np.testing.assert_allclose(motions[1].positions, motion.positions, atol=1e-4)
    # Something may have been in its gripper.
    assert motions[0].compared == spec.JOINTS[:5]
    assert dataset.motions(free=True)[0][0].compared == spec.JOINTS
    with pytest.raises(InvalidInputError, match="no episode 2"):
        dataset.motions([2])


def test_dataset_from_minus_100_to_100_becomes_degrees(tmp_path: Path, write_dataset: Callable[..., Path]) -> None:
    motion = wave(8.0)
    ticks = [2560, 2390, 2200, 2310, 4095]
    dataset = open_arm_dataset(write_dataset(tmp_path / "d", [as_percent(motion, ticks)]))
    assert dataset.units == "percent"
    found = dataset.motions()[0][0]
    np.testing.assert_allclose(found.positions, motion.positions, atol=0.1)
    np.testing.assert_allclose(found.goals, motion.goals, atol=0.1)


def test_units_that_cannot_be_told_must_be_said(tmp_path: Path, write_dataset: Callable[..., Path]) -> None:
    motion = wave(8.0)
    smooth = replace(motion, positions=motion.goals)
    folder = write_dataset(tmp_path / "d", [smooth])
    with pytest.raises(InvalidFileError, match="--units degrees or --units percent"):
        open_arm_dataset(folder)
    np.testing.assert_allclose(
        open_arm_dataset(folder, "degrees").motions()[0][0].positions, smooth.positions, atol=1e-4
    )
    pan = open_arm_dataset(folder, "percent").motions()[0][0].positions[:, 0]
    np.testing.assert_allclose(pan, smooth.positions[:, 0] * 1.1, atol=1e-4)  # the model's 110 degrees to either side


def test_units_from_ticks() -> None:
    rng = stream(0, "test", "ticks")
    counts = rng.integers(-400, 400, (500, 6)).astype(float)
    assert units_of(counts * TICK) == "degrees"
    assert units_of(counts * 360 / 4096) == "degrees"
    assert units_of(counts * 200 / 2300) == "percent"
    assert units_of(rng.uniform(-50, 50, (500, 6))) is None
    assert units_of(rng.uniform(-150, 150, (500, 6))) == "degrees"
    assert tick(counts[:, 0] * 0.0731) == pytest.approx(0.0731, rel=1e-6)
    assert half_ranges(counts * 200 / 2300)[2] == pytest.approx(1150 * 360 / 4096)


def test_older_and_other_datasets(tmp_path: Path, write_dataset: Callable[..., Path]) -> None:
    folder = write_dataset(tmp_path / "d", [wave(8.0)])
    path = folder / "meta/info.json"
    info = json.loads(path.read_text())
    for name in ("action", "observation.state"):
        info["features"][name]["names"] = {"motors": [f"main_{joint}" for joint in spec.JOINTS]}
    path.write_text(json.dumps(info))
    assert len(open_arm_dataset(folder).episodes) == 1
    info["features"]["action"]["names"] = [f"left_{joint}.pos" for joint in spec.JOINTS]
    path.write_text(json.dumps(info))
    with pytest.raises(InvalidFileError, match=r"action\.names: has no shoulder_pan.*another robot"):
        open_arm_dataset(folder)
    del info["features"]["action"]
    path.write_text(json.dumps(info))
    with pytest.raises(InvalidFileError, match=r"features\.action: is missing"):
        open_arm_dataset(folder)
    path.write_text("{")
    with pytest.raises(InvalidFileError, match="not JSON"):
        open_arm_dataset(folder)
    with pytest.raises(InvalidFileError, match="not a LeRobotDataset"):
        open_arm_dataset(tmp_path / "absent")


def test_our_own_recordings_are_degrees(tmp_path: Path, write_dataset: Callable[..., Path]) -> None:
    smooth = replace(wave(8.0), positions=wave(8.0).goals)
    folder = write_dataset(tmp_path / "d", [smooth])
    (folder / "meta/autoarm.json").write_text("{}")
    assert open_arm_dataset(folder).units == "degrees"


def test_frames_are_those_of_the_episode(tmp_path: Path, write_dataset: Callable[..., Path]) -> None:
    folder = write_dataset(tmp_path / "d", [wave(2.0), wave(3.0)], cameras={"wrist": (32, 48)})
    dataset = open_arm_dataset(folder)
    frames = list(dataset.frames(1, "wrist"))
    assert len(frames) == 150
    # Each episode has its own shade of grey.
    assert {round(float(frame.mean()), -1) for frame in frames} == {160}
