"""A result: one JSON file that says who was measured, on what, and what happened in every episode."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, Field

from autoarm.runtime.files import read_json, write_text
from autoarm.statistics import wilson_interval
from gym_autoarm.errors import InvalidFileError
from gym_autoarm.strict import StrictModel

SCHEMA: Final = 2
"""Version of the file format; raised when a field changes its meaning."""
ORIGINAL: Final = "take the file as `autoarm eval --out` or `autoarm bench` wrote it, or evaluate the policy again"
"""The cure of a result that is damaged or was changed."""

Stage = Literal["reach", "grasp", "lift", "place"]
FailureMode = Literal["never-reached", "missed-grasp", "dropped", "missed-box", "timeout", "error", "unknown"]
Size = Literal["quick", "standard", "full", "custom"]
Role = Literal["policy", "floor", "ceiling", "control"]
Track = Literal["five-spots", "open", "unknown", "none"]
"""See `autoarm.policies.track`."""


def _is_none(value: object) -> bool:
    """Whether a field is absent, and left out: files, and their digests, are older than it."""
    return value is None


class Interval(StrictModel):
    """A rate with its 95 % Wilson score interval."""

    successes: int = Field(ge=0)
    episodes: int = Field(ge=1)
    rate: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class Latency(StrictModel):
    """How late a policy's answers come.

    Attributes:
        steps: Control steps from what a policy sees to the first action that it decides on.
        chunk: Actions of an answer after which it is asked again.
    """

    steps: int = Field(ge=0, le=60)
    chunk: int = Field(ge=1)


class EpisodeRow(StrictModel):
    """One episode. Rows of two policies pair up by `key`.

    Attributes:
        group: What the episode is a sample of: an axis of a suite, or a training spot's name.
        level: Named step of the axis; empty where the axis has none.
        index: Number of the episode within group and level.
        seed: Repeats it, together with `scene`.
        scene: What is special about it, as plain data; see `gym_autoarm.scene_data.restore_scene`.
        latency: How late the policy's answers came; absent where they came at once.
        stage: The furthest one entered.
        steps: Control steps taken.
        closest: Smallest distance between the grasp site and the middle of the cube, metres; absent where it is not
            known, as on a real arm.
        path_length: Way of the grasp site, metres; absent where the arm's links are not known.
        jerk: Mean squared jerk of the five arm joints, deg^2 / s^6; absent for an episode under four steps.
        failure: How it failed; absent on success. See `autoarm.evaluation.failure`.
        error: What the policy raised, where it did.
        video: File beside the result, where one was kept.
    """

    group: str
    level: str = ""
    index: int = Field(ge=0)
    seed: int = Field(ge=0)
    scene: dict[str, Any]
    latency: Latency | None = Field(default=None, exclude_if=_is_none)
    success: bool
    stage: Stage
    steps: int = Field(ge=0)
    closest: float | None = None
    path_length: float | None = None
    jerk: float | None = None
    failure: FailureMode | None = None
    error: str | None = None
    video: str | None = None

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What the episode was: group, level, index, seed."""
        return self.group, self.level, self.index, self.seed


class PolicyRecord(StrictModel):
    """Who was measured.

    Attributes:
        name: How results and reports call it.
        kind: What it is, such as `act`, `scripted` or `lookup`.
        role: Whether it competes, or bounds and explains those that do.
        track: What it was allowed to learn from; absent in results that are older than tracks.
        path: Where it was found, as it was given.
        sha256: Digest of the checkpoint's weights; absent for what has none.
        config: Its settings.
    """

    name: str
    kind: str
    role: Role = "policy"
    track: Track | None = Field(default=None, exclude_if=_is_none)
    path: str | None = None
    sha256: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)


class LevelRecord(StrictModel):
    """A step of an axis: where it lies on the axis' scale, and how many episodes were run."""

    value: float | None = None
    episodes: int = Field(ge=1)


class AxisRecord(StrictModel):
    """An axis as a plot needs it: the unit of its levels' values, and the levels in order (one, `""`, for a point)."""

    title: str
    unit: str | None = None
    levels: dict[str, LevelRecord]


class SuiteRecord(StrictModel):
    """Which suite was run, and how much of it. `sha256` is of its content, not of its file's layout."""

    name: str
    version: int
    sha256: str
    size: Size
    axes: dict[str, AxisRecord]


_FIRST_ARM: Final = "so101"
"""Body of all simulated arms before there was a choice."""


class Setting(StrictModel):
    """What it was measured on, enough to repeat it.

    Attributes:
        distribution: How scenes were drawn; empty where a suite says it.
        seed: Seed of the run; 0 where the suite has its own.
        suite: The suite, where there was one.
        arm: Name of the simulated arm's body, `own` for one that AutoArm does not carry; absent for a real arm, and in
            the first results, of the body `so101`. Axes of a suite may change it, as rows say.
    """

    env_id: str
    distribution: dict[str, Any]
    image_size: tuple[int, int]
    time_limit: int
    seed: int
    episodes: int
    command: list[str] = Field(default_factory=list)
    suite: SuiteRecord | None = None
    arm: str | None = Field(default=None, exclude_if=_is_none)

    @property
    def simulated_arm(self) -> str:
        """Name of the body of the simulated arm, where it was one."""
        return self.arm or _FIRST_ARM


class BodyRecord(StrictModel):
    """An arm outside of the simulation.

    Attributes:
        kind: A real arm, or a twin: the simulated one behind a serial port.
        type: LeRobot's name of it.
        id: The name under which it was calibrated.
        success: Who said whether the cube was in the box.
    """

    kind: Literal["real", "twin"]
    type: str
    id: str
    success: Literal["operator", "vision"]

    def __str__(self) -> str:
        return f"{self.kind} {self.type} {self.id}"


class Platform(StrictModel):
    """Where: bit-identical rows are promised only on an equal platform.

    Attributes:
        body: The arm that moved; absent in the simulated environment, where rows can be run again.
    """

    python: str
    machine: str
    versions: dict[str, str]
    gl_renderer: str | None = None
    body: BodyRecord | None = Field(default=None, exclude_if=_is_none)


class _Versioned(BaseModel):
    schema_version: int


class Result(StrictModel):
    """A measured policy.

    Attributes:
        overall: Success over all rows.
        groups: The same of each group.
        levels: The same of each `group/level`, where there are levels.
        seconds: What it took.
        digest: SHA-256 over everything but `digest` and `seconds`: a file that was edited by hand shows it.
    """

    schema_version: Literal[2] = SCHEMA
    policy: PolicyRecord
    setting: Setting
    platform: Platform
    rows: list[EpisodeRow]
    overall: Interval
    groups: dict[str, Interval]
    levels: dict[str, Interval] = Field(default_factory=dict)
    seconds: float = Field(ge=0)
    digest: str = ""

    @classmethod
    def from_rows(
        cls, policy: PolicyRecord, setting: Setting, platform: Platform, rows: Sequence[EpisodeRow], seconds: float
    ) -> Self:
        """The result that `rows`, at least one, add up to."""
        return cls(
            policy=policy,
            setting=setting,
            platform=platform,
            rows=list(rows),
            overall=success_interval(rows),
            groups=group_intervals(rows),
            levels=level_intervals(rows),
            seconds=seconds,
        ).sealed()

    def sealed(self) -> Self:
        """The same with the digest that belongs to it."""
        return self.model_copy(update={"digest": self.content_digest()})

    def content_digest(self) -> str:
        """The digest of what is in it now."""
        content = self.model_dump(mode="json", exclude={"digest", "seconds"})
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the file, sealed, whole or not at all: a line for each field and each row."""
        content = self.sealed().model_dump(mode="json")
        fields = {name: _compact(value) for name, value in content.items()}
        fields["rows"] = "[\n" + ",\n".join(_compact(row) for row in content["rows"]) + "\n]"
        write_text(path, "{\n" + ",\n".join(f"{_compact(name)}: {text}" for name, text in fields.items()) + "\n}\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file back. Raises `InvalidFileError` naming the field that is wrong."""
        found = read_json(_Versioned, path, ORIGINAL)
        if found.schema_version != SCHEMA:
            raise InvalidFileError(
                f"schema version {found.schema_version!r}, this release reads {SCHEMA}",
                file=path,
                field="schema_version",
                cure="evaluate the policy again",
            )
        result = read_json(cls, path, ORIGINAL)
        if result.digest != result.content_digest():
            raise InvalidFileError(
                "does not match the content: the file was changed after it was written",
                file=path,
                field="digest",
                cure=ORIGINAL,
            )
        return result


def success_interval(rows: Sequence[EpisodeRow]) -> Interval:
    """The success rate over `rows`, at least one, with its 95 % Wilson interval."""
    successes = sum(row.success for row in rows)
    low, high = wilson_interval(successes, len(rows))
    return Interval(successes=successes, episodes=len(rows), rate=successes / len(rows), low=low, high=high)


def group_intervals(rows: Sequence[EpisodeRow]) -> dict[str, Interval]:
    """The success rate of every group, in order of appearance."""
    return _intervals(rows, lambda row: row.group)


def level_intervals(rows: Sequence[EpisodeRow]) -> dict[str, Interval]:
    """The success rate of every `group/level` among the rows that have a level, in order of appearance."""
    return _intervals([row for row in rows if row.level], lambda row: f"{row.group}/{row.level}")


def _intervals(rows: Sequence[EpisodeRow], name: Callable[[EpisodeRow], str]) -> dict[str, Interval]:
    members: dict[str, list[EpisodeRow]] = {}
    for row in rows:
        members.setdefault(name(row), []).append(row)
    return {group: success_interval(own) for group, own in members.items()}


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
