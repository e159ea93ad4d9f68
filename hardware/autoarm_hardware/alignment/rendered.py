"""Drawn pictures of the board by a known camera: to try `autoarm align` without a camera, and to measure its error."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Final, Self

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from autoarm_hardware.alignment.board import Board, Placement
from gym_autoarm import spec
from gym_autoarm.errors import GL_CURE, RenderingError
from gym_autoarm.kinematics import to_radians
from gym_autoarm.model import CUBE, camera_quaternion, compile_scene
from gym_autoarm.rendering import Frame, halve, picture_option, spare_planes_from_shadow_map
from gym_autoarm.scene import HOME, Box, Camera, Cube, Scene

_BOARD: Final = "alignment board"
_AWAY: Final = 1.1
"""Metres at which cube and box are put, out of the cameras' view: the table is cleared for the board."""
_TEXTURE_DPI: Final = 200
_LIFT: Final = 0.0001
"""Metres that the sheet lies above the table, so that the two are drawn apart; about a sheet's thickness."""
_MARGIN: Final = 0.008
"""Metres of white round the board."""


class BoardRenderer:
    """Draws pictures of a board with a known camera.

    Args:
        camera: Its pose and field of view.
        board: The board.
        image_size: Height and width of the pictures.
        noise: Standard deviation of the noise added to pictures, grey levels.
        supersample: Whether a pixel is the mean of four, as a sensor's pixel is of all light on it; those of the
            simulated environment at full size are not.
        seed: Seed of the noise, and of the board's poses in the hand.

    Raises:
        RenderingError: If no OpenGL context can be made.
    """

    def __init__(
        self,
        camera: Camera,
        board: Board,
        image_size: tuple[int, int] = spec.IMAGE_SIZE,
        noise: float = 0.0,
        supersample: bool = True,
        seed: int = 0,
    ) -> None:
        self.camera, self.board = camera, board
        self._noise, self._double = noise, supersample
        self._rng = np.random.default_rng(seed)
        factor = 2 if supersample else 1
        height, width = (factor * side for side in image_size)
        scene = Scene(cube=Cube(x=_AWAY, y=_AWAY), box=Box(x=_AWAY, y=-_AWAY), top=camera)
        with tempfile.TemporaryDirectory() as folder:
            texture = Path(folder) / "board.png"
            edge = round(_MARGIN / 0.0254 * _TEXTURE_DPI)
            drawn = np.pad(board.draw(_TEXTURE_DPI), edge, constant_values=255)
            cv2.imwrite(str(texture), drawn)
            self._model = compile_scene(scene, partial(_add_board, board=board, texture=texture, size=(height, width)))
        self._data = mujoco.MjData(self._model)
        self._data.qpos[: len(spec.JOINTS)] = to_radians(np.array(HOME))
        cube = self._model.joint(CUBE).qposadr[0]
        self._data.qpos[cube : cube + 7] = (_AWAY, _AWAY, scene.cube.size / 2, 1, 0, 0, 0)
        try:
            self._renderer = mujoco.Renderer(self._model, height, width)
        except Exception as error:  # the GL backends raise whatever their bindings raise
            raise RenderingError(f"no OpenGL context ({error})", field="MUJOCO_GL", cure=GL_CURE) from error
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0

    def on_table(self, placement: Placement) -> Frame:
        """A picture of the board on the table, RGB uint8 `(height, width, 3)`."""
        position = np.array([placement.x, placement.y, _LIFT])
        return self._picture(position, placement.rotation)

    def in_hand(self) -> Frame:
        """A picture of the board held in front of the camera, at a random place in view and tilted."""
        rng = self._rng
        axes = Rotation.from_quat(camera_quaternion(self.camera), scalar_first=True)
        half = np.tan(np.deg2rad(self.camera.fovy) / 2)
        # Close enough to fill most of the picture, a little off its middle.
        distance = self.board.size[1] / (2 * half) / rng.uniform(0.55, 0.8)
        off = rng.uniform(-0.25, 0.25, 2) * half * distance
        position = np.asarray(self.camera.position) + axes.apply([off[0], off[1], -distance])
        # Facing the camera, then tilted about an axis in the board's plane, and turned in it a little.
        about = rng.uniform(0, 2 * np.pi)
        tilt = np.deg2rad(rng.uniform(20, 45)) * np.array([np.cos(about), np.sin(about), 0.0])
        turn = Rotation.from_euler("z", rng.uniform(-20, 20), degrees=True)
        return self._picture(position, (axes * Rotation.from_rotvec(tilt) * turn).as_matrix())

    def close(self) -> None:
        """Free the GL context."""
        self._renderer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _picture(self, position: NDArray[np.float64], rotation: NDArray[np.float64]) -> Frame:
        self._data.mocap_pos[0] = position
        self._data.mocap_quat[0] = Rotation.from_matrix(rotation).as_quat(scalar_first=True)
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, "top", picture_option())
        spare_planes_from_shadow_map(self._renderer.scene)
        frame: Frame = self._renderer.render()
        frame = halve(frame) if self._double else frame
        noisy = frame + self._rng.normal(0.0, self._noise, frame.shape) if self._noise else frame
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _add_board(model_spec: mujoco.MjSpec, *, board: Board, texture: Path, size: tuple[int, int]) -> None:
    model_spec.add_texture(name=_BOARD, type=mujoco.mjtTexture.mjTEXTURE_2D, file=str(texture))
    material = model_spec.add_material(name=_BOARD, rgba=(1, 1, 1, 1), specular=0.0, shininess=0.0)
    roles = [""] * mujoco.mjtTextureRole.mjNTEXROLE
    roles[mujoco.mjtTextureRole.mjTEXROLE_RGB] = _BOARD
    material.textures = roles
    width, height = (edge / 2 + _MARGIN for edge in board.size)
    body = model_spec.worldbody.add_body(name=_BOARD, mocap=True)
    # A plane shows its texture once, upright if seen from above: x right, y up, as in the board's own frame.
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(width, height, 0.01), material=_BOARD,
                  contype=0, conaffinity=0)  # fmt: skip
    height_px, width_px = size
    model_spec.visual.global_.offheight, model_spec.visual.global_.offwidth = height_px, width_px
