"""What the tables of a LeRobotDataset must hold, in format v3.0: checked whenever one is opened, before it is used.

Each check raises `InvalidFileError` with the file, the column and the cure. What is beyond these columns is nobody's
business here: datasets of others have more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.data.collection import RECORD_AGAIN
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError

if TYPE_CHECKING:
    import pyarrow as pa

COUNTERS: Final = ("index", "episode_index", "frame_index", "task_index")
"""Columns of whole numbers that every frame has."""
_STATISTICS: Final = ("mean", "std", "min", "max")


def check_features(features: Mapping[str, Any], joints: Sequence[str], path: Path) -> None:
    """Every feature of `meta/info.json` has a type and a shape, and the columns that every dataset has are named."""
    for name, feature in features.items():
        shape = feature.get("shape") if isinstance(feature, dict) else None
        if not (isinstance(shape, list) and all(type(side) is int and side > 0 for side in shape)):
            raise _wrong(f"{shape!r} is no shape", path, f"features.{name}.shape")
        if not isinstance(feature.get("dtype"), str):
            raise _wrong(f"{feature.get('dtype')!r} is no type", path, f"features.{name}.dtype")
    wanted = {**dict.fromkeys(joints, "float32"), **dict.fromkeys(COUNTERS, "int64"), "timestamp": "float32"}
    for name, kind in wanted.items():
        if name not in features:
            raise _wrong("is missing", path, f"features.{name}")
        if features[name]["dtype"] != kind:
            raise _wrong(f"{features[name]['dtype']!r}, not {kind!r}", path, f"features.{name}.dtype")


def check_frames(table: pa.Table, lengths: Sequence[int], tasks: int, folder: Path) -> None:
    """The columns of all frames, in order, count what `lengths`, frames for each episode, promise."""
    frame = np.concatenate([np.arange(length) for length in lengths])
    episode = np.repeat(np.arange(len(lengths)), lengths)
    wanted = {"index": np.arange(len(frame)), "episode_index": episode, "frame_index": frame}
    for name in COUNTERS:
        values = whole_numbers(table, name, folder)
        if name in wanted and not np.array_equal(values, wanted[name]):
            place = int(np.flatnonzero(values != wanted[name])[0]) if len(values) == len(frame) else len(values)
            raise _wrong(f"does not count the frames of the episodes: from frame {place} on it is wrong", folder, name)
        if name == "task_index" and not np.all((values >= 0) & (values < tasks)):
            raise _wrong(f"names tasks beyond the {tasks} of meta/tasks.parquet", folder, name)
    times = real_numbers(table, "timestamp", folder)
    late = np.flatnonzero(np.abs(times - frame / spec.FPS) > 0.5 / spec.FPS)
    if len(late):
        raise _wrong(f"frame {late[0]} is not at a multiple of 1/{spec.FPS} s of its episode", folder, "timestamp")


def check_episodes(table: pa.Table, cameras: Sequence[str], frames: int, folder: Path) -> None:
    """The rows of `meta/episodes`, in order, are those of a dataset of `frames` frames, with videos of `cameras`."""
    for name in ("data/chunk_index", "data/file_index"):
        whole_numbers(table, name, folder, least=0)
    lengths = whole_numbers(table, "length", folder, least=1)
    if not np.array_equal(whole_numbers(table, "episode_index", folder), np.arange(len(lengths))):
        raise _wrong(f"does not count from 0 to {len(lengths) - 1}", folder, "episode_index")
    ends = np.cumsum(lengths)
    if ends[-1] != frames:
        raise _wrong(f"{ends[-1]} frames in all, meta/info.json promises {frames}", folder, "length")
    for name, wanted in (("dataset_from_index", ends - lengths), ("dataset_to_index", ends)):
        if not np.array_equal(whole_numbers(table, name, folder), wanted):
            raise _wrong("does not fit the episodes' lengths", folder, name)
    for camera in cameras:
        for what in ("chunk_index", "file_index"):
            whole_numbers(table, f"videos/{camera}/{what}", folder, least=0)
        start, end = (real_numbers(table, f"videos/{camera}/{what}_timestamp", folder) for what in ("from", "to"))
        if np.any(start < 0) or np.any(np.abs(end - start - lengths / spec.FPS) > 0.5 / spec.FPS):
            raise _wrong("does not fit the episodes' lengths", folder, f"videos/{camera}/to_timestamp")


def check_tasks(table: pa.Table, path: Path) -> int:
    """The number of tasks in `meta/tasks.parquet`, at least one, which are numbered from 0."""
    numbers = whole_numbers(table, "task_index", path)
    if not len(numbers) or set(numbers.tolist()) != set(range(len(numbers))):
        raise _wrong("does not number the tasks from 0 on", path, "task_index")
    names = [name for name in ("task", "__index_level_0__") if name in table.column_names]
    if not names or not all(isinstance(task, str) for task in table[names[0]].to_pylist()):
        raise _wrong("is not the text of a task", path, "task")
    return len(numbers)


def check_statistics(path: Path, widths: Mapping[str, int]) -> None:
    """`meta/stats.json` has finite statistics of as many components as `widths` says, by feature."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _wrong(f"cannot be read: {str(error)[:200]}", path, None) from error
    for feature, width in widths.items():
        found = content.get(feature) if isinstance(content, dict) else None
        for name in _STATISTICS:
            field = f"{feature}.{name}"
            try:
                values = np.asarray((found or {})[name], np.float64).ravel()
            except (KeyError, TypeError, ValueError, OverflowError):
                raise _wrong("is missing, or no numbers", path, field) from None
            if len(values) != width or not np.isfinite(values).all():
                raise _wrong(f"is not {width} finite numbers", path, field)
            if name == "std" and np.any(values < 0):
                raise _wrong("is negative", path, field)


def whole_numbers(table: pa.Table, name: str, place: Path, least: int | None = None) -> NDArray[np.int64]:
    """A column of whole numbers, none missing."""
    import pyarrow as pa

    column = _column(table, name, place)
    if not pa.types.is_integer(column.type) or column.null_count:
        raise _wrong("is not a whole number everywhere", place, name)
    values = np.asarray(column.to_numpy(), np.int64)
    if least is not None and np.any(values < least):
        raise _wrong(f"is less than {least} somewhere", place, name)
    return values


def real_numbers(table: pa.Table, name: str, place: Path) -> NDArray[np.float64]:
    """A column of finite numbers."""
    import pyarrow as pa

    column = _column(table, name, place)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)) or column.null_count:
        raise _wrong("is not a number everywhere", place, name)
    values = np.asarray(column.to_numpy(), np.float64)
    if not np.isfinite(values).all():
        raise _wrong("is not a finite number everywhere", place, name)
    return values


def joint_numbers(table: pa.Table, name: str, place: Path) -> NDArray[np.float32]:
    """A column of joint positions, `(rows, 6)`; numbers may be NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = _column(table, name, place).combine_chunks()
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)
    if not is_list or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise _wrong("is not a list of numbers", place, name)
    widths = pc.unique(pc.list_value_length(column)).to_pylist()
    if set(widths) - {len(spec.JOINTS)} or column.flatten().null_count:
        raise _wrong(f"is not {len(spec.JOINTS)} numbers everywhere", place, name)
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(-1, len(spec.JOINTS))


def _column(table: pa.Table, name: str, place: Path) -> pa.ChunkedArray:
    if table.column_names.count(name) != 1:
        raise _wrong("the column is missing", place, name)
    return table[name]


def _wrong(message: str, place: Path, field: str | None) -> InvalidFileError:
    return InvalidFileError(message, file=place, field=field, cure=RECORD_AGAIN)
