"""Labels of a dataset's frames, for probes: where the cube was, whether it was held, the stage of the task.

A LeRobotDataset holds joints and images. The other labels are found by replaying the recorded actions from the recorded
scene, with a check that the joints come out as recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from autoarm.data.dataset import check_dataset, joint_columns, read_collection
from autoarm.data.frames import cached_frames
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.expert import yaw_of
from gym_autoarm.kinematics import wrap
from gym_autoarm.scene_data import restore_scene
from gym_autoarm.task import TaskMonitor

if TYPE_CHECKING:
    from autoarm.policies.lerobot import LeRobotPolicy

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Frames = NDArray[np.uint8]
Target = Literal["cube", "start", "yaw", "joints", "action", "grasped", "stage"]

CLASSES: Final[frozenset[str]] = frozenset({"grasped", "stage"})
"""Targets that are classes; the others are numbers."""

_DIVERGED: Final = 0.5
"""Degrees by which a joint may miss its recorded position before the replay is no longer the recording."""
_SMALL: Final = (48, 64)
"""Image size of the environment, which renders nothing here."""


@dataclass(frozen=True, eq=False)
class FrameLabels:
    """Labels of frames of a dataset, in its order.

    Attributes:
        index: Number of the frame in the dataset, `(n,)`.
        episode: Number of the episode, `(n,)`.
        step: Number of the frame in its episode, `(n,)`.
        spot: Where the cube lay at the episode's start, as a number for each spot, or each episode where it could lie
            anywhere, `(n,)`.
        state: Joints, degrees and 0..100, `(n, 6)`.
        action: The next action, `(n, 6)`.
        cube: Where the cube is now, metres, `(n, 2)`.
        start: Where it lay at the episode's start, metres, `(n, 2)`.
        yaw: Its turn now, degrees within 45 of straight, as four sides look alike, `(n, 1)`.
        grasped: Whether both jaws hold it, 0 or 1, `(n,)`.
        stage: The furthest entered, an index into `spec.STAGES`, `(n,)`.
    """

    index: Integers
    episode: Integers
    step: Integers
    spot: Integers
    state: Floats
    action: Floats
    cube: Floats
    start: Floats
    yaw: Floats
    grasped: Integers
    stage: Integers

    def __len__(self) -> int:
        return len(self.index)

    def target(self, name: Target) -> NDArray[Any]:
        """The values of a target: numbers `(n, k)`, or classes `(n,)`."""
        values: NDArray[Any] = getattr(self, "state" if name == "joints" else name)
        return values

    def select(self, rows: NDArray[Any]) -> FrameLabels:
        """Some rows, given by number or mask."""
        return FrameLabels(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def every(self, steps: int) -> FrameLabels:
        """Each `steps`th frame of each episode: neighbours are nearly copies of each other."""
        if steps < 1:
            raise InvalidInputError(f"{steps} is no stride", field="steps", cure="at least 1")
        return self.select(self.step % steps == 0)


def frame_labels(dataset: Path, episodes: Sequence[int] | None = None) -> FrameLabels:
    """Label the frames of a dataset that `autoarm collect` recorded, by replaying its episodes.

    Args:
        dataset: LeRobotDataset folder.
        episodes: Numbers of the episodes; all by default.

    Raises:
        InvalidFileError: If there is no record of the scenes, or the replay does not give the recorded joints.
        InvalidInputError: If there is no such episode.
    """
    collection = read_collection(dataset)
    states, actions, index = joint_columns(dataset)
    count = len(collection.episodes)
    wanted = range(count) if episodes is None else episodes
    names = list(dict.fromkeys(episode.spot for episode in collection.episodes))
    env = PickIntoBoxEnv(_SMALL, cameras=False)
    parts = []
    for number in wanted:
        if not 0 <= number < count:
            raise InvalidInputError(f"there is no episode {number}", field="episodes", cure=f"0 to {count - 1}")
        record = collection.episodes[number]
        rows = np.flatnonzero(index == number)
        truth = _replay(env, restore_scene(record.scene), record.seed, states[rows], actions[rows])
        if truth is None:
            raise InvalidFileError(
                f"episode {number} does not replay to the recorded joints",
                file=dataset,
                cure="label it with the versions it was recorded with, or record it again with `autoarm collect`",
            )
        spot = number if record.spot is None else names.index(record.spot)
        parts.append(
            FrameLabels(
                index=rows,
                episode=np.full(len(rows), number),
                step=np.arange(len(rows)),
                spot=np.full(len(rows), spot),
                state=states[rows],
                action=actions[rows],
                start=np.tile(np.asarray(record.cube_xy, np.float32), (len(rows), 1)),
                **truth,
            )
        )
    if not parts:
        raise InvalidInputError("no episode", field="episodes", cure="name at least one")
    return FrameLabels(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(parts[0])}
    )


def input_size(policy: LeRobotPolicy, frames: tuple[int, int]) -> tuple[int, int]:
    """Height and width that a policy's own preprocessor makes of frames of a size."""
    from autoarm.policies.lerobot import resized_to

    return resized_to(policy._preprocess) or frames


def dataset_frames(dataset: Path, image_size: tuple[int, int] | None = None) -> Frames:
    """All frames of a dataset `(frames, cameras, h, w, 3)`, decoded and resized once, mapped from a file."""
    info = check_dataset(dataset)
    return cached_frames(info, image_size or info.image_size)


def dataset_batches(
    policy: LeRobotPolicy, frames: Frames, labels: FrameLabels, size: int = 32
) -> Iterator[dict[str, Any]]:
    """Batches of labelled frames, as the policy's preprocessor returns them.

    Args:
        policy: With its processors.
        frames: All frames of the dataset, as `dataset_frames` returns them at `input_size`.
        labels: Labels of the frames to take, with their states.
        size: Batch size.
    """
    for first in range(0, len(labels), size):
        rows = slice(first, first + size)
        seen = frames[labels.index[rows]]
        yield policy_batch(policy, {c: seen[:, n] for n, c in enumerate(spec.CAMERAS)}, labels.state[rows])


def policy_batch(policy: LeRobotPolicy, pixels: dict[str, Frames], states: Floats) -> dict[str, Any]:
    """A batch, as the policy's preprocessor returns it, of pixels `(n, h, w, 3)` by camera, states `(n, 6)`."""
    shown = {camera: np.ascontiguousarray(frames) for camera, frames in pixels.items()}
    return policy.batch({"pixels": shown, "agent_pos": np.asarray(states, np.float32)})


def _replay(
    env: PickIntoBoxEnv, scene: Any, seed: int, states: Floats, actions: Floats
) -> dict[str, NDArray[Any]] | None:
    """The labels before each action, or None if the joints differ from the recorded ones."""
    observation, info = env.reset(seed=seed, options={"scene": scene})
    monitor = TaskMonitor(env.model, scene)
    cube, yaw, grasped, stage = [], [], [], []
    for state, action in zip(states, actions, strict=True):
        if np.abs(observation["agent_pos"] - state).max() > _DIVERGED:
            return None
        cube.append(info["cube_pose"][:2])
        yaw.append([wrap(yaw_of(info["cube_pose"]), 90.0)])
        grasped.append(monitor.contacts(env.data).grasped)
        stage.append(spec.STAGES.index(info["stage"]))
        observation, _, _, _, info = env.step(action)
    return {
        "cube": np.asarray(cube, np.float32),
        "yaw": np.asarray(yaw, np.float32),
        "grasped": np.asarray(grasped, np.int64),
        "stage": np.asarray(stage, np.int64),
    }
