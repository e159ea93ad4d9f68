"""Bodies as YAML files: those that this installation carries, by name, and those that a person has measured."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Self

import yaml
from pydantic import Field, model_validator

from gym_autoarm import spec
from gym_autoarm.body import GRIPPER_HOLDING_TORQUE, Body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.files import write_text
from gym_autoarm.servo import STALL_TORQUE, Protection, Servo
from gym_autoarm.shipped import find_yaml, shipped_names
from gym_autoarm.strict import StrictModel, read_yaml

DEFAULT_BODY: Final = "so101-12v"
"""Name of the body that simulated scenes have unless another is asked for: fitted to motions of a real SO-101."""
STIFF_BODY: Final = "so101"
"""Name of the body of the suite five-spots-v1, which follows its goals nearly perfectly."""
_PLACE: Final = ("autoarm_assets", "bodies")
"""Package and folder of the bodies that this installation carries."""
_CURE: Final = "make it with `autoarm twin-check --fit`"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]


class GainsFile(StrictModel):
    """The fields of `gym_autoarm.servo.Servo`, for all joints, and the gripper's own torque limit."""

    kp: Positive
    kv: NotNegative
    torque_limit: Positive = STALL_TORQUE
    gripper_torque_limit: Positive = GRIPPER_HOLDING_TORQUE
    damping: NotNegative = Servo.damping
    frictionloss: NotNegative = Servo.frictionloss
    armature: NotNegative = Servo.armature
    damping_ratio: bool = False


class ServoFile(StrictModel):
    """The fields of `gym_autoarm.servo.Servo`, for one joint; its dry friction holds."""

    kp: Positive
    kv: NotNegative = 0.0
    torque_limit: Positive = STALL_TORQUE
    damping: NotNegative
    frictionloss: NotNegative
    armature: NotNegative = Servo.armature
    damping_off: NotNegative | None = None
    saturation: Positive = Servo.saturation

    def servo(self) -> Servo:
        """The servo."""
        return Servo(**self.model_dump(), sticks=True)


class ProtectionFile(StrictModel):
    """The fields of `gym_autoarm.servo.Protection`."""

    overload: Share = Protection.overload
    seconds: Positive = Protection.seconds
    protective: Share = Protection.protective


class JointMeasurement(StrictModel):
    """How well one joint was measured.

    Attributes:
        kp: 95 % interval of the stiffness, N m / rad; absent where the motions do not show it, and it was assumed.
        damping: 95 % interval of the viscous friction, N m s / rad.
        frictionloss: 95 % interval of the dry friction, N m.
        fitted: Root mean square error over the motions that were fitted, degrees; the gripper's in hundredths.
        held_out: That error over the motions that were not; absent where there were none.
    """

    kp: tuple[float, float] | None = None
    damping: tuple[float, float] | None = None
    frictionloss: tuple[float, float] | None = None
    fitted: NotNegative | None = None
    held_out: NotNegative | None = None


class BodyMeasurement(StrictModel):
    """How a body was measured.

    Attributes:
        trajectory: What was compared.
        steps: Number of positions that were compared.
        error_before: Root mean square error before the fit, degrees, over all joints.
        error_after: That error after it, over the motions that judge it.
        held_out: Names of the motions that the fit did not see.
        joints: Joint by joint.
    """

    trajectory: str
    steps: int
    error_before: NotNegative
    error_after: NotNegative
    held_out: tuple[str, ...] = ()
    joints: dict[str, JointMeasurement] = Field(default_factory=dict)


class BodyFile(StrictModel):
    """How an arm answers.

    Attributes:
        about: What arm it is, in a sentence.
        source: Where its numbers come from.
        gains: One servo's numbers for all joints; dry friction creeps, as in `five-spots-v1`.
        servos: Each joint's own numbers, by name, all six.
        latency: Control steps from a goal to the servo, beside `gains`.
        delay: Seconds from a goal to the servo, beside `servos`.
        backlash: Play of the gears, degrees.
        protection: The gripper's protection against overload.
        measured: How it was measured.
    """

    about: str = ""
    source: str = ""
    gains: GainsFile | None = None
    servos: dict[str, ServoFile] | None = None
    latency: Annotated[int, Field(ge=0, le=30)] = 0
    delay: Annotated[float, Field(ge=0, le=1)] = 0.0
    backlash: NotNegative = 0.0
    protection: ProtectionFile | None = None
    measured: BodyMeasurement | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.gains is None) == (self.servos is None):
            raise ValueError("give either 'gains', for all joints, or 'servos', joint by joint")
        if self.servos is not None and set(self.servos) != set(spec.JOINTS):
            raise ValueError(f"'servos' names {', '.join(self.servos)}: give {', '.join(spec.JOINTS)}")
        if self.gains is not None and (self.delay or self.protection):
            raise ValueError("'delay' and 'protection' belong to 'servos'; beside 'gains', give 'latency'")
        if self.servos is not None and self.latency:
            raise ValueError("'latency' belongs to 'gains'; beside 'servos', give 'delay' in seconds")
        return self

    def body(self) -> Body:
        """The body as a `Scene` takes it."""
        if self.gains is not None:
            numbers = self.gains.model_dump()
            gripper = numbers.pop("gripper_torque_limit")
            return Body.uniform(Servo(**numbers), gripper, self.latency / spec.FPS, self.backlash)
        assert self.servos is not None
        protection = None if self.protection is None else Protection(**self.protection.model_dump())
        return Body(tuple(self.servos[name].servo() for name in spec.JOINTS), self.delay, self.backlash, protection)

    @classmethod
    def of(cls, body: Body, measured: BodyMeasurement | None = None, about: str = "", source: str = "") -> BodyFile:
        """The content of the file that describes `body`, whose servos stick."""
        if not all(servo.sticks for servo in body.servos):
            raise InvalidInputError("creeps", field="body.servos.frictionloss", cure="describe a body that sticks")
        servos = {}
        for name, servo in zip(spec.JOINTS, body.servos, strict=True):
            numbers = asdict(servo)
            servos[name] = ServoFile(**{field: numbers[field] for field in ServoFile.model_fields})
        return cls(
            about=about,
            source=source,
            servos=servos,
            delay=body.delay,
            backlash=body.backlash,
            protection=None if body.protection is None else ProtectionFile(**asdict(body.protection)),
            measured=measured,
        )


@cache
def body_names() -> tuple[str, ...]:
    """Names of the bodies that this installation carries."""
    return tuple(shipped_names(*_PLACE))


def load_body(reference: str | Path) -> Body:
    """The body that `reference` names: one of `body_names()`, or a YAML file.

    Raises:
        InvalidInputError: If it is neither.
        InvalidFileError: If the file is missing or wrong, naming the field.
    """
    return read_body_file(reference).body()


def read_body_file(reference: str | Path) -> BodyFile:
    """What a body's file holds, measurement included; see `load_body`."""
    package, folder = _PLACE
    return read_yaml(BodyFile, find_yaml(package, reference, "body", folder), _CURE)


@cache
def shipped_body(name: str) -> Body:
    """A body that this installation carries, by name."""
    return load_body(name)


def body_name(body: Body) -> str:
    """The name of a shipped body that is equal to `body`; empty if there is none."""
    return next((name for name in body_names() if shipped_body(name) == body), "")


def write_body_file(path: Path, file: BodyFile, comment: str) -> None:
    """Write a file as `load_body` reads it, under a line of comment. Raises `InvalidFileError`."""
    data = file.model_dump(mode="json", exclude_defaults=True)
    if file.protection is not None:
        data["protection"] = file.protection.model_dump()  # its numbers, though they are the usual ones
    content = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=110)
    write_text(path, f"# {comment}\n{content}")
