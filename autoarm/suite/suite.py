"""A suite: what is measured, as a YAML file that fixes axes, levels, positions and seeds in advance."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from autoarm.results.result import AxisRecord, Latency, LevelRecord, Size, SuiteRecord
from autoarm.suite.geometry import Point, convex_hull
from gym_autoarm.body_files import STIFF_BODY, body_names, shipped_body
from gym_autoarm.errors import InvalidFileError, InvalidInputError, UnreachablePoseError, did_you_mean
from gym_autoarm.expert import Expert
from gym_autoarm.scene import HOME, Box, Shape, Surface
from gym_autoarm.shipped import find_yaml, shipped_names
from gym_autoarm.strict import StrictModel, read_yaml

SIZES: Final = ("quick", "standard", "full")
DEFAULT_SUITE: Final = "five-spots-v1"

Bounds = tuple[float, float]
Share = Annotated[float, Field(ge=0, le=1)]


def _ascending(bounds: Bounds) -> Bounds:
    if bounds[0] > bounds[1]:
        raise ValueError(f"{bounds[0]} to {bounds[1]} is no range: write the smaller number first")
    return bounds


PACKAGE: Final = "autoarm_suites"


class Placement(StrictModel):
    """Where the cube lies.

    Attributes:
        at: On the spots in turn, inside their convex hull, or outside it.
        jitter: Largest offset from a spot, metres, in x and in y.
        clearance: Least distance from every spot, metres, inside the hull.
        distance: Bounds of the distance from the hull, metres, outside it.
        yaw: Bounds of the turn, degrees, to either side.
    """

    at: Literal["spots", "inside", "outside"] = "spots"
    jitter: float = Field(default=0.003, ge=0, le=0.02)
    clearance: float = Field(default=0.0, ge=0)
    distance: Bounds | None = None
    yaw: Bounds = (0.0, 8.0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ascending(self.yaw)
        if (self.at == "outside") != (self.distance is not None):
            raise ValueError("'distance' belongs to a cube outside the hull, and to no other")
        if self.distance is not None and _ascending(self.distance)[0] < 0:
            raise ValueError("a distance from the hull is not negative")
        if self.clearance and self.at != "inside":
            raise ValueError("'clearance' belongs to a cube inside the hull, and to no other")
        return self


class ObjectChange(StrictModel):
    """What the object is; see `gym_autoarm.scene.Cube`."""

    size: float | None = Field(default=None, ge=0.015, le=0.06)
    shape: Shape | None = None
    colour: tuple[Share, Share, Share] | None = None


class LightChange(StrictModel):
    """How the light differs from the usual.

    Attributes:
        azimuth: Largest turn of the lamp about the vertical, degrees, to either side.
        tilt: Bounds of its angle from the vertical, degrees.
        brightness: Bounds of the factor on all light.
        tint: By how much the weakest colour channel is dimmed, as a share.
    """

    azimuth: float = Field(ge=0, le=180)
    tilt: Bounds
    brightness: tuple[Share, Share]
    tint: Share

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 <= _ascending(self.tilt)[0] <= self.tilt[1] <= 70:
            raise ValueError("'tilt' lies between 0 and 70 degrees")
        _ascending(self.brightness)
        return self


class CameraChange(StrictModel):
    """How both cameras are displaced.

    Attributes:
        offset: Distance, in metres, by which camera and the point it looks at move, each in a direction of its own.
        roll: Turn about the line of sight, degrees, to either side.
    """

    offset: float = Field(ge=0, le=0.15)
    roll: float = Field(ge=0, le=45)


class BoxChange(StrictModel):
    """How far the box moves, metres, and within which directions, degrees from x (ahead) towards y (left)."""

    offset: float = Field(ge=0, le=0.15)
    towards: Bounds = (-180.0, 180.0)


def _is_unset(value: object) -> bool:
    """Whether a field that came after five-spots-v1 is at its default: suites without it keep their digests."""
    return not value


def _shipped(name: str) -> str:
    if name not in body_names():
        raise ValueError(f"there is no body {name!r}: choose from {', '.join(body_names())}")
    return name


BodyName = Annotated[str, AfterValidator(_shipped)]


class BodyChange(StrictModel):
    """How the arm answers; see `gym_autoarm.body.Body`.

    Attributes:
        gains: Name of the body, in a suite that names no `body` of its own.
        name: Name of the body, in a suite that does; the suite's by default.
        latency: Control steps by which goals arrive later than that body's.
        backlash: Play of the gears beyond that body's, degrees.
    """

    gains: BodyName = STIFF_BODY
    name: BodyName | None = Field(default=None, exclude_if=_is_unset)
    latency: int = Field(default=0, ge=0, le=30)
    backlash: float = Field(default=0.0, ge=0, le=10)


class Variation(StrictModel):
    """What an episode varies. What is not named stays as it is in `Scene()`, but for the arm's start.

    Attributes:
        distractors: Other objects on the table.
        surface: Table tops; if there are several, one is drawn.
        image_noise: Standard deviation, grey levels.
        start: Largest displacement of an arm joint from its usual start, degrees; see `autoarm.suite.draw`.
        latency: How late the policy's answers come; by default at once.
    """

    cube: Placement = Placement()
    object: ObjectChange = ObjectChange()
    distractors: int = Field(default=0, ge=0, le=5)
    light: LightChange | None = None
    surface: tuple[Surface, ...] = Field(default=("oak",), min_length=1)
    camera: CameraChange | None = None
    box: BoxChange | None = None
    body: BodyChange = BodyChange()
    image_noise: float = Field(default=0.0, ge=0, le=64)
    start: float = Field(default=0.0, ge=0, le=45, exclude_if=_is_unset)
    latency: Latency | None = Field(default=None, exclude_if=_is_unset)


class Level(Variation):
    """A step of an axis; `value` is its place on the axis' scale, for a plot."""

    value: float | None = None


class Episodes(StrictModel):
    """Episodes a level: each size begins with the episodes of the smaller one."""

    quick: int = Field(ge=1)
    standard: int = Field(ge=1)
    full: int = Field(ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.quick <= self.standard <= self.full:
            raise ValueError("quick, standard and full must not decrease")
        return self


class Axis(StrictModel):
    """A way to differ from training.

    Attributes:
        title: For tables and figures.
        about: What it asks, in a sentence.
        seed: Seed of everything that is drawn for the axis.
        unit: Unit of its levels' values.
        episodes: A level's.
        levels: By name, in order of difficulty where there is one; `""` alone for an axis without steps.
    """

    title: str
    about: str
    seed: int = Field(ge=0)
    unit: str | None = None
    episodes: Episodes
    levels: dict[str, Level] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "" in self.levels and len(self.levels) > 1:
            raise ValueError("levels need names where there are several")
        return self


class Area(StrictModel):
    """Where a cube may lie at all: bounds in metres. Every pose in it must be within the arm's reach."""

    x: Bounds
    y: Bounds

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ascending(self.x)
        _ascending(self.y)
        return self

    def corners(self) -> list[Point]:
        """The four corners."""
        return [(x, y) for x in self.x for y in self.y]

    def holds(self, point: Point) -> bool:
        """Whether a point lies in it."""
        return self.x[0] <= point[0] <= self.x[1] and self.y[0] <= point[1] <= self.y[1]


class Suite(StrictModel):
    """A suite. See `benchmarks/suites/five-spots-v2.yaml`.

    Attributes:
        image_size: Height and width of the frames.
        time_limit: Control steps of an episode.
        body: Name of the body that arms have where a level names no other.
        streams: Random streams that scenes are drawn from: 1 for `gym_autoarm.rng.stream`, 2 for `keyed_stream`.
        spots: Where the cube lay in the demonstrations, metres.
        area: Where a cube may lie at all.
        axes: By name.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    version: int = Field(ge=1)
    title: str
    image_size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    time_limit: int = Field(ge=1)
    body: BodyName | None = Field(default=None, exclude_if=_is_unset)
    streams: Literal[1, 2] = Field(default=1, exclude_if=lambda value: value == 1)
    spots: dict[str, Point] = Field(min_length=3)
    area: Area
    axes: dict[str, Axis] = Field(min_length=1)

    @cached_property
    def hull(self) -> NDArray[np.float64]:
        """Corners `(n, 2)` of the convex hull of the spots, metres."""
        return convex_hull(list(self.spots.values()))

    @model_validator(mode="after")
    def _check(self) -> Self:
        for axis in self.axes.values():
            for name, level in axis.levels.items():
                wrong = "name" if self.body is None else "gains"
                if wrong in level.body.model_fields_set:
                    raise ValueError(
                        f"level {name!r} has 'body.{wrong}': 'gains' are for suites without a 'body', 'name' for others"
                    )
        return self

    def body_of(self, change: BodyChange) -> str:
        """Name of the body that a level changes."""
        return change.gains if self.body is None else change.name or self.body

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content: comments and layout of the file do not matter, numbers of named bodies do."""
        content = self.model_dump(mode="json")
        if self.body is not None:
            used = {self.body_of(level.body) for axis in self.axes.values() for level in axis.levels.values()}
            content["bodies"] = {name: asdict(shipped_body(name)) for name in used}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def counts(self, size: Size, episodes: int | None, axes: Sequence[str] = ()) -> dict[str, int]:
        """Episodes a level of every chosen axis, in the suite's order.

        Args:
            size: One of `SIZES`, or `custom` with `episodes`.
            episodes: A level's, on every axis.
            axes: Names; none stands for all.

        Raises:
            InvalidInputError: If an axis does not exist, or there would be no episodes.
        """
        for axis in axes:
            if axis not in self.axes:
                raise InvalidInputError(
                    f"suite {self.name} has no axis {axis!r}",
                    field="axis",
                    cure=f"{did_you_mean(axis, self.axes)}choose from {', '.join(self.axes)}",
                )
        if size == "custom" and (episodes is None or episodes < 1):
            raise InvalidInputError(f"{episodes} episodes measure nothing", field="episodes", cure="at least 1")
        return {
            name: episodes if size == "custom" and episodes is not None else int(getattr(axis.episodes, size))
            for name, axis in self.axes.items()
            if not axes or name in axes
        }

    def record(self, size: Size, counts: dict[str, int]) -> SuiteRecord:
        """The suite as a result names it, with the episodes of `counts`."""
        axes = {
            name: AxisRecord(
                title=self.axes[name].title,
                unit=self.axes[name].unit,
                levels={
                    level: LevelRecord(value=each.value, episodes=episodes)
                    for level, each in self.axes[name].levels.items()
                },
            )
            for name, episodes in counts.items()
        }
        return SuiteRecord(name=self.name, version=self.version, sha256=self.sha256, size=size, axes=axes)


def suite_names() -> list[str]:
    """The suites that this installation carries."""
    return shipped_names(PACKAGE)


def load_suite(reference: str | Path) -> Suite:
    """A suite by name, or from a YAML file.

    Raises:
        InvalidInputError: If there is no such suite.
        InvalidFileError: If something in the file is wrong, naming the field.
    """
    file = find_yaml(PACKAGE, reference, "suite")
    return _checked(read_yaml(Suite, file, "compare with a suite in benchmarks/suites"), file)


def _checked(suite: Suite, file: Path) -> Suite:
    """The suite, if its parts fit together and the arm can do what it asks."""
    seeds: dict[int, str] = {}
    for name, axis in suite.axes.items():
        if axis.seed in seeds:
            raise InvalidFileError(
                f"has the seed {axis.seed} of axis {seeds[axis.seed]!r}",
                file=file,
                field=f"axes.{name}.seed",
                cure="give every axis a seed of its own: equal seeds draw the same cubes",
            )
        seeds[axis.seed] = name
    largest = max(level.object.size or 0.03 for axis in suite.axes.values() for level in axis.levels.values())
    for (one, place), (other, elsewhere) in combinations(suite.spots.items(), 2):
        if math.dist(place, elsewhere) < largest:
            raise InvalidFileError(
                f"overlaps {one!r}: {1000 * math.dist(place, elsewhere):.0f} mm between their middles",
                file=file,
                field=f"spots.{other}",
                cure=f"keep spots {1000 * largest:.0f} mm apart, the size of the largest object",
            )
    if len(suite.hull) == 0:
        raise InvalidFileError(
            "lie on one line: nothing lies between them", file=file, field="spots", cure="move one off the line"
        )
    expert, box = Expert(), Box()
    box_pose = np.array([box.x, box.y, 0.0, 1.0, 0.0, 0.0, 0.0])
    places = [(f"spots.{name}", place) for name, place in suite.spots.items()]
    places += [("area", corner) for corner in suite.area.corners()]
    for field, (x, y) in places:
        if not suite.area.holds((x, y)):
            raise InvalidFileError(f"({x}, {y}) lies outside the area", file=file, field=field, cure="widen 'area'")
        try:
            expert.plan(np.array([x, y, 0.015, 1.0, 0.0, 0.0, 0.0]), box_pose, np.asarray(HOME))
        except UnreachablePoseError as error:
            raise InvalidFileError(
                error.message, file=file, field=field, cure="the whole area must be within the arm's reach"
            ) from None
    return suite
