"""What an encoder's settings cost: size of a demonstration, time to encode and to read frames at random, and error.

    python benchmarks/speed/encoders.py

Each setting encodes the same frames, both cameras of one of the expert's episodes at 480 x 640, through LeRobot's
writer, as `autoarm collect` does. Times are medians of several runs in turn, relative to the first setting's.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.data.recording import IMAGES, VIDEO_BACKEND, features, frame, quiet, repo_id
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.expert import Expert, Style
from gym_autoarm.rng import stream

ROUNDS: Final = 3
READS: Final = 40
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "h264 crf 18, key frame every 5": {"vcodec": "h264", "preset": "veryfast", "crf": 18, "g": 5},
    "h264 crf 23, key frame every 5": {"vcodec": "h264", "preset": "veryfast", "crf": 23, "g": 5},
    "h264 crf 18, key frame every 2": {"vcodec": "h264", "preset": "veryfast", "crf": 18, "g": 2},
    "h264 crf 18, key frame every 30": {"vcodec": "h264", "preset": "veryfast", "crf": 18, "g": 30},
    "libsvtav1 crf 30, key frame every 2": {"vcodec": "libsvtav1", "preset": 12, "crf": 30, "g": 2},
}


@dataclass
class Measured:
    """What was measured of a setting."""

    bytes_a_frame: float = 0.0
    error: float = 0.0
    worst: float = 0.0
    encoding: list[float] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)


def episode() -> list[dict[str, Any]]:
    """What LeRobot's writer is given of one of the expert's episodes."""
    env = PickIntoBoxEnv()
    observation, info = env.reset(seed=0)
    plan = Expert().plan_for(info, observation["agent_pos"], Style.sample(0))
    frames = []
    for action in plan[:150]:
        frames.append(frame(observation, action))
        observation, *_ = env.step(action)
    env.close()
    return frames


def encode(folder: Path, frames: list[dict[str, Any]], settings: dict[str, Any]) -> float:
    """Write a dataset; seconds a frame."""
    from lerobot.configs import RGBEncoderConfig
    from lerobot.datasets import LeRobotDataset

    options = {"extra_options": {"bf": 0}} if settings["vcodec"] == "h264" else {}
    with quiet():
        dataset = LeRobotDataset.create(
            repo_id(folder),
            spec.FPS,
            features(),
            root=folder,
            video_backend=VIDEO_BACKEND,
            rgb_encoder=RGBEncoderConfig(**settings, **options),
            encoder_threads=1,
            streaming_encoding=True,
            encoder_queue_maxsize=len(frames) + 1,
        )
        started = time.perf_counter()
        for each in frames:
            dataset.add_frame(dict(each))
        dataset.save_episode()
        dataset.finalize()
    return (time.perf_counter() - started) / len(frames)


def read(folder: Path, wanted: NDArray[np.int64]) -> tuple[float, list[NDArray[np.uint8]]]:
    """Seconds a frame, and the frames `(2, h, w, 3)`, of a dataset's rows read in the order given."""
    from lerobot.datasets import LeRobotDataset

    dataset = LeRobotDataset(repo_id(folder), root=folder, video_backend=VIDEO_BACKEND)
    dataset[0]
    started = time.perf_counter()
    items = [dataset[int(index)] for index in wanted]
    seconds = (time.perf_counter() - started) / len(wanted)
    pixels = [
        np.stack([(item[name].numpy() * 255).round().astype(np.uint8) for name in IMAGES.values()]) for item in items
    ]
    return seconds, [each.transpose(0, 2, 3, 1) for each in pixels]


def main() -> None:
    """Measure every setting and print a table."""
    frames = episode()
    wanted = stream(0, "reads").integers(0, len(frames), READS)
    measured = {name: Measured() for name in SETTINGS}
    root = Path(tempfile.mkdtemp(prefix="encoders-"))
    try:
        for number in range(ROUNDS):
            for name, settings in SETTINGS.items():
                folder = root / f"{number}-{len(name)}-{settings['crf']}-{settings['g']}"
                found = measured[name]
                found.encoding.append(encode(folder, frames, settings))
                found.bytes_a_frame = sum(file.stat().st_size for file in folder.rglob("*.mp4")) / len(frames) / 2
                seconds, pixels = read(folder, wanted)
                found.reading.append(seconds)
                given = [np.stack([frames[index][camera] for camera in IMAGES.values()]) for index in wanted]
                off = [np.abs(one.astype(int) - other) for one, other in zip(pixels, given, strict=True)]
                found.error = float(np.mean([each.mean() for each in off]))
                found.worst = float(np.mean([np.quantile(each, 0.999) for each in off]))
    finally:
        shutil.rmtree(root)
    first = next(iter(measured.values()))
    print("setting                              kB a frame   encoding   reading   mean error   99.9 % of pixels within")
    for name, found in measured.items():
        encoding = statistics.median(found.encoding) / statistics.median(first.encoding)
        reading = statistics.median(found.reading) / statistics.median(first.reading)
        print(
            f"{name:36}  {found.bytes_a_frame / 1000:9.1f}   {encoding:8.2f}   {reading:7.2f}"
            f"   {found.error:10.2f}   {found.worst:8.0f} grey levels"
        )


if __name__ == "__main__":
    main()
