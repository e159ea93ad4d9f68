"""A result: one JSON file that says who was measured, on what, and what happened in every episode."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from autoarm.files import read_json, write_text
from gym_autoarm.errors import InvalidFileError

SCHEMA: Final = 1
"""Version of the file format; raised when a field changes its meaning."""

Stage = Literal["reach", "grasp", "lift", "place"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(_Strict):
    """A rate with its 95 % Wilson score interval."""

    successes: int = Field(ge=0)
    episodes: int = Field(ge=1)
    rate: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class EpisodeRow(_Strict):
    """One episode.

    Attributes:
        group: What the episode is a sample of: a training spot's name, or an axis of a suite.
        seed: Repeats it, together with `scene`.
        scene: What was drawn: the whole scene, as plain data.
        steps: Control steps taken.
        closest: Smallest distance between the grasp site and the middle of the cube, metres.
        path_length: Way of the grasp site, metres.
        error: What the policy raised, where it did.
        video: File beside the result, where one was kept.
    """

    group: str
    seed: int
    scene: dict[str, Any]
    success: bool
    stage: Stage
    steps: int = Field(ge=0)
    closest: float | None = None
    path_length: float | None = None
    error: str | None = None
    video: str | None = None


class PolicyRecord(_Strict):
    """Who was measured. `sha256` is of the checkpoint's weights, absent for a baseline."""

    name: str
    kind: str
    path: str | None = None
    sha256: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)


class Setting(_Strict):
    """What it was measured on, enough to repeat it."""

    env_id: str
    distribution: dict[str, Any]
    image_size: tuple[int, int]
    time_limit: int
    seed: int
    episodes: int
    command: list[str] = Field(default_factory=list)


class Platform(_Strict):
    """Where: bit-identical rows are promised only on an equal platform."""

    python: str
    machine: str
    versions: dict[str, str]
    gl_renderer: str | None = None


class _Versioned(BaseModel):
    schema_version: int


class Result(_Strict):
    """A measured policy."""

    schema_version: Literal[1] = SCHEMA
    policy: PolicyRecord
    setting: Setting
    platform: Platform
    rows: list[EpisodeRow]
    overall: Interval
    groups: dict[str, Interval]
    seconds: float = Field(ge=0)

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read a file back. Raises `InvalidFileError` naming the field that is wrong."""
        found = read_json(_Versioned, path, cure="name a file that `autoarm eval --out` wrote")
        if found.schema_version != SCHEMA:
            raise InvalidFileError(
                f"schema version {found.schema_version!r}, this release reads {SCHEMA}",
                file=path,
                field="schema_version",
                cure="evaluate the policy again",
            )
        return read_json(cls, path)
