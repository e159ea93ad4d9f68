"""Frames of random scenes, labelled by the simulator with what they show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm.data.frames import Frames, resize
from gym_autoarm import spec
from gym_autoarm.body_files import DEFAULT_BODY, load_body
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.expert import Expert, Style, yaw_of
from gym_autoarm.rng import stream
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene

LABELS: Final = ("cube x", "cube y", "cube z", "cos 4 yaw", "sin 4 yaw", "grasp x", "grasp y", "grasp z")
"""Positions in metres. A cube looks the same after a quarter turn, hence the factor of 4."""


@dataclass(frozen=True)
class Scenes:
    """How random scenes are drawn.

    Attributes:
        count: Scenes: cubes anywhere in the work area, each picked up by the expert.
        moments: Frames of each scene, at random moments of the expert's motion.
        render_size: Height and width that frames are drawn at before they are resized.
        seed: Seed of all random numbers.
        body: How the arm answers: a name or a file, see `gym_autoarm.body_files.load_body`.
    """

    count: int = 3000
    moments: int = 6
    render_size: tuple[int, int] = (240, 320)
    seed: int = 0
    body: str = DEFAULT_BODY


@dataclass(frozen=True)
class LabelledFrames:
    """Frames uint8 `(n, cameras, h, w, 3)`, labels `(n, len(LABELS))` and the scene of each, `(n,)`."""

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
        self._distribution, self._expert = SceneDistribution(base=Scene(body=load_body(scenes.body))), Expert()

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
            labels.append(_label(info))
        stack = np.concatenate(frames)
        small = resize(stack, self._image_size).reshape(len(moments), len(spec.CAMERAS), *self._image_size, 3)
        return LabelledFrames(small, np.stack(labels), np.full(len(moments), index))

    def close(self) -> None:
        """Free the GL context."""
        self._env.close()


def _label(info: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    x, y, z = info["cube_pose"][:3]
    yaw = np.radians(yaw_of(np.asarray(info["cube_pose"], np.float64)))
    return np.array([x, y, z, np.cos(4 * yaw), np.sin(4 * yaw), *info["grasp_path"][-1]], np.float32)


def render_scenes(
    scenes: Scenes, image_size: tuple[int, int], workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> LabelledFrames:
    """Frames of random scenes: the same ones whatever the number of processes.

    Args:
        scenes: How they are drawn.
        image_size: Height and width of the frames that come out.
        workers: Processes.
        progress: Called with the scenes done and the scenes in all.
    """
    from functools import partial

    from autoarm.runtime.tasks import run_tasks

    done: dict[int, LabelledFrames] = {}
    for index, made in run_tasks(range(scenes.count), partial(SceneRenderer, scenes, image_size), workers=workers):
        done[index] = made
        if progress is not None:
            progress(len(done), scenes.count)
    ordered = [done[index] for index in range(scenes.count)]
    return LabelledFrames(
        np.concatenate([each.frames for each in ordered]),
        np.concatenate([each.labels for each in ordered]),
        np.concatenate([each.scenes for each in ordered]),
    )
