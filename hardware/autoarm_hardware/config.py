"""A robot's YAML file: what commands need to know about an arm, its cameras and its table.

    type: so101_follower
    port: /dev/ttyACM0
    id: my_arm
    cameras:
      top: {type: opencv, index_or_path: 0, width: 640, height: 480, fps: 30}
      lateral: {type: opencv, index_or_path: 2, width: 640, height: 480, fps: 30}

Relative paths in it start from the file's folder.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml
from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from autoarm_hardware.arm import KOCH, KOCH_LEADER, driver_missing, in_degrees
from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.operator import Operator
from autoarm_hardware.servos import Limits, first_line
from gym_autoarm import spec
from gym_autoarm.body_files import body_names
from gym_autoarm.errors import InvalidFileError
from gym_autoarm.files import write_text
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import HOME, Box, Scene
from gym_autoarm.scene_files import load_camera, load_scene
from gym_autoarm.strict import StrictModel, read_yaml

FollowerType = Literal["so100_follower", "so101_follower", "koch_follower"]
LeaderType = Literal["so100_leader", "so101_leader", "koch_leader"]
CameraName = Literal["top", "lateral"]

_ID: Final = r"^\w[\w .-]*$"
"""LeRobot names the file of a calibration so."""
_TERMINAL: Final = "terminal"
_TWIN: Final = "twin:"
"""Prefix of the port at which a twin places cubes; see `autoarm_hardware.twin.table`."""


def _beside(path: Path | None, info: ValidationInfo) -> Path | None:
    folder = (info.context or {}).get("folder")
    return path if path is None or folder is None else (folder / path.expanduser()).absolute()


def _port(port: str, info: ValidationInfo) -> str:
    """A port that lies beside the file, as a twin's does; whatever else, such as COM3, stays as it is."""
    folder = (info.context or {}).get("folder")
    beside = None if folder is None or os.path.isabs(port) else folder / port
    return str(beside) if beside is not None and beside.exists() else port


class LeaderConfig(StrictModel):
    """A leader arm, by the names of LeRobot's `--teleop.*` options."""

    type: LeaderType = "so101_leader"
    port: str
    id: str = Field(default="leader", pattern=_ID)
    calibration_dir: Path | None = None

    _resolve = field_validator("calibration_dir")(_beside)
    _resolve_port = field_validator("port")(_port)

    def make_teleoperator(self) -> Any:
        """LeRobot's driver of the leader, not connected.

        Raises:
            InvalidInputError: If LeRobot's driver of it is not installed.
            InvalidFileError: If its calibration is damaged.
        """
        # LeRobot's registry of types fills as their modules are imported.
        import lerobot.teleoperators.koch_leader
        import lerobot.teleoperators.so_leader  # noqa: F401
        from lerobot.teleoperators import TeleoperatorConfig, make_teleoperator_from_config

        options: dict[str, Any] = {"port": self.port, "id": self.id, "calibration_dir": self.calibration_dir}
        if self.type != KOCH_LEADER:
            options["use_degrees"] = True
        try:
            leader = make_teleoperator_from_config(TeleoperatorConfig.get_choice_class(self.type)(**options))
            if self.type == KOCH_LEADER:
                in_degrees(leader.bus)
            return leader
        except ImportError as error:
            raise driver_missing(error) from error
        except Exception as error:  # the parser of LeRobot's files raises kinds of its own
            raise InvalidFileError(
                f"cannot be used: {first_line(error)}",
                file=None if self.calibration_dir is None else self.calibration_dir / f"{self.id}.json",
                field="calibration",
                cure="calibrate with lerobot-calibrate",
            ) from error


class BoxConfig(StrictModel):
    """Where the box stands; by default where the simulated one does. Metres from the arm's base, degrees."""

    x: float = spec.BOX_POSITION[0]
    y: float = spec.BOX_POSITION[1]
    yaw: float = 0.0


class RobotConfig(StrictModel):
    """An arm, its cameras and its table.

    Attributes:
        type: LeRobot's name of the follower.
        port: The serial port of its adapter.
        id: The name under which it was calibrated.
        calibration_dir: Where LeRobot keeps its calibration; LeRobot's own place if nothing is given.
        home: Joint positions `(6,)` where the arm rests; see `PickIntoBoxEnv`.
        cameras: LeRobot's camera configurations, for `top` and `lateral`.
        success: How success is decided: `operator`, by a person's key, or `vision`, by the top camera.
        operator: What places the cube: a person at the `terminal`, or a twin (`twin:PORT`).
        park: Whether the arm goes home before the end; see `PickIntoBoxEnv`.
        release: Whether motors are switched off in the end; otherwise they hold where they are.
        retries: How often a reading of the servos that failed is made again.
        limits: Limits on every command, and on what servos report.
        dry_run: Print what would be sent, and send nothing.
        camera_files: Files of `autoarm align` for cameras that are not where the simulated ones are.
        box: Where the box stands.
        body: How the arm answers: the name of a body, or a file of `autoarm twin-check --fit`. What plans or simulates
            for this arm uses it; by default the scene's.
        leader: The leader arm, if there is one.
    """

    type: FollowerType = "so101_follower"
    port: str
    id: str = Field(pattern=_ID)
    calibration_dir: Path | None = None
    home: tuple[float, float, float, float, float, float] | None = None
    cameras: dict[CameraName, dict[str, Any]]
    success: Literal["operator", "vision"] = "operator"
    operator: str = Field(default=_TERMINAL, pattern=rf"^({_TERMINAL}|{_TWIN}\d+)$")
    park: bool = True
    release: bool = True
    retries: int = Field(default=2, ge=0)
    limits: Limits = Limits()
    dry_run: bool = False
    camera_files: dict[CameraName, Path] = Field(default_factory=dict)
    box: BoxConfig = BoxConfig()
    body: str | Path | None = None
    leader: LeaderConfig | None = None

    _resolve = field_validator("calibration_dir")(_beside)
    _resolve_port = field_validator("port")(_port)

    @field_validator("camera_files")
    @classmethod
    def _resolve_files(cls, files: dict[CameraName, Path], info: ValidationInfo) -> dict[CameraName, Path]:
        return {name: path for name, given in files.items() if (path := _beside(given, info)) is not None}

    @field_validator("body")
    @classmethod
    def _resolve_body(cls, body: str | Path | None, info: ValidationInfo) -> str | Path | None:
        if body is None or str(body) in body_names():
            return body
        if Path(body).suffix not in (".yaml", ".yml"):
            raise ValueError(
                f"there is no body {str(body)!r}: choose from {', '.join(body_names())}, or name a YAML file"
            )
        return _beside(Path(body), info)

    @model_validator(mode="after")
    def _check(self) -> Self:
        missing = [name for name in spec.CAMERAS if name not in self.cameras]
        if missing:
            raise ValueError(f"cameras: {' and '.join(missing)} missing: both are needed, {' and '.join(spec.CAMERAS)}")
        for name, camera in self.cameras.items():
            for field in ("height", "width", "fps"):
                value = camera.get(field)
                if value is not None and not (type(value) in (int, float) and value > 0):
                    raise ValueError(f"cameras.{name}.{field}: {value!r} is no positive number")
        sizes = {name: (each.get("height"), each.get("width")) for name, each in self.cameras.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"cameras: both must have one height and width: {sizes}")
        return self

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of both cameras' frames."""
        camera = self.cameras["top"]
        return camera.get("height") or spec.IMAGE_SIZE[0], camera.get("width") or spec.IMAGE_SIZE[1]

    @property
    def is_twin(self) -> bool:
        """Whether it is a twin: its port is a pseudo-terminal, or a twin places the cube."""
        return self.operator != _TERMINAL or os.path.realpath(self.port).startswith("/dev/pts/")

    @property
    def has_model(self) -> bool:
        """Whether it is the simulated arm, with the same links, limits and zero positions."""
        return self.type != KOCH

    @property
    def rest(self) -> tuple[float, ...]:
        """Joint positions `(6,)` where the arm rests."""
        return self.home or HOME

    def scene(self, scene: Scene | None = None) -> Scene:
        """A scene with this table's cameras, this arm's body, and this table's box unless the scene moves the box.

        Raises:
            InvalidFileError: If the file of a camera or of the body is missing or damaged.
        """
        scene = scene or Scene()
        placed = {name: load_camera(path) for name, path in self.camera_files.items()}
        if scene.box == Box():
            placed_box = replace(scene.box, x=self.box.x, y=self.box.y, yaw=self.box.yaw)
            scene = replace(scene, box=placed_box)
        scene = replace(scene, **placed)  # type: ignore[arg-type]  # the names of cameras are fields
        return load_scene(scene, body=self.body)

    def make_env(self, **changes: Any) -> PickIntoBoxEnv:
        """The environment of this arm, not connected: `reset` connects.

        Args:
            changes: Arguments of `PickIntoBoxEnv` that replace those of the file.

        Raises:
            AutoArmError: For whatever is wrong and can be found without connecting.
        """
        arguments: dict[str, Any] = {
            "port": self.port,
            "cameras": self.cameras,
            "robot_type": self.type,
            "robot_id": self.id,
            "calibration_dir": self.calibration_dir,
            "home": self.home,
            "image_size": self.image_size,
            "distribution": SceneDistribution(base=self.scene()),
            "success": self.success,
            "operator": self.make_operator(),
            "limits": self.limits,
            "park": self.park,
            "release": self.release,
            "dry_run": print if self.dry_run else None,
            "retries": self.retries,
        }
        return PickIntoBoxEnv(**{**arguments, **changes})

    def make_operator(self) -> Operator | None:
        """The operator that places the cube and decides on success; `None` for a person at the terminal."""
        if self.operator == _TERMINAL:
            return None  # the environment asks at the terminal, once there is something to ask
        from autoarm_hardware.twin.table import TableClient

        return TableClient(int(self.operator.removeprefix(_TWIN)))


def load_robot(path: str | Path) -> RobotConfig:
    """Read a robot's file.

    Raises:
        InvalidFileError: Naming the field that is wrong.
    """
    path = Path(path)
    known = ", ".join(RobotConfig.model_fields)
    cure = f"write it as docs/hardware.md says, with the fields {known}; `autoarm twin` writes one for its arm"
    return read_yaml(RobotConfig, path, cure, {"folder": path.absolute().parent})


def write_robot(path: Path, robot: RobotConfig, comment: str) -> str:
    """Write a robot's file, as `load_robot` reads it, under a line of comment, and return its text."""
    content = yaml.safe_dump(robot.model_dump(mode="json", exclude_unset=True), sort_keys=False, width=200)
    text = f"# {comment}\n{content}"
    write_text(path, text)
    return text
