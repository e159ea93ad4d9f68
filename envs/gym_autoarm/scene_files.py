"""What was measured of a real arm and its cameras, as YAML files from which a simulated scene is made.

    from gym_autoarm.scene_files import load_scene

    scene = load_scene(top="top.yaml", lateral="lateral.yaml", body="servos.yaml")
    env = gym.make("gym_autoarm/PickIntoBox-v0", distribution={"base": scene})

`autoarm align` writes camera files, `autoarm twin-check --fit` body files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Self

import yaml
from pydantic import Field, model_validator

from gym_autoarm.body_files import NotNegative, Positive, load_body
from gym_autoarm.files import write_text
from gym_autoarm.scene import Camera, Scene
from gym_autoarm.strict import StrictModel, read_yaml

Number = Annotated[float, Field(allow_inf_nan=False)]
Coordinate = Annotated[float, Field(gt=-100.0, lt=100.0)]
"""Metres; a camera that is further away sees nothing of the table."""
Point = tuple[Coordinate, Coordinate, Coordinate]

_ALIGN: Final = "make it with `autoarm align camera`"


class LensFile(StrictModel):
    """Properties of a real lens that a simulated camera does not have.

    Attributes:
        image_size: Height and width of the frames, in whose pixels the other fields are given.
        centre: Where the optical axis meets the picture: column and row, pixels from the picture's middle.
        distortion: Radial distortion k1 and k2 of Brown's model, as OpenCV has it.
    """

    image_size: tuple[int, int]
    centre: tuple[Number, Number]
    distortion: tuple[Number, Number]


class CameraMeasurement(StrictModel):
    """How a camera was measured, and how well; standard deviations come from the scatter of the corners.

    Attributes:
        pictures: Names of the files, the one of the board on the table first.
        corners: Number of corners of the board found in all pictures together.
        image_size: Height and width of the pictures.
        reprojection_error: Root mean square distance between corners found and expected, pixels.
        position_sd: Standard deviation of the camera's position, metres.
        fovy_sd: Standard deviation of the field of view, degrees; absent where the field of view was given.
        board: Centre of the board on the table, x and y in metres, and its turn, degrees.
        square: Edge of its squares, metres.
    """

    pictures: tuple[str, ...]
    corners: int
    image_size: tuple[int, int]
    reprojection_error: NotNegative
    position_sd: NotNegative
    fovy_sd: NotNegative | None
    board: Point
    square: Positive


class CameraFile(StrictModel):
    """A camera: the fields of `gym_autoarm.scene.Camera`, its lens, and how it was measured."""

    position: Point
    target: Point
    fovy: Annotated[float, Field(gt=0, lt=180)]
    roll: Number = 0.0
    lens: LensFile | None = None
    measured: CameraMeasurement | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.position == self.target:
            raise ValueError("position and target are one point: the camera looks nowhere")
        return self

    def camera(self) -> Camera:
        """The camera as a `Scene` takes it."""
        return Camera(self.position, self.target, self.fovy, self.roll)


def read_camera_file(path: str | Path) -> CameraFile:
    """Read a camera's file with lens and measurement. Raises `InvalidFileError`, naming the field that is wrong."""
    return read_yaml(CameraFile, Path(path), _ALIGN)


def load_camera(path: str | Path) -> Camera:
    """The camera of a file. Raises `InvalidFileError`, naming the field that is wrong."""
    return read_camera_file(path).camera()


def load_scene(
    scene: Scene | None = None,
    *,
    top: str | Path | None = None,
    lateral: str | Path | None = None,
    body: str | Path | None = None,
) -> Scene:
    """A scene, `Scene()` if none is given, with the cameras of files, and the body of a file or of a name.

    Raises:
        InvalidFileError: If a file is missing or wrong, naming the field.
    """
    scene = scene or Scene()
    if top is not None:
        scene = replace(scene, top=load_camera(top))
    if lateral is not None:
        scene = replace(scene, lateral=load_camera(lateral))
    if body is not None:
        scene = replace(scene, body=load_body(body))
    return scene


def write_file(path: Path, file: CameraFile, comment: str) -> None:
    """Write a file as the functions above read it, under a line of comment. Raises `InvalidFileError`."""
    content = yaml.safe_dump(file.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=100)
    write_text(path, f"# {comment}\n{content}")
