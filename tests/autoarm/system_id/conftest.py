"""An arm of which everything is known, and what it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from autoarm.evaluation.video import VideoWriter
from autoarm.system_id.motion import Motion
from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.body_files import DEFAULT_BODY, shipped_body
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.scene import Cube, Scene

Array = NDArray[np.float64]
TICK = 360 / 4096
RAISED = np.array([0.0, -40.0, 20.0, 60.0, 0.0, 50.0])


def planted_body() -> Body:
    """Servos that are not those of any shipped body, but for the stiffness of joints that carry no load."""
    servos = [
        replace(servo, kp=servo.kp * stiffer, damping=servo.damping * drag, frictionloss=servo.frictionloss * rub)
        for servo, stiffer, drag, rub in zip(
            shipped_body(DEFAULT_BODY).servos,
            (1.0, 1.3, 1.2, 0.8, 1.0, 1.0),
            (1.3, 0.8, 1.2, 0.9, 0.7, 1.2),
            (0.6, 0.7, 0.5, 1.4, 1.5, 1.5),
            strict=True,
        )
    ]
    servos[spec.GRIPPER] = replace(servos[spec.GRIPPER], torque_limit=1.2)
    return Body(tuple(servos))


def in_environment(name: str, body: Body, goals: Array) -> Motion:
    """What the environment's arm does, read by encoders: the truth does not come from the code that is tested."""
    env = PickIntoBoxEnv(cameras=False, time_limit=len(goals) + 1)
    scene = Scene(cube=Cube(x=1.5, y=1.5), surface="plain", body=body, start=tuple(goals[0]))
    info = env.reset(seed=0, options={"scene": scene})[1]
    path = [info["joint_path"][-1]]
    for goal in goals[:-1]:
        path.append(env.step(goal.astype(np.float32))[4]["joint_path"][-1])
    env.close()
    ticks = np.array([TICK] * 5 + [0.08])
    return Motion(name, np.arange(len(goals)) / spec.FPS, goals, np.rint(np.array(path) / ticks) * ticks)


def lively(seed: int, seconds: float = 8.0) -> Array:
    """Goals of waves and of steps that are held, of every joint, above the table."""
    time = np.arange(round(seconds * spec.FPS)) / spec.FPS
    goals = np.repeat(RAISED[None], len(time), axis=0)
    for joint in range(6):
        wave = 12 * np.sin(2 * np.pi * (0.25 + 0.11 * ((joint + seed) % 4)) * time + joint)
        step = 8 * np.sign(np.sin(2 * np.pi * time / 3 + seed + joint))
        goals[:, joint] += np.where(time < seconds / 2, wave - wave[0], step)
    return goals


@pytest.fixture(scope="session")
def planted() -> Body:
    """The arm's body."""
    return planted_body()


@pytest.fixture(scope="session")
def planted_motions(planted: Body) -> list[Motion]:
    """What it did, four times."""
    return [in_environment(f"motion-{seed}", planted, lively(seed)) for seed in range(4)]


@pytest.fixture
def write_motion() -> Callable[..., Path]:
    """Write a motion as Parquet: `write_motion(path, motion, **columns to change, or None to leave out)`."""

    def write(path: Path, motion: Motion, **changes: Any) -> Path:
        columns: dict[str, Any] = {"t": motion.times}
        for index, joint in enumerate(spec.JOINTS):
            columns[f"{joint}.goal"] = motion.goals[:, index]
            columns[f"{joint}.pos"] = motion.positions[:, index]
        columns |= {name.replace("__", "."): values for name, values in changes.items()}
        pq.write_table(pa.table({name: values for name, values in columns.items() if values is not None}), path)
        return path

    return write


@pytest.fixture
def write_dataset() -> Callable[..., Path]:
    """Write motions as a LeRobotDataset of version 3, as other people's recordings are."""

    def write(
        folder: Path,
        motions: list[Motion],
        names: list[str] | None = None,
        cameras: dict[str, tuple[int, int]] | None = None,
    ) -> Path:
        names = names or list(spec.FEATURES)
        order = [spec.FEATURES.index(name) for name in names if name in spec.FEATURES]
        fps = round(1 / float(np.median(np.diff(motions[0].times))))
        features: dict[str, Any] = {
            name: {"dtype": "float32", "shape": [len(names)], "names": names}
            for name in ("action", "observation.state")
        }
        rows: dict[str, list[Any]] = {
            name: [] for name in ("action", "observation.state", "timestamp", "frame_index", "episode_index", "index")
        }
        episodes = []
        for number, motion in enumerate(motions):
            rows["action"] += motion.goals[:, order].astype(np.float32).tolist()
            rows["observation.state"] += motion.positions[:, order].astype(np.float32).tolist()
            rows["timestamp"] += motion.times.tolist()
            rows["frame_index"] += range(len(motion.times))
            rows["index"] += range(len(rows["index"]), len(rows["index"]) + len(motion.times))
            rows["episode_index"] += [number] * len(motion.times)
            episodes.append({"episode_index": number, "length": len(motion.times)})
        for camera, size in (cameras or {}).items():
            key = f"observation.images.{camera}"
            features[key] = {"dtype": "video", "shape": [*size, 3], "names": ["height", "width", "channels"]}
            start = 0
            with VideoWriter(folder / f"videos/{key}/chunk-000/file-000.mp4", fps) as video:
                for number, motion in enumerate(motions):
                    episodes[number] |= {f"videos/{key}/{what}": 0 for what in ("chunk_index", "file_index")}
                    episodes[number][f"videos/{key}/from_timestamp"] = float(Fraction(start, fps))
                    start += len(motion.times)
                    for _ in motion.times:
                        video.write(np.full((*size, 3), 60 + 100 * number, np.uint8))
        info = {
            "codebase_version": "v3.0",
            "robot_type": "so101_follower",
            "fps": fps,
            "total_episodes": len(motions),
            "total_frames": len(rows["index"]),
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": features,
        }
        for place in ("meta/episodes/chunk-000", "data/chunk-000"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / "meta/info.json").write_text(json.dumps(info))
        pq.write_table(pa.Table.from_pylist(episodes), folder / "meta/episodes/chunk-000/file-000.parquet")
        pq.write_table(pa.table(rows), folder / "data/chunk-000/file-000.parquet")
        return folder

    return write
