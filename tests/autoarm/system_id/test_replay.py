"""`autoarm replay`: a recording of a real arm beside the simulation of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from autoarm.commands.replay import Replay
from autoarm.system_id.motion import Motion
from autoarm.system_id.simulation import simulate
from gym_autoarm.body import Body
from gym_autoarm.body_files import DEFAULT_BODY

TICK = 360 / 4095


def at_rate(motion: Motion, body: Body, fps: int) -> Motion:
    """The same goals at another rate, and what the arm does then."""
    times = np.arange(round(2.5 * fps)) / fps
    goals = np.stack([np.interp(times, motion.times, column) for column in motion.goals.T], axis=1)
    recorded = replace(motion, times=times, goals=goals, positions=np.repeat(motion.positions[:1], len(times), axis=0))
    path = simulate([recorded], body)[0]
    return replace(recorded, positions=np.rint(path / TICK) * TICK)


def frames_of(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        return [(frame.height, frame.width) for frame in container.decode(video=0)]


@pytest.mark.parametrize("fps", [15, 50])
def test_numbers_figure_and_film(
    tmp_path: Path, planted: Body, planted_motions: list[Motion], write_dataset: Callable[..., Path], fps: int
) -> None:
    motion = at_rate(planted_motions[0], planted, fps)
    folder = write_dataset(tmp_path / "d", [motion, motion], cameras={"wrist": (48, 64), "phone": (96, 54)})
    assert Replay(folder, 1, tmp_path / "out").run() == 0
    data = json.loads((tmp_path / "out/replay.json").read_text())
    assert (data["episode"], data["units"]) == (1, "degrees")
    lift = data["errors"][DEFAULT_BODY]["joints"]["shoulder_lift"]
    assert 0.1 < lift["rms"] < 5.0
    assert "gripper" not in data["errors"][DEFAULT_BODY]["joints"]
    assert (tmp_path / "out/joints.png").stat().st_size > 10_000
    # The real cameras' row above the simulated ones': two captions, two views of 270 rows.
    assert frames_of(tmp_path / "out/replay.mp4") == [(2 * (270 + 28), 720)] * len(motion.times)


def test_units_from_minus_100_to_100_without_cameras(
    tmp_path: Path, planted: Body, planted_motions: list[Motion], write_dataset: Callable[..., Path]
) -> None:
    motion = at_rate(planted_motions[0], planted, 30)
    scale = np.array([100 / (2300 * TICK / 2)] * 5 + [1.0])
    percent = replace(motion, goals=motion.goals * scale, positions=motion.positions * scale)
    for name, each in (("degrees", motion), ("percent", percent)):
        folder = write_dataset(tmp_path / name, [each])
        assert Replay(folder, 0, tmp_path / f"{name}-out", free=True).run() == 0
    data = {n: json.loads((tmp_path / f"{n}-out/replay.json").read_text()) for n in ("degrees", "percent")}
    assert data["percent"]["units"] == "percent"
    errors = {name: each["errors"][DEFAULT_BODY] for name, each in data.items()}
    assert errors["percent"]["mean"] == pytest.approx(errors["degrees"]["mean"], abs=0.02)
    assert "gripper" in errors["percent"]["joints"]
    assert not (tmp_path / "percent-out/replay.mp4").exists()
