"""Reading datasets: quick readers agree with LeRobot's, and what is broken is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoarm.data.collection import SIDECAR, Collection, CollectionSettings, EpisodeRecord
from autoarm.data.dataset import (
    check_dataset,
    demonstrations,
    episode_frames,
    episode_views,
    joint_columns,
    open_lerobot,
    read_collection,
    read_info,
)
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError


@pytest.fixture
def copy(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A copy of the dataset to damage."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "copy"))


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


# -- Reading ---------------------------------------------------------------------------------------------------------


def test_info(tiny_dataset: Path) -> None:
    info = check_dataset(tiny_dataset)
    assert (info.episodes, info.image_size) == (2, (96, 128))
    assert info.frames == sum(len(d.actions) for d in demonstrations(tiny_dataset))


def test_demonstrations_say_where_the_cube_lay(tiny_dataset: Path) -> None:
    first, second = demonstrations(tiny_dataset)
    assert (first.spot, second.spot) == ("centre", "near-left")
    for demonstration in (first, second):
        assert demonstration.states.shape == demonstration.actions.shape
        assert demonstration.states.dtype == demonstration.actions.dtype == np.float32
        assert demonstration.spot is not None
        offset = np.subtract(demonstration.cube_xy, spec.SPOTS[demonstration.spot])
        assert 0 < np.abs(offset).max() <= 0.003


def test_the_same_numbers_and_frames_as_lerobot_reads(tiny_dataset: Path) -> None:
    dataset = open_lerobot(tiny_dataset, return_uint8=True)
    states, actions, episodes = joint_columns(tiny_dataset)
    assert len(states) == len(dataset)
    start = int(np.flatnonzero(episodes == 1)[0])
    frames = {camera: episode_frames(tiny_dataset, 1, camera) for camera in spec.CAMERAS}
    for index in (start, start + 1, start + 77, len(dataset) - 1):
        item = dataset[index]
        assert np.array_equal(item["observation.state"].numpy(), states[index])
        assert np.array_equal(item["action"].numpy(), actions[index])
        assert int(item["episode_index"]) == episodes[index]
        for camera in spec.CAMERAS:
            seen = item[f"observation.images.{camera}"].permute(1, 2, 0).numpy()
            assert np.array_equal(seen, frames[camera][index - start])


@pytest.mark.parametrize("episode", [-1, 2])
def test_no_such_episode(tiny_dataset: Path, episode: int) -> None:
    with pytest.raises(InvalidInputError, match="0 to 1"):
        episode_frames(tiny_dataset, episode, "top")


def test_no_such_camera(tiny_dataset: Path) -> None:
    with pytest.raises(InvalidInputError, match="top, lateral"):
        episode_frames(tiny_dataset, 0, "wrist")


# -- What is broken is named -----------------------------------------------------------------------------------------


def set_info(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "meta/info.json", lambda info: info.update(changes))


def set_feature(name: str, **changes: Any) -> Callable[[Path], None]:
    def change(info: dict[str, Any]) -> None:
        info["features"][name].update(changes)

    return lambda folder: edit_json(folder / "meta/info.json", change)


def drop_feature(name: str) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "meta/info.json", lambda info: info["features"].pop(name))


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def remove(pattern: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for path in folder.glob(pattern):
            path.unlink()

    return act


def cut(pattern: str) -> Callable[[Path], None]:
    """Leave the first half of a file, as a full disk or a crash would."""

    def act(folder: Path) -> None:
        (path,) = folder.glob(pattern)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return act


def poison(column: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (path,) = folder.glob("data/*/*.parquet")
        table = pq.ParquetFile(path).read()
        values = table[column].to_pylist()
        values[7][2] = float("nan")
        at = table.column_names.index(column)
        pq.write_table(table.set_column(at, column, pa.array(values, table[column].type)), path)

    return act


def drop_rows(folder: Path) -> None:
    (path,) = folder.glob("data/*/*.parquet")
    table = pq.ParquetFile(path).read()
    pq.write_table(table.slice(0, table.num_rows - 5), path)


def set_column(pattern: str, column: str, change: Callable[[list[Any]], Any]) -> Callable[[Path], None]:
    """Change the values of a column; their type becomes what they are."""

    def act(folder: Path) -> None:
        (path,) = folder.glob(pattern)
        table = pq.ParquetFile(path).read()
        values = change(table[column].to_pylist())
        pq.write_table(table.set_column(table.column_names.index(column), column, pa.array(values)), path)

    return act


def drop_column(pattern: str, column: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (path,) = folder.glob(pattern)
        pq.write_table(pq.ParquetFile(path).read().drop_columns([column]), path)

    return act


def set_statistic(feature: str, name: str, value: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "meta/stats.json", lambda stats: stats[feature].update({name: value}))


def as_text(values: list[Any]) -> list[str]:
    return [str(value) for value in values]


def backwards(values: list[Any]) -> list[Any]:
    return values[::-1]


FRAMES, EPISODES, TASKS = "data/*/*.parquet", "meta/episodes/*/*.parquet", "meta/tasks.parquet"


@pytest.mark.parametrize(
    ("damage", "file", "field"),
    [
        *((set_column(FRAMES, name, as_text), "data", name) for name in ("action", "timestamp", "frame_index")),
        *((drop_column(FRAMES, name), "data", name) for name in ("observation.state", "episode_index", "task_index")),
        (set_column(FRAMES, "action", lambda rows: [None, *rows[1:]]), "data", "action"),
        (set_column(FRAMES, "action", lambda rows: [row[:5] for row in rows]), "data", "action"),
        (set_column(FRAMES, "index", lambda rows: [row + 1 for row in rows]), "data", "index"),
        (set_column(FRAMES, "frame_index", backwards), "data", "frame_index"),
        (set_column(FRAMES, "episode_index", backwards), "data", "episode_index"),
        (set_column(FRAMES, "timestamp", lambda rows: [2 * row for row in rows]), "data", "timestamp"),
        (set_column(FRAMES, "task_index", lambda rows: [1 for _ in rows]), "data", "task_index"),
        *((set_column(EPISODES, name, as_text), "episodes", name) for name in ("length", "data/file_index")),
        (drop_column(EPISODES, "episode_index"), "episodes", "episode_index"),
        (set_column(EPISODES, "dataset_to_index", backwards), "episodes", "dataset_to_index"),
        (
            set_column(EPISODES, "videos/observation.images.top/from_timestamp", lambda rows: [-1.0 for _ in rows]),
            "episodes",
            "videos/observation.images.top/to_timestamp",
        ),
        (remove(TASKS), "copy", None),
        (cut(TASKS), "tasks.parquet", None),
        (set_column(TASKS, "task_index", lambda rows: [7 for _ in rows]), "tasks.parquet", "task_index"),
        (set_column(TASKS, "task", lambda rows: [0 for _ in rows]), "tasks.parquet", "task"),
        (remove("meta/stats.json"), "stats.json", None),
        (write("meta/stats.json", "{"), "stats.json", None),
        (write("meta/stats.json", "[" * 100_000), "stats.json", None),
        (set_statistic("action", "std", [1.0] * 5), "stats.json", "action.std"),
        (set_statistic("action", "mean", [float("nan")] * 6), "stats.json", "action.mean"),
        (set_statistic("action", "std", [-1.0] * 6), "stats.json", "action.std"),
        (set_statistic("observation.images.top", "mean", "x"), "stats.json", "observation.images.top.mean"),
        (set_feature("timestamp", shape="x"), "info.json", "features.timestamp.shape"),
        (set_feature("index", dtype="float32"), "info.json", "features.index.dtype"),
        (drop_feature("task_index"), "info.json", "features.task_index"),
        (set_info(total_frames=True), "info.json", "total_frames"),
        (set_info(total_tasks=float("-inf")), "info.json", "total_tasks"),
        (set_info(video_path="{nowhere}"), "info.json", "video_path"),
        (remove("meta/info.json"), "copy", None),
        (write("meta/info.json", "{"), "info.json", None),
        (write("meta/info.json", "[]"), "info.json", None),
        (set_info(codebase_version="v2.1"), "info.json", "codebase_version"),
        (set_info(fps=15), "info.json", "fps"),
        (set_info(features=None), "info.json", "features"),
        (set_info(total_frames="many"), "info.json", "total_frames"),
        (set_info(total_frames=9), "data", None),
        (set_info(total_episodes=3), "episodes", None),
        (set_feature("action", names=list("abcdef")), "info.json", "features.action.names"),
        (set_feature("observation.state", shape=[7]), "info.json", "features.observation.state.shape"),
        (drop_feature("observation.images.lateral"), "info.json", "features.observation.images.lateral"),
        (set_feature("observation.images.top", dtype="image"), "info.json", "features.observation.images.top.dtype"),
        (set_feature("observation.images.top", shape=[3]), "info.json", "features.observation.images.top.shape"),
        (set_feature("observation.images.top", shape=[8, 8, 3]), "info.json", "features"),
        (remove("data/*/*.parquet"), "copy", None),
        (cut("data/*/*.parquet"), "file-000.parquet", None),
        (cut("meta/episodes/*/*.parquet"), "file-000.parquet", None),
        (drop_rows, "data", None),
        (poison("observation.state"), "data", "observation.state"),
        (poison("action"), "data", "action"),
        (remove("videos/observation.images.lateral/*/*.mp4"), "file-000.mp4", None),
    ],
)
def test_damage_is_named(damage: Callable[[Path], object], file: str, field: str | None, copy: Path) -> None:
    damage(copy)
    with pytest.raises(InvalidFileError) as caught:
        check_dataset(copy)
    assert caught.value.file is not None
    assert Path(caught.value.file).name == file
    assert caught.value.field == field
    assert caught.value.cure


def test_a_nan_is_located(copy: Path) -> None:
    poison("action")(copy)
    with pytest.raises(InvalidFileError, match=r"episode 0 \(frame 7 of the dataset\)"):
        demonstrations(copy)


def test_a_cut_video_is_named(copy: Path) -> None:
    cut("videos/observation.images.top/*/*.mp4")(copy)
    with pytest.raises(InvalidFileError, match=r"file-000\.mp4"):
        episode_frames(copy, 1, "top")


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="no such folder"):
        read_info(tmp_path / "nowhere")


# -- The sidecar -----------------------------------------------------------------------------------------------------

records = st.builds(
    EpisodeRecord,
    spot=st.sampled_from([None, *spec.SPOTS]),
    seed=st.integers(0, 2**31),
    attempts=st.integers(1, 10),
    frames=st.integers(1, 300),
    scene=st.fixed_dictionaries({"cube": st.fixed_dictionaries({"x": st.floats(0, 1), "y": st.floats(-1, 1)})}),
)
settings = st.builds(
    CollectionSettings,
    seed=st.integers(0, 2**40),
    spots=st.lists(st.sampled_from(list(spec.SPOTS)), unique=True).map(tuple),
    episodes=st.integers(1, 100),
    image_size=st.tuples(st.integers(1, 480), st.integers(1, 640)),
    vcodec=st.sampled_from(["h264", "libsvtav1"]),
)
collections = st.builds(
    Collection,
    env_id=st.text(max_size=9),
    settings=settings,
    versions=st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
    episodes=st.lists(records, max_size=4).map(tuple),
)


@given(collection=collections)
def test_the_sidecar_comes_back_as_it_was(collection: Collection, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("sidecar") / "autoarm.json"
    collection.save(path)
    assert Collection.load(path) == collection


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda data: data.update(colour="blue"), "colour"),
        (lambda data: data.update(schema_version=2), "schema_version"),
        (lambda data: data["episodes"][1].update(seed=-4), "episodes.1.seed"),
        (lambda data: data["settings"].pop("spots"), "settings.spots"),
        (lambda data: data["episodes"].pop(), "episodes"),
        (lambda data: data["episodes"].reverse(), "episodes"),
    ],
)
def test_a_wrong_sidecar_is_named(change: Callable[[dict[str, Any]], object], field: str, copy: Path) -> None:
    edit_json(copy / SIDECAR, change)
    with pytest.raises(InvalidFileError) as caught:
        read_collection(copy)
    assert caught.value.file == str(copy / SIDECAR)
    assert caught.value.field == field


def test_a_dataset_without_a_sidecar_has_no_cubes(copy: Path) -> None:
    (copy / SIDECAR).unlink()
    check_dataset(copy)
    with pytest.raises(InvalidFileError, match="where the cube lay"):
        demonstrations(copy)


def test_views_are_the_frames_of_each_camera(tiny_dataset: Path) -> None:
    views = episode_views(tiny_dataset, 1)
    assert list(views) == list(spec.CAMERAS)
    for camera, frames in views.items():
        np.testing.assert_array_equal(frames, episode_frames(tiny_dataset, 1, camera))
