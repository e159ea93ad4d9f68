"""LeRobotDataset folders as this project uses them: what they must hold, and quick ways to read it.

Reading goes through Parquet and PyAV directly: seconds are saved where PyTorch is not needed, and PyAV's wheel brings
its own FFmpeg, which torchcodec's does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.data.collection import RECORD_AGAIN, SIDECAR, Collection
from autoarm.data.schema import (
    check_episodes,
    check_features,
    check_frames,
    check_statistics,
    check_tasks,
    joint_numbers,
)
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError

if TYPE_CHECKING:
    import pyarrow as pa
    from lerobot.datasets import LeRobotDataset

STATE: Final = "observation.state"
ACTION: Final = "action"
IMAGES: Final = {camera: f"observation.images.{camera}" for camera in spec.CAMERAS}
"""Name of the feature in a dataset, by camera."""

VERSION: Final = "v3.0"
"""LeRobot's version of the dataset format."""
VIDEO_BACKEND: Final = "pyav"


@dataclass(frozen=True)
class DatasetInfo:
    """What `meta/info.json` says about a dataset that fits the contract."""

    folder: Path
    episodes: int
    frames: int
    image_size: tuple[int, int]
    video_path: str


def check_dataset(folder: str | Path) -> DatasetInfo:
    """Make sure that a folder is a LeRobotDataset of this arm: tables, statistics, joints, cameras, rate, no NaN.

    Raises:
        InvalidFileError: Naming the file, the field and the cure.
    """
    info = read_info(folder)
    if not info.episodes:
        raise InvalidFileError(
            "there are no episodes in it",
            file=info.folder / "meta/info.json",
            field="total_episodes",
            cure="record more with `autoarm collect`",
        )
    table, rows = _read_frames(info), _read_episodes(info)
    for name in (STATE, ACTION):
        _column(table, name, info)
    tasks = check_tasks(_read_parquet(info.folder, "meta/tasks.parquet"), info.folder / "meta/tasks.parquet")
    check_frames(table, [row["length"] for row in rows], tasks, info.folder / "data")
    widths = {STATE: len(spec.JOINTS), ACTION: len(spec.JOINTS), **dict.fromkeys(IMAGES.values(), 3)}
    check_statistics(info.folder / "meta/stats.json", widths)
    for row in rows:
        for camera in spec.CAMERAS:
            path = _video(info, row, camera)
            if not path.is_file():
                raise InvalidFileError("the video is missing", file=path, cure=RECORD_AGAIN)
    return info


def read_info(folder: str | Path) -> DatasetInfo:
    """Read and check `meta/info.json` alone. Raises `InvalidFileError`."""
    folder = Path(folder)
    path = folder / "meta" / "info.json"
    if not folder.is_dir():
        raise InvalidFileError("there is no such folder", file=folder, cure="record one with `autoarm collect`")
    if not path.is_file():
        raise InvalidFileError(
            "not a LeRobotDataset: meta/info.json is missing", file=folder, cure="give the folder that holds meta/"
        )
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidFileError(f"not JSON: {str(error)[:200]}", file=path, cure=RECORD_AGAIN) from error
    if not isinstance(raw, dict):
        raise InvalidFileError("not a JSON object", file=path, cure=RECORD_AGAIN)

    def expect(field: str, value: object, wanted: object, cure: str) -> None:
        if value != wanted:
            raise InvalidFileError(f"{value!r}, not {wanted!r}", file=path, field=field, cure=cure)

    expect("codebase_version", raw.get("codebase_version"), VERSION, "convert it with LeRobot's own script")
    expect("fps", raw.get("fps"), spec.FPS, f"record at {spec.FPS} frames a second")
    features = raw.get("features")
    if not isinstance(features, dict):
        raise InvalidFileError("missing", file=path, field="features", cure=RECORD_AGAIN)
    for name in (STATE, ACTION):
        feature = _mapping(features.get(name))
        expect(f"features.{name}.names", feature.get("names"), list(spec.FEATURES), "this arm has these six joints")
        expect(f"features.{name}.shape", feature.get("shape"), [len(spec.JOINTS)], "this arm has six joints")
    check_features(features, (STATE, ACTION), path)
    sizes = set()
    for camera, name in IMAGES.items():
        feature = _mapping(features.get(name))
        field = f"features.{name}"
        if not feature:
            raise InvalidFileError(f"there is no camera {camera!r}", file=path, field=field, cure="record both cameras")
        expect(f"{field}.dtype", feature.get("dtype"), "video", "record with videos")
        shape = feature.get("shape")
        if not (isinstance(shape, list) and len(shape) == 3 and all(isinstance(side, int) for side in shape)):
            raise InvalidFileError(
                f"{shape!r} is not a frame's shape", file=path, field=f"{field}.shape", cure=RECORD_AGAIN
            )
        sizes.add((shape[0], shape[1]))
    if len(sizes) != 1:
        raise InvalidFileError("the cameras' frames differ in size", file=path, field="features", cure=RECORD_AGAIN)

    def read[T: (int, str)](field: str, kind: type[T]) -> T:
        value = raw.get(field)
        if type(value) is not kind:
            raise InvalidFileError(f"{value!r} is not {kind.__name__}", file=path, field=field, cure=RECORD_AGAIN)
        return value

    for field in ("data_path", "video_path"):
        try:
            read(field, str).format(video_key="k", chunk_index=0, file_index=0)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise InvalidFileError(
                f"is no pattern of a path: {error}", file=path, field=field, cure=RECORD_AGAIN
            ) from None
    read("total_tasks", int)
    return DatasetInfo(
        folder=folder,
        episodes=read("total_episodes", int),
        frames=read("total_frames", int),
        image_size=sizes.pop(),
        video_path=read("video_path", str),
    )


def read_collection(folder: str | Path) -> Collection:
    """The sidecar of a dataset. Raises `InvalidFileError` if there is none or it does not fit the dataset."""
    info = read_info(folder)
    path = info.folder / SIDECAR
    if not path.is_file():
        raise InvalidFileError(
            "there is no record of where the cube lay", file=path, cure="use a dataset from `autoarm collect`"
        )
    collection = Collection.load(path)
    lengths = [int(row["length"]) for row in _read_episodes(info)]
    if lengths != [episode.frames for episode in collection.episodes]:
        raise InvalidFileError(
            "describes other episodes than the dataset, which was edited after recording",
            file=path,
            field="episodes",
            cure="use the dataset as it was recorded",
        )
    return collection


@dataclass(frozen=True)
class Demonstration:
    """One episode without its pictures.

    Attributes:
        states: Joint positions before each action, float32 `(steps, 6)`.
        actions: Goal positions, float32 `(steps, 6)`.
        cube_xy: Where the cube lay, metres.
    """

    states: NDArray[np.float32]
    actions: NDArray[np.float32]
    cube_xy: tuple[float, float]
    spot: str | None
    seed: int


def demonstrations(folder: str | Path) -> list[Demonstration]:
    """Every episode of a dataset that `autoarm collect` recorded, in order. Raises `InvalidFileError`."""
    collection = read_collection(folder)
    states, actions, index = joint_columns(folder)
    return [
        Demonstration(states[index == i], actions[index == i], episode.cube_xy, episode.spot, episode.seed)
        for i, episode in enumerate(collection.episodes)
    ]


def joint_columns(folder: str | Path) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """States and actions `(frames, 6)` and episode numbers `(frames,)`, in order. Raises `InvalidFileError`."""
    info = read_info(folder)
    table = _read_frames(info)
    return _column(table, STATE, info), _column(table, ACTION, info), table["episode_index"].to_numpy()


def episode_views(folder: str | Path, episode: int) -> dict[str, NDArray[np.uint8]]:
    """`episode_frames` of every camera, decoded side by side."""
    with ThreadPoolExecutor(len(IMAGES)) as threads:
        decoded = threads.map(partial(episode_frames, folder, episode), IMAGES)
        return dict(zip(IMAGES, decoded, strict=True))


def episode_frames(folder: str | Path, episode: int, camera: str) -> NDArray[np.uint8]:
    """All frames of one episode, decoded: uint8 `(steps, height, width, 3)`.

    Raises:
        InvalidInputError: If there is no such episode or camera.
        InvalidFileError: If the video is damaged.
    """
    info = read_info(folder)
    rows = _read_episodes(info)
    if not 0 <= episode < len(rows):
        raise InvalidInputError(f"there is no episode {episode}", field="episode", cure=f"0 to {len(rows) - 1}")
    row = rows[episode]
    if camera not in IMAGES:
        raise InvalidInputError(f"there is no camera {camera!r}", field="camera", cure=", ".join(IMAGES))
    path = _video(info, row, camera)
    frames = np.empty((int(row["length"]), *info.image_size, 3), np.uint8)
    start = float(row[f"videos/{IMAGES[camera]}/from_timestamp"])
    count = 0
    for count, frame in enumerate(_decode(path, start, len(frames)), start=1):
        if frame.shape != frames.shape[1:]:
            raise InvalidFileError(f"frames of {frame.shape}, not {frames.shape[1:]}", file=path, cure=RECORD_AGAIN)
        frames[count - 1] = frame
    if count < len(frames):
        raise InvalidFileError(
            f"episode {episode} has {count} frames of {len(frames)}",
            file=path,
            cure="the video is cut short: " + RECORD_AGAIN,
        )
    return frames


def open_lerobot(folder: str | Path, **options: Any) -> LeRobotDataset:
    """The folder as LeRobot's own dataset, after `check_dataset`; `options` go to its constructor."""
    info = check_dataset(folder)
    from lerobot.datasets import LeRobotDataset

    options.setdefault("video_backend", VIDEO_BACKEND)
    try:
        return LeRobotDataset(f"local/{info.folder.resolve().name}", root=info.folder, **options)
    except Exception as error:  # LeRobot, datasets and pyarrow raise kinds of their own
        reason = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        raise InvalidFileError(
            f"LeRobot cannot open it: {reason[0][:200]}", file=info.folder, cure=RECORD_AGAIN
        ) from error


# -- Inside ----------------------------------------------------------------------------------------------------------


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_parquet(folder: Path, pattern: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = sorted(folder.glob(pattern))
    if not paths:
        raise InvalidFileError(f"half-written: no {pattern}", file=folder, cure=RECORD_AGAIN)
    tables = []
    for path in paths:
        try:
            # ParquetFile rather than read_table, which would take the chunk folders for partitions.
            tables.append(pq.ParquetFile(path).read())
        except (OSError, ValueError, pa.ArrowException) as error:  # names of columns that are no UTF-8
            raise InvalidFileError(f"half-written or damaged: {error}", file=path, cure=RECORD_AGAIN) from error
    try:
        return pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as error:
        raise InvalidFileError(f"its files differ in their columns: {error}", file=folder, cure=RECORD_AGAIN) from error


def _read_frames(info: DatasetInfo) -> pa.Table:
    table = _read_parquet(info.folder, "data/*/*.parquet")
    if table.num_rows != info.frames:
        raise InvalidFileError(
            f"half-written: {table.num_rows} frames, meta/info.json promises {info.frames}",
            file=info.folder / "data",
            cure=RECORD_AGAIN,
        )
    return _sorted(table, "index")


def _read_episodes(info: DatasetInfo) -> list[dict[str, Any]]:
    table = _sorted(_read_parquet(info.folder, "meta/episodes/*/*.parquet"), "episode_index")
    wanted = [name for name in table.column_names if not name.startswith("stats/")]
    rows: list[dict[str, Any]] = table.select(wanted).to_pylist()
    if len(rows) != info.episodes:
        raise InvalidFileError(
            f"half-written: {len(rows)} episodes, meta/info.json promises {info.episodes}",
            file=info.folder / "meta/episodes",
            cure=RECORD_AGAIN,
        )
    if rows:
        check_episodes(table, tuple(IMAGES.values()), info.frames, info.folder / "meta/episodes")
    return rows


def _sorted(table: pa.Table, name: str) -> pa.Table:
    return table.sort_by(name) if table.column_names.count(name) == 1 else table


def _column(table: pa.Table, name: str, info: DatasetInfo) -> NDArray[np.float32]:
    values = joint_numbers(table, name, info.folder / "data")
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        frame = int(broken[0])
        episode = table["episode_index"][frame].as_py()
        raise InvalidFileError(
            f"not a finite number in episode {episode} (frame {frame} of the dataset)",
            file=info.folder / "data",
            field=name,
            cure=f"remove the episode with `lerobot-edit-dataset`, or {RECORD_AGAIN}",
        )
    return values


def _video(info: DatasetInfo, row: Mapping[str, Any], camera: str) -> Path:
    key = IMAGES[camera]
    return info.folder / info.video_path.format(
        video_key=key,
        chunk_index=row[f"videos/{key}/chunk_index"],
        file_index=row[f"videos/{key}/file_index"],
    )


def _decode(path: Path, start: float, count: int) -> Iterator[NDArray[np.uint8]]:
    """Up to `count` frames from `start` seconds on."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            base = stream.time_base
            assert base is not None
            half = 0.5 / spec.FPS
            container.seek(max(0, round((start - half) / base)), stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.time is None or frame.time < start - half:
                    continue
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                count -= 1
                if not count:
                    return
    except (OSError, IndexError, av.error.FFmpegError) as error:
        raise InvalidFileError(f"cannot be decoded: {error}", file=path, cure=RECORD_AGAIN) from error
