"""A film of a real recording beside the simulation that was given the same goals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autoarm.evaluation.video import VIEW_SIZE, Frame, VideoWriter, caption, side_by_side
from gym_autoarm import spec
from gym_autoarm.kinematics import to_radians
from gym_autoarm.model import CUBE, compile_scene
from gym_autoarm.rendering import FrameRenderer
from gym_autoarm.scene import Scene


def film_replay(
    path: Path,
    real: Mapping[str, Iterator[NDArray[np.uint8]]],
    simulated: NDArray[np.float64],
    scene: Scene,
    text: str,
    fps: int,
) -> None:
    """Write what the real cameras saw above what the simulated ones would have seen.

    Args:
        path: The video.
        real: Frames `(height, width, 3)` of each real camera, by name; there may be none.
        simulated: Joint positions of the simulation at each frame, `(frames, 6)` in the contract's units.
        scene: The simulated table; its cube is left away, for nobody knows where the real one lay.
        text: What to call the simulation.
        fps: Frames a second.
    """
    names = ", ".join(real)
    with VideoWriter(path, fps) as video:
        views: list[Frame] = []
        for below, *seen in zip_longest(_simulated_views(simulated, scene), *real.values()):
            if below is None:
                return
            rows = [caption(below, text)]
            # A camera whose video is shorter keeps its last picture.
            views = [_scaled(new) if new is not None else old for new, old in zip_longest(seen, views[: len(seen)])]
            if views and all(view is not None for view in views):
                rows.insert(0, caption(np.concatenate(views, axis=1), f"real: {names}"))
            video.write(_stacked(rows))


def _simulated_views(positions: NDArray[np.float64], scene: Scene) -> Iterator[Frame]:
    model = compile_scene(scene, lambda model_spec: model_spec.delete(model_spec.body(CUBE)))
    data = mujoco.MjData(model)
    with FrameRenderer(model, VIEW_SIZE) as renderer:
        for angle in to_radians(positions):
            data.qpos[:] = angle
            mujoco.mj_forward(model, data)
            yield side_by_side({camera: renderer.render(data, camera) for camera in spec.CAMERAS})


def _scaled(frame: NDArray[np.uint8]) -> Frame:
    """A frame as high as the simulated views."""
    height = VIEW_SIZE[0]
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))


def _stacked(rows: Sequence[Frame]) -> Frame:
    """Frames one above the other, black beside the narrower ones."""
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, [(0, 0), (0, width - row.shape[1]), (0, 0)]) for row in rows])
