"""Any LeRobotDataset of an SO-101 as motions: what was commanded is its actions, where the arm was its states.

Unlike `autoarm.data.dataset`, which reads what policies are trained on, it takes any rate, any cameras, joints in any
order, and versions 2 and 3 of the format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from autoarm.data.collection import SIDECAR
from autoarm.data.dataset import ACTION, STATE
from autoarm.system_id.motion import Motion, Vector, check_units, whole_motions
from autoarm.system_id.units import Units, half_ranges, to_degrees, units_of
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError

_FOLDER: Final = "give the folder that holds meta/info.json"
_FREE: Final = tuple(joint for joint in spec.JOINTS if joint != "gripper")


@dataclass(frozen=True)
class ArmDataset:
    """A dataset that records an SO-101.

    Attributes:
        folder: Where it is.
        info: What `meta/info.json` says.
        units: What its joints are counted in.
    """

    folder: Path
    info: dict[str, Any]
    units: Units

    @property
    def fps(self) -> Fraction:
        """Rows and frames a second."""
        return Fraction(str(self.info["fps"]))

    @property
    def cameras(self) -> dict[str, str]:
        """Features that are videos, by the camera's name."""
        features = self.info["features"]
        return {name.rsplit(".", 1)[-1]: name for name, each in features.items() if each.get("dtype") == "video"}

    @cached_property
    def columns(self) -> _Columns:
        """All rows, degrees."""
        raw = _columns(self.folder, self.info)
        if self.units == "degrees":
            return raw
        half = half_ranges(raw.positions)
        return replace(raw, goals=to_degrees(raw.goals, half), positions=to_degrees(raw.positions, half))

    @property
    def episodes(self) -> list[int]:
        """Numbers of the episodes."""
        return [int(number) for number in np.unique(self.columns.episodes)]

    def recorded(self, episode: int, free: bool = False) -> Motion:
        """An episode as it was recorded, gaps included.

        Args:
            episode: Number of the episode.
            free: Whether the gripper held nothing, so that its motion is compared, too.

        Raises:
            InvalidInputError: If there is no such episode.
        """
        if episode not in self.episodes:
            raise InvalidInputError(
                f"there is no episode {episode}", field="episode", cure=f"{self.episodes[0]} to {self.episodes[-1]}"
            )
        rows, all_rows = self.columns.episodes == episode, self.columns
        name = f"{self.folder.name}, episode {episode}"
        compared = spec.JOINTS if free else _FREE
        return Motion(name, all_rows.times[rows], all_rows.goals[rows], all_rows.positions[rows], compared)

    def motions(self, episodes: Sequence[int] = (), free: bool = False) -> tuple[list[Motion], list[str]]:
        """Episodes, all by default, and what is to be said of them; see `recorded`.

        Raises:
            InvalidFileError: If one is shorter than a second.
        """
        found, said = [], []
        for episode in episodes or self.episodes:
            parts, notes = whole_motions(self.recorded(episode, free), self.folder)
            found += parts
            said += notes
        return found, said

    def frames(self, episode: int, camera: str) -> Iterator[NDArray[np.uint8]]:
        """Frames of a camera `(height, width, 3)`, one for each row of the episode. Raises `InvalidFileError`."""
        import av

        key = self.cameras[camera]
        path, start = self._video(episode, key)
        half = 0.5 / float(self.fps)
        count = int((self.columns.episodes == episode).sum())
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                assert stream.time_base is not None
                container.seek(max(0, round((start - half) / stream.time_base)), stream=stream, backward=True)
                for frame in container.decode(stream):
                    if frame.time is not None and frame.time >= start - half and count > 0:
                        yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                        count -= 1
        except (OSError, IndexError, av.error.FFmpegError) as error:
            raise InvalidFileError(
                f"cannot be decoded: {error}", file=path, cure="get the dataset's videos again"
            ) from error

    def _video(self, episode: int, key: str) -> tuple[Path, float]:
        """The file with an episode's video, and where in it the episode starts, seconds."""
        template = str(self.info.get("video_path", ""))
        tables = sorted(self.folder.glob("meta/episodes/*/*.parquet"))
        if not tables:  # version 2: a file an episode
            chunk = episode // int(self.info.get("chunks_size", 1000))
            name = template.format(episode_chunk=chunk, episode_index=episode, video_key=key)
            return self.folder / name, 0.0
        wanted = [
            "episode_index",
            *(f"videos/{key}/{what}" for what in ("chunk_index", "file_index", "from_timestamp")),
        ]
        for row in (row for path in tables for row in pq.ParquetFile(path).read(wanted).to_pylist()):
            number, chunk, file, start = (row[name] for name in wanted)
            if number == episode:
                return self.folder / template.format(video_key=key, chunk_index=chunk, file_index=file), float(start)
        raise InvalidFileError(f"knows no episode {episode}", file=self.folder / "meta/episodes", cure=_FOLDER)


def open_arm_dataset(folder: str | Path, units: Units | None = None) -> ArmDataset:
    """A dataset of an SO-101.

    Args:
        folder: Its folder.
        units: What its joints are counted in; `None` finds out: degrees if `autoarm collect` recorded it, otherwise as
            `autoarm.system_id.units` says.

    Raises:
        InvalidFileError: Naming the file and the field, if it is none, of another robot, or does not tell its units.
    """
    folder = Path(folder)
    path = folder / "meta" / "info.json"
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidFileError("not a LeRobotDataset: meta/info.json is missing", file=folder, cure=_FOLDER) from None
    except (OSError, ValueError) as error:
        raise InvalidFileError(f"not JSON: {error}", file=path, cure=_FOLDER) from error
    if not isinstance(info, dict) or not isinstance(info.get("features"), dict):
        raise InvalidFileError("is missing", file=path, field="features", cure=_FOLDER)
    if not isinstance(info.get("fps"), int | float) or info["fps"] <= 0:
        raise InvalidFileError(f"{info.get('fps')!r} is no rate", file=path, field="fps", cure=_FOLDER)
    if units is None and (folder / SIDECAR).is_file():
        units = "degrees"
    raw = _columns(folder, info)
    if units is None:
        units = units_of(raw.positions[np.isfinite(raw.positions).all(axis=1)])
    if units is None:
        raise InvalidFileError(
            "does not tell whether joints are in degrees or from -100 to 100",
            file=folder,
            field=STATE,
            cure="say --units degrees or --units percent",
        )
    dataset = ArmDataset(folder, info, units)
    check_units(np.concatenate([dataset.columns.positions, dataset.columns.goals]), folder)
    return dataset


@dataclass(frozen=True)
class _Columns:
    times: Vector
    goals: Vector
    positions: Vector
    episodes: NDArray[np.int64]


def _columns(folder: Path, info: dict[str, Any]) -> _Columns:
    """The rows of all episodes, joints in the contract's order, in the dataset's own unit."""
    paths = sorted(folder.glob("data/*/*.parquet"))
    if not paths:
        raise InvalidFileError("half-written: no data/*/*.parquet", file=folder, cure=_FOLDER)
    order = {name: _order(folder, info, name) for name in (ACTION, STATE)}
    wanted = [ACTION, STATE, "timestamp", "episode_index"]
    try:
        table = pa.concat_tables([pq.ParquetFile(path).read(wanted) for path in paths])
        joints = {
            name: np.asarray(table[name].to_pylist(), np.float64).reshape(len(table), -1)[:, order[name]]
            for name in order
        }
    except (OSError, pa.ArrowInvalid, KeyError, ValueError, IndexError) as error:
        raise InvalidFileError(f"half-written or damaged: {error}", file=folder / "data", cure=_FOLDER) from error
    times = np.asarray(table["timestamp"].to_numpy(), np.float64)
    episodes = np.asarray(table["episode_index"].to_numpy(), np.int64)
    if not len(times):
        raise InvalidFileError("there are no episodes in it", file=folder / "data", cure=_FOLDER)
    sequence = np.lexsort((times, episodes))
    return _Columns(times[sequence], joints[ACTION][sequence], joints[STATE][sequence], episodes[sequence])


def _order(folder: Path, info: dict[str, Any], feature: str) -> list[int]:
    """Where in a feature the contract's joints are."""
    path = folder / "meta/info.json"
    described = info["features"].get(feature)
    if not isinstance(described, dict):
        raise InvalidFileError("is missing", file=path, field=f"features.{feature}", cure="record goals and states")
    names = described.get("names") or []
    if isinstance(names, dict):  # version 2 has a list by kind
        names = [name for kind in names.values() for name in kind]
    plain = [str(name).removesuffix(".pos").removeprefix("main_") for name in names]
    missing = [joint for joint in spec.JOINTS if joint not in plain]
    if missing:
        raise InvalidFileError(
            f"has no {', '.join(missing)}: of another robot",
            file=path,
            field=f"features.{feature}.names",
            cure="use a dataset of one SO-101 or SO-100",
        )
    return [plain.index(joint) for joint in spec.JOINTS]
