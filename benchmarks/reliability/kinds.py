"""The kinds of files that commands open: an intact example of each, what may happen to it, and what opens it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
import yaml
from mutations import Mutation, mutate_bytes, mutate_json, mutate_parquet, mutate_text, mutate_yaml

ROOT: Final = Path(__file__).resolve().parents[2]
SIZE: Final = (48, 64)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: What it is.
        example: A glob of the damaged file, within the folder that `make` fills.
        make: Fills a folder with an intact example.
        mutations: What may happen to the file.
        use: Opens what is in the folder, as a command does, all the way to its use.
    """

    name: str
    example: str
    make: Callable[[Path], None]
    mutations: tuple[Mutation, ...]
    use: Callable[[Path], object]


TEXT: Final = (mutate_yaml, mutate_yaml, mutate_text, mutate_bytes)
JSON: Final = (mutate_json, mutate_json, mutate_json, mutate_bytes)
TABLE: Final = (mutate_parquet, mutate_parquet, mutate_bytes)
BYTES: Final = (mutate_bytes,)


# -- Files that people write -------------------------------------------------------------------------------------------


def _copy(source: Path) -> Callable[[Path], None]:
    return lambda folder: _copied(source, folder / source.name)


def _copied(source: Path, target: Path) -> None:
    shutil.copy2(source, target)


def _suite(folder: Path) -> object:
    from autoarm.suite.draw import episode
    from autoarm.suite.suite import load_suite

    suite = load_suite(folder / "five-spots-v2.yaml")
    return [episode(suite, axis, level, 0) for axis in suite.axes for level in suite.axes[axis].levels]


def _study(folder: Path) -> object:
    from autoarm.study.plan import load_study

    return load_study(folder / "lookup-table-v1.yaml")


def _body(folder: Path) -> object:
    from gym_autoarm.body_files import load_body
    from gym_autoarm.model import compile_scene
    from gym_autoarm.scene import Scene

    return compile_scene(Scene(body=load_body(folder / "so101-12v.yaml"), surface="plain"))


def _make_camera(folder: Path) -> None:
    content = {"position": [0.2, 0.0, 0.72], "target": [0.2, 0.0, 0.0], "fovy": 36.0, "roll": 1.5}
    (folder / "top.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def _camera(folder: Path) -> object:
    from gym_autoarm.model import compile_scene
    from gym_autoarm.scene_files import load_scene

    return compile_scene(load_scene(top=folder / "top.yaml"))


def _make_robot(folder: Path) -> None:
    cameras = {
        name: {"type": "opencv", "index_or_path": index, "width": 64, "height": 48, "fps": 30}
        for index, name in enumerate(("top", "lateral"))
    }
    content = {
        "type": "so101_follower", "port": "/dev/ttyACM0", "id": "arm", "cameras": cameras, "success": "vision",
        "limits": {"step": 20.0, "voltage": [5, 13], "floor": -0.01}, "box": {"x": 0.2, "y": -0.15},
        "home": [50.0, -98.0, 72.0, 85.0, 90.0, 45.0],
        "leader": {"port": "/dev/ttyACM1", "id": "leader"},
    }  # fmt: skip
    (folder / "robot.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def _robot(folder: Path) -> object:
    from autoarm_hardware.config import load_robot

    config = load_robot(folder / "robot.yaml")
    if config.leader is not None:
        config.leader.make_teleoperator()
    return config.make_env()


# -- Datasets ----------------------------------------------------------------------------------------------------------


def _make_dataset(folder: Path) -> None:
    from autoarm.data.collect import collect

    collect(folder / "data", spots="centre,near-left", episodes_per_spot=1, image_size=SIZE, workers=1)


def _dataset(folder: Path) -> object:
    from autoarm.data.dataset import check_dataset, demonstrations, episode_views, open_lerobot

    data = folder / "data"
    info = check_dataset(data)
    found = demonstrations(data)
    views = [episode_views(data, episode) for episode in range(info.episodes)]
    return found, views, open_lerobot(data)[0]


# -- Checkpoints -------------------------------------------------------------------------------------------------------


def _make_checkpoint(folder: Path) -> None:
    shutil.copytree(Path(str(files("autoarm_assets"))) / "policies/act-five-spots", folder / "act")


def _checkpoint(folder: Path) -> object:
    from autoarm.policies.loading import load_policy
    from gym_autoarm.env import check_actions

    policy = load_policy(str(folder / "act"), image_size=SIZE)
    policy.reset(0, {})
    frame = np.zeros((*SIZE, 3), np.uint8)
    observation = {"pixels": {"top": frame, "lateral": frame}, "agent_pos": np.zeros(6, np.float32)}
    return check_actions(policy.act(observation, {}))


# -- What commands write -----------------------------------------------------------------------------------------------


def _make_result(folder: Path) -> None:
    shutil.copy2(ROOT / "benchmarks/results/five-spots-v2/no-op.json", folder / "result.json")


def _result(folder: Path) -> object:
    from autoarm.results.result import Result

    return Result.load(folder / "result.json")


def _make_motions(folder: Path) -> None:
    rows = 200
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gym_autoarm import spec

    seconds = np.arange(rows) / 30
    columns = {"t": seconds}
    for index, joint in enumerate(spec.JOINTS):
        columns[f"{joint}.goal"] = 20 * np.sin(seconds + index) + 30
        columns[f"{joint}.pos"] = 20 * np.sin(seconds + index - 0.1) + 30
    pq.write_table(pa.table(columns), folder / "motion.parquet")


def _motions(folder: Path) -> object:
    from autoarm.system_id.motion_files import read_motions

    return read_motions(folder)


KINDS: Final = (
    Kind("suite", "five-spots-v2.yaml", _copy(ROOT / "benchmarks/suites/five-spots-v2.yaml"), TEXT, _suite),
    Kind("study", "lookup-table-v1.yaml", _copy(ROOT / "benchmarks/studies/lookup-table-v1.yaml"), TEXT, _study),
    Kind("body", "so101-12v.yaml", _copy(ROOT / "assets/bodies/so101-12v.yaml"), TEXT, _body),
    Kind("camera", "top.yaml", _make_camera, TEXT, _camera),
    Kind("robot", "robot.yaml", _make_robot, TEXT, _robot),
    Kind("dataset: info", "data/meta/info.json", _make_dataset, JSON, _dataset),
    Kind("dataset: statistics", "data/meta/stats.json", _make_dataset, JSON, _dataset),
    Kind("dataset: record", "data/meta/autoarm.json", _make_dataset, JSON, _dataset),
    Kind("dataset: tasks", "data/meta/tasks.parquet", _make_dataset, TABLE, _dataset),
    Kind("dataset: episodes", "data/meta/episodes/*/*.parquet", _make_dataset, TABLE, _dataset),
    Kind("dataset: frames", "data/data/*/*.parquet", _make_dataset, TABLE, _dataset),
    Kind("dataset: video", "data/videos/*/*/*.mp4", _make_dataset, BYTES, _dataset),
    Kind("checkpoint: configuration", "act/config.json", _make_checkpoint, JSON, _checkpoint),
    Kind("checkpoint: preprocessor", "act/policy_preprocessor.json", _make_checkpoint, JSON, _checkpoint),
    Kind("checkpoint: postprocessor", "act/policy_postprocessor.json", _make_checkpoint, JSON, _checkpoint),
    Kind("checkpoint: weights", "act/model.safetensors", _make_checkpoint, BYTES, _checkpoint),
    Kind("checkpoint: statistics", "act/*processor_step*.safetensors", _make_checkpoint, BYTES, _checkpoint),
    Kind("result", "result.json", _make_result, JSON, _result),
    Kind("motions", "motion.parquet", _make_motions, TABLE, _motions),
)
