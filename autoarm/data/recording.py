"""Record episodes of the expert, each as a finished dataset of its own, in one process or several."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.data.collection import CollectionSettings, EpisodeRecord
from autoarm.data.dataset import ACTION, IMAGES, STATE, VIDEO_BACKEND
from autoarm.runtime.files import write_text
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import AutoArmError, UnreachablePoseError
from gym_autoarm.expert import Expert, Style
from gym_autoarm.rng import stream
from gym_autoarm.scene import Scene

UNFINISHED: Final = "unfinished-"
"""How the folders begin that a killed process leaves behind, of no use to anybody."""
RECORD: Final = "episode.json"
"""Where the `EpisodeRecord` lies in the folder of an episode."""

ATTEMPTS: Final = 10
"""Tries at one episode before giving up."""

ENCODERS: Final[dict[str, dict[str, Any]]] = {
    # B-frames would shift the first timestamp of every episode; a key frame every five keeps random access quick.
    "h264": {"preset": "veryfast", "crf": 18, "g": 5, "extra_options": {"bf": 0}},
    "libsvtav1": {"preset": 12, "crf": 30, "g": 2},  # LeRobot's defaults
}
"""Settings of the video encoders, by LeRobot's name of the codec."""


def episode_seed(seed: int, spot: str | None, episode: int, attempt: int = 0) -> int:
    """Seed of the scene and style of an episode, counted from 0 at each spot.

    It depends on the spot's name rather than its place in the list, so that recording a few spots gives the same
    episodes as recording all.
    """
    return int(stream(seed, "collect", spot or "everywhere", episode, attempt).integers(2**31))


def episode_folder(partial: Path, index: int) -> Path:
    """Where episode `index` of a recording lies once it is finished."""
    return partial / f"episode-{index:06d}"


def finish_episode(folder: Path, partial: Path, index: int, record: EpisodeRecord) -> None:
    """Give the folder of a recorded episode its place among the finished ones."""
    write_text(folder / RECORD, record.model_dump_json() + "\n")
    folder.rename(episode_folder(partial, index))


def usual_workers() -> int:
    """Processes that record or draw where nobody says how many: one for each core, up to four."""
    return min(os.cpu_count() or 1, 4)


def record_episodes(
    partial: Path, indices: list[int], settings: CollectionSettings, workers: int | None = None
) -> Iterator[int]:
    """Record episodes into their folders, in this process or several; yields each when it is done.

    Raises:
        AutoArmError: If the expert keeps failing, or a process was killed.
    """
    workers = usual_workers() if workers is None else workers
    if min(workers, len(indices)) <= 1:
        recorder = _Recorder(partial, settings)
        try:
            for index in indices:
                recorder.record(index)
                yield index
        finally:
            recorder.close()
    else:
        yield from _record_in_pool(partial, indices, settings, min(workers, len(indices)))


def _record_in_pool(partial: Path, indices: list[int], settings: CollectionSettings, workers: int) -> Iterator[int]:
    # Spawned rather than forked: neither GL contexts nor PyTorch's threads survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(partial, settings)) as pool:
        futures = {pool.submit(_record_one, index): index for index in indices}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BrokenProcessPool as error:
            raise AutoArmError(
                "a recording process was killed, perhaps for want of memory",
                cure="run the command again to go on, with fewer workers",
            ) from error
        finally:
            # After an error or an interruption, episodes in progress are finished and the others left.
            pool.shutdown(wait=True, cancel_futures=True)


class _Recorder:
    """Records one episode after another, each as a dataset of its own."""

    def __init__(self, partial: Path, settings: CollectionSettings) -> None:
        self._partial = partial
        self._settings = settings
        self._env = PickIntoBoxEnv(image_size=settings.image_size)
        self._distribution = settings.distribution
        self._expert = Expert()

    def record(self, index: int) -> None:
        """Record episode `index`, trying again with another seed where the expert fails."""
        spot, number = self._settings.placing(index)
        folder = self._partial / f"{UNFINISHED}{index:06d}-{os.getpid()}"
        for attempt in range(ATTEMPTS):
            seed = episode_seed(self._settings.seed, spot, number, attempt)
            scene = self._distribution.sample(seed, spot)
            frames = self._demonstrate(folder, seed, scene)
            if frames is None:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            record = EpisodeRecord(spot=spot, seed=seed, attempts=attempt + 1, frames=frames, scene=asdict(scene))
            finish_episode(folder, self._partial, index, record)
            return
        raise AutoArmError(
            f"the expert failed {ATTEMPTS} times at {spot or 'the work area'}",
            field=f"episode {index}",
            cure="choose another seed",
        )

    def close(self) -> None:
        self._env.close()

    def _demonstrate(self, folder: Path, seed: int, scene: Scene) -> int | None:
        """Record one episode into `folder`; its length, or nothing if the cube did not get into the box."""
        observation, info = self._env.reset(seed=seed, options={"scene": scene})
        try:
            actions = self._expert.plan_for(info, observation["agent_pos"], Style.sample(seed))
        except UnreachablePoseError:
            return None
        with quiet():
            return self._run(folder, actions, observation)

    def _run(self, folder: Path, actions: NDArray[np.float32], observation: dict[str, Any]) -> int | None:
        """Take `actions` from `observation` on, recording what was seen before each."""
        dataset = create_dataset(folder, self._settings)
        for step, action in enumerate(actions, start=1):
            dataset.add_frame(frame(observation, action))
            observation, _, terminated, truncated, _ = self._env.step(action)
            if terminated:
                dataset.save_episode()
                dataset.finalize()
                return step
            if truncated:
                break
        dataset.clear_episode_buffer()
        dataset.finalize()
        return None


def features(image_size: tuple[int, int] = spec.IMAGE_SIZE) -> dict[str, dict[str, Any]]:
    """The features of a dataset of this arm, as LeRobot's writer takes them."""
    joints = {"dtype": "float32", "shape": (len(spec.JOINTS),), "names": list(spec.FEATURES)}
    frame = {"dtype": "video", "shape": (*image_size, 3), "names": ["height", "width", "channels"]}
    return {STATE: joints, ACTION: dict(joints), **{name: dict(frame) for name in IMAGES.values()}}


def frame(observation: Mapping[str, Any], action: NDArray[np.float32]) -> dict[str, Any]:
    """What LeRobot's writer takes of a control step: what was seen, and the action `(6,)` that was its answer."""
    pixels = {IMAGES[camera]: observation["pixels"][camera] for camera in spec.CAMERAS}
    return {STATE: observation["agent_pos"], ACTION: action, **pixels, "task": spec.TASK}


def create_dataset(
    folder: Path, settings: CollectionSettings, longest: int = spec.TIME_LIMIT, robot_type: str = spec.ROBOT_TYPE
) -> Any:
    """LeRobot's writer of a dataset whose episodes have at most `longest` frames."""
    from lerobot.configs import RGBEncoderConfig
    from lerobot.datasets import LeRobotDataset

    return LeRobotDataset.create(
        repo_id(folder),
        spec.FPS,
        features(settings.image_size),
        root=folder,
        robot_type=robot_type,
        video_backend=VIDEO_BACKEND,
        rgb_encoder=RGBEncoderConfig(vcodec=settings.vcodec, **ENCODERS[settings.vcodec]),
        encoder_threads=1,
        streaming_encoding=True,
        # A full queue makes LeRobot drop frames; this one holds an episode.
        encoder_queue_maxsize=longest + 1,
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' progress bars and the encoder's statistics off the terminal."""
    import av.logging
    from lerobot.utils.utils import SuppressProgressBars

    av.logging.set_libav_level(av.logging.ERROR)
    try:
        with SuppressProgressBars():
            yield
    finally:
        av.logging.set_libav_level(av.logging.INFO)  # FFmpeg's default; it cannot be asked for


def repo_id(folder: Path) -> str:
    """A name for a dataset that is not on the Hub; LeRobot asks for one everywhere and stores it nowhere."""
    return f"local/{folder.name}"


_recorder: _Recorder | None = None


def _start_worker(partial: Path, settings: CollectionSettings) -> None:
    global _recorder
    # One process a core: Mesa's own threads would only compete with each other.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _recorder = _Recorder(partial, settings)


def _end_with_parent() -> None:
    # A pool's processes outlive a parent that was killed, and would wait for work for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _record_one(index: int) -> None:
    assert _recorder is not None
    _recorder.record(index)
