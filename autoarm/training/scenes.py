"""Frames of random scenes, labelled by the simulator with what they show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.data.frames import Frames, cache_root, check_room, resize
from autoarm.runtime.tasks import run_tasks
from autoarm.training.config import drop_defaults
from gym_autoarm import spec
from gym_autoarm.body_data import body_changes
from gym_autoarm.body_files import DEFAULT_BODY, load_body
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.expert import Expert, Style, yaw_of
from gym_autoarm.rng import stream
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene
from gym_autoarm.variation import check_variations

LABELS: Final = ("cube x", "cube y", "cube z", "cos 4 yaw", "sin 4 yaw", "grasp x", "grasp y", "grasp z")
"""What every frame is labelled with: positions in metres. A cube looks the same after a quarter turn, hence the factor
of 4."""
BOX_LABELS: Final = ("box x", "box y")
"""What frames are labelled with besides, where the box is not always at its place."""


@dataclass(frozen=True)
class Scenes:
    """How random scenes are drawn.

    Attributes:
        count: Scenes: cubes anywhere in the work area, each picked up by the expert.
        moments: Frames of each scene, at random moments of the expert's motion.
        render_size: Height and width that frames are drawn at before they are resized.
        seed: Seed of all random numbers.
        body: How the arm answers: a name or a file, see `gym_autoarm.body_files.load_body`.
        area: Bounds of x and of y, metres, between which the cubes lie.
        vary: What else is drawn at random, out of `gym_autoarm.variation.VARIATIONS`, or `all`.
    """

    count: int = 3000
    moments: int = 6
    render_size: tuple[int, int] = (240, 320)
    seed: int = 0
    body: str = DEFAULT_BODY
    area: spec.Area = spec.WORK_AREA
    vary: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """What the frames are labelled with."""
        return LABELS + (BOX_LABELS if "box" in check_variations(self.vary) else ())

    def plain(self) -> dict[str, Any]:
        """The options as JSON data; those that came later are left out at their defaults."""
        data = asdict(self)
        drop_defaults(data, {"area": spec.WORK_AREA, "vary": ()})
        return data


@dataclass(frozen=True)
class LabelledFrames:
    """Frames uint8 `(n, cameras, h, w, 3)`, labels `(n, labels)` and the scene of each, `(n,)`."""

    frames: Frames
    labels: NDArray[np.float32]
    scenes: NDArray[np.int64]


class SceneRenderer:
    """Makes the frames of one scene after the other.

    Args:
        scenes: How they are drawn.
        image_size: Height and width of the frames that come out.
    """

    def __init__(self, scenes: Scenes, image_size: tuple[int, int]) -> None:
        if scenes.count < 1 or scenes.moments < 1:
            raise InvalidInputError("there is nothing to draw", field="scenes", cure="at least 1 of 1 moment")
        self._scenes, self._image_size = scenes, image_size
        self._env = PickIntoBoxEnv(scenes.render_size, cameras=False)
        base = Scene(body=load_body(scenes.body))
        self._distribution = SceneDistribution(area=scenes.area, vary=scenes.vary, base=base)
        self._expert = Expert()

    def __call__(self, index: int) -> LabelledFrames:
        """The frames of a scene, a function of the seed and the scene's number alone."""
        seed = int(stream(self._scenes.seed, "pretrain", index).integers(2**32))
        scene = self._distribution.sample(seed)
        observation, info = self._env.reset(seed=seed, options={"scene": scene})
        way = self._expert.plan_for(info, observation["agent_pos"], Style.sample(seed))
        moments = np.sort(stream(seed, "moments").choice(len(way), self._scenes.moments, replace=False))
        frames, labels, taken = [], [], 0
        for moment in moments:
            if moment > taken:
                _, _, _, _, info = self._env.step_chunk(way[taken:moment])
                taken = int(moment)
            frames.append(np.stack([self._env.frame(camera) for camera in spec.CAMERAS]))
            labels.append(_label(info, scene, len(self._scenes.labels)))
        stack = np.concatenate(frames)
        small = resize(stack, self._image_size).reshape(len(moments), len(spec.CAMERAS), *self._image_size, 3)
        return LabelledFrames(small, np.stack(labels), np.full(len(moments), index))

    def close(self) -> None:
        """Free the GL context."""
        self._env.close()


def _label(info: dict[str, NDArray[np.float32]], scene: Scene, count: int) -> NDArray[np.float32]:
    x, y, z = info["cube_pose"][:3]
    yaw = np.radians(yaw_of(np.asarray(info["cube_pose"], np.float64)))
    box = scene.box.x, scene.box.y
    return np.array([x, y, z, np.cos(4 * yaw), np.sin(4 * yaw), *info["grasp_path"][-1], *box][:count], np.float32)


def render_scenes(
    scenes: Scenes,
    image_size: tuple[int, int],
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    root: Path | None = None,
) -> LabelledFrames:
    """Frames of random scenes, memory-mapped: the same ones whatever the number of processes.

    They are kept in a cache. Drawing that was interrupted goes on there.

    Args:
        scenes: How they are drawn.
        image_size: Height and width of the frames that come out.
        workers: Processes.
        progress: Called with the scenes done and the scenes in all.
        root: Folder for the cache; `cache_root()` by default.
    """
    folder = (root or cache_root()) / "scenes"
    folder.mkdir(parents=True, exist_ok=True)
    body = body_changes(load_body(scenes.body))
    text = f"{json.dumps(scenes.plain(), sort_keys=True)} {json.dumps(body, sort_keys=True)} {image_size} v1"
    name = hashlib.sha256(text.encode()).hexdigest()[:24]
    count = scenes.count * scenes.moments
    if not (folder / f"{name}.labels.npy").exists():
        check_room(folder, count * len(spec.CAMERAS) * image_size[0] * image_size[1] * 3, "the rendered frames")
    frames = _file(folder / f"{name}.frames.npy", np.uint8, (count, len(spec.CAMERAS), *image_size, 3))
    labels = _file(folder / f"{name}.labels.npy", np.float32, (count, len(scenes.labels)))
    # A label is never all zeros: a row of them is yet to be made.
    todo = np.flatnonzero(~labels.any(axis=1).reshape(scenes.count, scenes.moments).all(axis=1)).tolist()
    done = scenes.count - len(todo)
    for number, made in run_tasks(todo, partial(SceneRenderer, scenes, image_size), workers=workers):
        rows = slice(todo[number] * scenes.moments, (todo[number] + 1) * scenes.moments)
        frames[rows] = made.frames
        labels[rows] = made.labels
        done += 1
        if progress is not None:
            progress(done, scenes.count)
    frames.flush()
    labels.flush()
    return LabelledFrames(frames, np.array(labels), np.repeat(np.arange(scenes.count), scenes.moments))


def _file(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> Any:
    """A memory-mapped array, of zeros if it is new."""
    mode: Any = "r+" if path.exists() else "w+"
    return np.lib.format.open_memmap(path, mode, dtype, shape)  # type: ignore[no-untyped-call]
