"""A real picture and the simulated one of the same camera, drawn over each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import mujoco
import numpy as np

from autoarm_hardware.alignment.board import Board, Placement
from autoarm_hardware.alignment.lens import Lens, rectify
from autoarm_hardware.vision import View
from gym_autoarm import spec
from gym_autoarm.kinematics import to_radians
from gym_autoarm.model import CUBE, compile_scene
from gym_autoarm.rendering import Frame, FrameRenderer
from gym_autoarm.scene import HOME, Camera, Scene

_EDGE: Final = (255, 0, 200)
_BOARD: Final = (40, 220, 60)
_TEXT: Final = (255, 255, 255)


def simulated_frame(
    camera: Camera, image_size: tuple[int, int], arm: tuple[float, ...] = HOME, scene: Scene | None = None
) -> Frame:
    """A simulated camera's frame of a scene with the arm at given joint positions, RGB uint8.

    Raises:
        RenderingError: If no OpenGL context can be made.
    """
    scene = replace(scene or Scene(surface="plain"), top=camera, start=arm)
    model = compile_scene(scene)
    data = mujoco.MjData(model)
    data.qpos[: len(spec.JOINTS)] = to_radians(np.array(arm))
    cube = model.joint(CUBE).qposadr[0]
    data.qpos[cube : cube + 3] = scene.cube.x, scene.cube.y, scene.cube.size / 2
    mujoco.mj_forward(model, data)
    with FrameRenderer(model, image_size) as renderer:
        frame: Frame = renderer.render(data, "top")
        return frame


def compare(
    picture: Frame,
    camera: Camera,
    lens: Lens | None,
    board: Board,
    placement: Placement,
    arm: tuple[float, ...] = HOME,
    scene: Scene | None = None,
) -> Frame:
    """Both pictures side by side: the real one with the simulated one's edges, then half of each.

    The board's outline is drawn where the camera should see it. The simulated cube and box are drawn where the scene
    has them, although the real table was cleared.

    Args:
        picture: The real camera's picture, RGB uint8.
        camera: The camera as it was estimated.
        lens: Its lens, which the picture is rectified for; `None` for a pinhole.
        board: The board on the table.
        placement: Where the board lay.
        arm: Joint positions `(6,)` in the picture, in the contract's units.
        scene: The scene to draw; the default one on a plain table if nothing is given.
    """
    real = picture if lens is None else rectify(picture, camera.fovy, lens)
    limits = np.divide(spec.IMAGE_SIZE, real.shape[:2])
    shrink = min(1.0, float(limits.min()))
    height, width = (max(1, int(side * shrink)) for side in real.shape[:2])
    real = np.asarray(cv2.resize(real, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    simulated = simulated_frame(camera, (height, width), arm, scene)
    edges = cv2.Canny(cv2.cvtColor(simulated, cv2.COLOR_RGB2GRAY), 60, 140) > 0
    traced = real.copy()
    traced[edges] = _EDGE
    blended = np.asarray(cv2.addWeighted(real, 0.5, simulated, 0.5, 0.0), np.uint8)
    outline = View(camera, (height, width)).project(placement.on_table(board.outline))
    for half, title in ((traced, "real, with edges of the simulated"), (blended, "real and simulated, half and half")):
        if np.isfinite(outline).all():
            cv2.polylines(half, [np.rint(outline).astype(np.int32)], isClosed=True, color=_BOARD, thickness=1)
        cv2.putText(half, title, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _TEXT, 1, cv2.LINE_AA)
    both: Frame = np.concatenate([traced, blended], axis=1)
    return both
