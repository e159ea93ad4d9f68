"""The content of a study: a YAML file that is written before anything is run, and checked when it is read."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from autoarm.data.collection import BY_SPOT, Order
from autoarm.suite.geometry import convex_hull, hull_distance, nearest_distance
from gym_autoarm import spec
from gym_autoarm.body_files import STIFF_BODY
from gym_autoarm.errors import InvalidFileError
from gym_autoarm.shipped import find_yaml, shipped_names
from gym_autoarm.strict import StrictModel, read_yaml

Point = tuple[float, float]
Place = Literal["inside", "outside", "trained"]
Condition = str | int | float
Stage = Literal[
    "train",
    "behaviour",
    "mechanism",
    "probes",
    "steering",
    "attention",
    "absorption",
    "tracing",
    "lens",
    "finetune",
    "knockouts",
]

PACKAGE: Final = "autoarm_studies"


def _on_table(point: Point) -> Point:
    bounds = spec.WORK_AREA
    if not all(low <= value <= high for value, (low, high) in zip(point, bounds, strict=True)):
        raise ValueError(f"{point} lies outside the work area {bounds}")
    return point


class Demonstrations(StrictModel):
    """A dataset recorded by the scripted expert: the same number of episodes at each spot."""

    seed: int = Field(ge=0)
    episodes_per_spot: int = Field(ge=1)
    spots: list[Point] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for spot in self.spots:
            _on_table(spot)
        if len(set(self.spots)) < len(self.spots):
            raise ValueError("a spot is there twice")
        return self


class Positions(StrictModel):
    """Cube positions that were not demonstrated, inside and outside the hull of the spots, metres."""

    inside: list[Point] = Field(min_length=1)
    outside: list[Point] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for point in self.all:
            _on_table(point)
        return self

    @property
    def all(self) -> list[Point]:
        """All positions, those inside first."""
        return [*self.inside, *self.outside]


class Pretraining(StrictModel):
    """How the pretrained backbone is trained on labelled scenes; see `autoarm.training.pretraining`."""

    scenes: int = Field(ge=1)
    moments: int = Field(ge=1)
    steps: int = Field(ge=1)
    seed: int = Field(ge=0)


class Recipe(StrictModel):
    """How a policy is trained; the study trains one for each seed.

    Attributes:
        backbone: `trained` with the rest, `pretrained` and frozen, or `untrained`: then nothing is trained.
        policy: Fields of LeRobot's policy configuration that replace the preset's.
        demonstrations: Number of demonstrations used, evenly spread over the dataset; all by default.
        state_dropout: Share of the samples whose joint positions are hidden; replaces the preset's.
        steps: Optimiser steps of the last phase of training; replaces the preset's.
    """

    about: str
    dataset: str
    backbone: Literal["trained", "pretrained", "untrained"]
    demonstrations: int | None = Field(default=None, ge=1)
    state_dropout: float | None = Field(default=None, ge=0, le=1)
    steps: int | None = Field(default=None, ge=1)
    policy: dict[str, Any] = Field(default_factory=dict)
    seeds: int = Field(ge=1)


class Threshold(StrictModel):
    """A bound: values at least, or at most, a number."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give at_least or at_most")
        return self

    def holds(self, low: float, high: float) -> bool:
        """Whether the whole interval meets the bound."""
        return low >= self.at_least if self.at_least is not None else high <= (self.at_most or 0.0)

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


class Measure(StrictModel):
    """A number that a criterion looks at: the mean of certain rows.

    Attributes:
        at: Conditions that rows must meet; they may have further ones.
        unit: What counts as one draw in the interval: a training seed, or a position.
    """

    name: str
    about: str = ""
    stage: Stage
    metric: str
    at: dict[str, Condition] = Field(default_factory=dict)
    unit: Literal["seed", "position"] = "seed"


class Criterion(Measure):
    """A measure, and the values of it that support or refute the hypothesis."""

    supported: Threshold
    refuted: Threshold
    decides: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        yes, no = self.supported, self.refuted
        if yes.at_least is not None:
            apart = no.at_most is not None and no.at_most < yes.at_least
        else:
            apart = no.at_least is not None and yes.at_most is not None and no.at_least > yes.at_most
        if not apart:
            raise ValueError("'supported' and 'refuted' must lie apart, on either side")
        return self


class ControlCriterion(Measure):
    """A measure of a policy whose behaviour is known, and the value that must come out."""

    holds: Threshold


class Control(StrictModel):
    """A policy whose behaviour is known: its name in `controls` is that of a baseline of `autoarm.policies.loading`."""

    about: str
    dataset: str
    criteria: list[ControlCriterion] = Field(min_length=1)


class Hypothesis(StrictModel):
    """A claim, and the criteria that decide on it."""

    claim: str
    arm: str
    prediction: str
    exclusions: str
    analysis: str
    needs_controls: bool = False
    criteria: list[Criterion] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(criterion.decides for criterion in self.criteria):
            raise ValueError("no criterion decides")
        return self


class Grid(StrictModel):
    """Fine-tuning runs: all combinations of parts, demonstrations and steps, for the first `seeds` seeds."""

    parts: list[str] = Field(min_length=1)
    demonstrations: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)
    steps: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)
    seeds: int = Field(ge=1)


class Finetuning(StrictModel):
    """How policies are fine-tuned, and at which positions."""

    seed: int = Field(ge=0)
    tuned: list[Point] = Field(min_length=1)
    third: list[Point] = Field(min_length=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    grids: list[Grid] = Field(min_length=1)

    @property
    def most_demonstrations(self) -> int:
        """Largest number of demonstrations that a run learns from."""
        return max(max(grid.demonstrations) for grid in self.grids)


class Effort(StrictModel):
    """Amount of work; the study's file explains each number.

    Attributes:
        policy: Fields of LeRobot's policy configuration that replace the recipe's.
        frame_size: Height and width of the networks' input, instead of the recipe's.
        time_limit: Steps after which an episode is truncated.
    """

    seeds: int = Field(ge=1)
    arms: list[str] = Field(min_length=1)
    image_size: tuple[int, int]
    steps: float = Field(gt=0, le=1)
    demonstrations: float = Field(gt=0, le=1)
    scenes: int = Field(ge=10)
    frames: int = Field(ge=2)
    draws: int = Field(ge=1)
    episodes: int = Field(ge=1)
    finetune_episodes: int = Field(ge=1)
    finetune_steps: float = Field(gt=0, le=1)
    parts: int = Field(ge=1)
    policy: dict[str, Any] = Field(default_factory=dict)
    frame_size: tuple[int, int] | None = None
    time_limit: int = Field(default=spec.TIME_LIMIT, ge=1)


class Study(StrictModel):
    """A study; `benchmarks/studies/lookup-table-v1.yaml` is one.

    Attributes:
        clearance: Least distance of a position from a demonstrated spot, metres.
        least_seeds: Number of seeds, or of positions, under which a criterion stays undecided.
        confidence: Probability with which intervals shall hold the truth.
        resamples: Number of resamples of a percentile bootstrap over seeds. Only `lookup-table-v1`, whose file may not
            change, still has its intervals from that; a study without this field has t intervals.
        body: How the simulated arm answers, by name; by default the stiff one, with which studies began.
        order: Order of the recorded demonstrations.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    version: int = Field(ge=1)
    title: str
    question: str
    datasets: dict[str, Demonstrations] = Field(min_length=1)
    positions: Positions
    clearance: float = Field(ge=0)
    pretraining: Pretraining
    arms: dict[str, Recipe] = Field(min_length=1)
    controls: dict[str, Control]
    least_seeds: int = Field(ge=2)
    confidence: float = Field(gt=0, lt=1)
    resamples: int | None = Field(default=None, ge=100)
    hypotheses: dict[str, Hypothesis] = Field(min_length=1)
    finetuning: Finetuning
    effort: dict[Literal["full", "quick"], Effort]
    # Left out at their defaults: rows of studies that are older keep their digests.
    body: str = Field(default=STIFF_BODY, exclude_if=lambda value: value == STIFF_BODY)
    order: Order = Field(default=BY_SPOT, exclude_if=lambda value: value == BY_SPOT)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for kind, owners in (("arms", self.arms), ("controls", self.controls)):
            for name, owner in owners.items():
                if owner.dataset not in self.datasets:
                    raise ValueError(f"{kind}.{name}.dataset: there is no {owner.dataset!r}")
        for name, hypothesis in self.hypotheses.items():
            if hypothesis.arm not in self.arms:
                raise ValueError(f"hypotheses.{name}.arm: there is no {hypothesis.arm!r}")
        for size, effort in self.effort.items():
            if unknown := [name for name in effort.arms if name not in self.arms]:
                raise ValueError(f"effort.{size}.arms: there is no {unknown[0]!r}")
        if set(self.effort) != {"full", "quick"}:
            raise ValueError("effort: both 'full' and 'quick' are needed")
        names = set(self.arms) & set(self.controls)
        if names:
            raise ValueError(f"{names.pop()!r} is an arm and a control")
        return self

    @property
    def sha256(self) -> str:
        """SHA-256 of the content; comments and layout of the file do not matter."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    def held_out(self, dataset: str) -> list[tuple[Point, Place]]:
        """The positions that are not in a dataset, each with whether it lies inside or outside the hull of its spots.

        Two spots span no area: nothing lies inside.
        """
        spots = self.datasets[dataset].spots
        apart = [point for point in self.positions.all if nearest_distance(point, spots) >= self.clearance]
        return [(point, "inside" if _within(point, spots) else "outside") for point in apart]


def _within(point: Point, spots: list[Point]) -> bool:
    hull = convex_hull(spots)
    return len(hull) > 0 and hull_distance(point, hull) <= 0


def nearest_spot(point: Point, spots: list[Point]) -> Point:
    """The spot at the least distance from a position."""
    return min(spots, key=lambda spot: math.dist(spot, point))


def nearest_other(spot: Point, spots: list[Point]) -> Point:
    """The spot at the least distance from another one."""
    return nearest_spot(spot, [other for other in spots if other != spot])


def study_names() -> list[str]:
    """The studies that this installation carries."""
    return shipped_names(PACKAGE)


def load_study(reference: str | Path) -> Study:
    """A study by name, or from a YAML file.

    Raises:
        InvalidInputError: If there is no such study.
        InvalidFileError: If something in the file is wrong, naming the field.
    """
    file = find_yaml(PACKAGE, reference, "study")
    study = read_yaml(Study, file, "compare with a study in benchmarks/studies")
    _check_hull(study, file)
    return study


def _check_hull(study: Study, file: Path) -> None:
    """Check that positions are inside or outside, as the file says, the hull of the first recipe's spots."""
    spots = next(iter(study.arms.values())).dataset
    hull = study.datasets[spots].spots
    for place, points in (("inside", study.positions.inside), ("outside", study.positions.outside)):
        for number, point in enumerate(points):
            if _within(point, hull) != (place == "inside") or nearest_distance(point, hull) < study.clearance:
                raise InvalidFileError(
                    f"{point} does not lie {place} the hull of {spots!r}, {study.clearance} m from its spots",
                    file=file,
                    field=f"positions.{place}.{number}",
                    cure="move it",
                )
