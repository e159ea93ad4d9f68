"""The file `meta/autoarm.json` of a dataset that `autoarm collect` recorded: how each episode came about."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, field_validator

from autoarm.runtime.files import read_json, write_text
from gym_autoarm import spec
from gym_autoarm.rng import stream
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene_data import restore_scene
from gym_autoarm.strict import StrictModel

RECORD_AGAIN: Final = "record the dataset again with `autoarm collect`"
SIDECAR: Final = "meta/autoarm.json"
"""Where the file lies in a dataset."""

Teleop = Literal["leader", "keyboard", "gamepad"]
"""What a person drives an arm with."""


Order = Literal["by-spot", "shuffled"]
BY_SPOT: Final = "by-spot"


class EpisodeRecord(StrictModel):
    """One recorded episode.

    Attributes:
        spot: Where the cube lay, by name; absent where it could lie everywhere.
        seed: Seed of the scene and of the expert's style.
        attempts: Tries until one succeeded.
        frames: Length of the episode in control steps.
        scene: What was drawn, as plain data; `scene["cube"]` has the cube's `x`, `y` (metres) and `yaw` (degrees). On a
            real arm, what the operator was asked to lay, with cameras and box as the robot's file places them.
        success: Whether the cube got into the box: a person may keep an episode in which it did not.
    """

    spot: str | None
    seed: int = Field(ge=0)
    attempts: int = Field(ge=1)
    frames: int = Field(ge=1)
    scene: dict[str, Any]
    success: bool = True

    @field_validator("scene")
    @classmethod
    def _check_cube(cls, scene: dict[str, Any]) -> dict[str, Any]:
        cube = scene.get("cube")
        place: list[Any] = [cube.get("x"), cube.get("y")] if isinstance(cube, dict) else []
        if not place or not all(type(each) in (int, float) and math.isfinite(each) for each in place):
            raise ValueError("does not say where the cube lay: cube.x and cube.y, metres")
        return scene

    @property
    def cube_xy(self) -> tuple[float, float]:
        """Where the cube lay, metres."""
        return float(self.scene["cube"]["x"]), float(self.scene["cube"]["y"])


class Restaged(StrictModel):
    """Episodes that were drawn again under other appearances; see `autoarm.data.restage`.

    Attributes:
        sha256: Digest of the dataset that they were recorded in.
        copies: How many times each was drawn.
        seed: Seed of the appearances.
    """

    sha256: str
    copies: int = Field(ge=1)
    seed: int = Field(ge=0)


class CollectionSettings(StrictModel):
    """What was asked for: equal settings give equal states and actions on equal versions.

    Attributes:
        spots: Names of spots, in order; empty for the whole work area.
        episodes: Episodes at each spot, or in all.
        order: The spots one after the other, or all episodes shuffled: recorded spot by spot, the cube's place drifts
            through a dataset, which tools that check datasets report as a shift.
        area: Bounds of x and of y, metres, between which a cube lies that may lie anywhere.
        vary: What else is drawn at random in every episode, out of `gym_autoarm.variation.VARIATIONS`.
        restaged: What the episodes were drawn again from, one copy of all after the other; absent otherwise.
        scene: What is special about the scenes' base, as `gym_autoarm.scene_data.scene_changes` gives it.
    """

    seed: int = Field(ge=0)
    spots: tuple[str, ...]
    episodes: int = Field(ge=1)
    image_size: tuple[int, int]
    vcodec: str
    # Left out at their defaults: datasets keep the digests that they had before there was a choice.
    order: Order = Field(default=BY_SPOT, exclude_if=lambda value: value == BY_SPOT)
    area: spec.Area = Field(default=spec.WORK_AREA, exclude_if=lambda value: value == spec.WORK_AREA)
    vary: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    restaged: Restaged | None = Field(default=None, exclude_if=lambda value: value is None)
    scene: dict[str, Any] = Field(default_factory=dict, exclude_if=lambda value: not value)

    @property
    def distribution(self) -> SceneDistribution:
        """How the scenes are drawn. Raises `InvalidInputError` for settings that no scene has."""
        return SceneDistribution(area=self.area, vary=self.vary, base=restore_scene(self.scene))

    @property
    def total(self) -> int:
        """Episodes in all."""
        return self._recorded * (1 if self.restaged is None else self.restaged.copies)

    @property
    def _recorded(self) -> int:
        return self.episodes * max(1, len(self.spots))

    def placing(self, index: int) -> tuple[str | None, int]:
        """Spot and number at that spot of an episode of the dataset."""
        index %= self._recorded
        if self.order == "shuffled":
            index = int(stream(self.seed, "order of episodes").permutation(self._recorded)[index])
        if not self.spots:
            return None, index
        return self.spots[index // self.episodes], index % self.episodes


class Collection(StrictModel):
    """How a dataset was recorded, episode by episode in the dataset's order.

    Attributes:
        env_id: Gymnasium id of the environment: the simulated arm's or the real one's.
        teleop: What a person drove with; absent for the scripted expert.
    """

    schema_version: Literal[1] = 1
    env_id: str
    teleop: Teleop | None = None
    settings: CollectionSettings
    versions: dict[str, str]
    episodes: tuple[EpisodeRecord, ...] = ()

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file back. Raises `InvalidFileError` naming the field that is wrong."""
        return read_json(cls, path, RECORD_AGAIN)
