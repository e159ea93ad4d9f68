"""The file `meta/autoarm.json` of a dataset that `autoarm collect` recorded: how each episode came about."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autoarm.results import write_text
from gym_autoarm.errors import InvalidFileError

SIDECAR: Final = "meta/autoarm.json"
"""Where the file lies in a dataset."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EpisodeRecord(_Strict):
    """One recorded episode.

    Attributes:
        spot: Where the cube lay, by name; absent where it could lie everywhere.
        seed: Of the scene and of the expert's style.
        attempts: Tries until one succeeded.
        frames: Length of the episode in control steps.
        scene: What was drawn, as plain data; `scene["cube"]` has the cube's `x`, `y` (metres) and `yaw` (degrees).
    """

    spot: str | None
    seed: int = Field(ge=0)
    attempts: int = Field(ge=1)
    frames: int = Field(ge=1)
    scene: dict[str, Any]

    @property
    def cube_xy(self) -> tuple[float, float]:
        """Where the cube lay, metres."""
        return float(self.scene["cube"]["x"]), float(self.scene["cube"]["y"])


class CollectionSettings(_Strict):
    """What was asked for: equal settings give equal states and actions on equal versions.

    Attributes:
        spots: Names of spots, in order; empty for the whole work area.
        episodes: At each spot, or in all.
    """

    seed: int = Field(ge=0)
    spots: tuple[str, ...]
    episodes: int = Field(ge=1)
    image_size: tuple[int, int]
    vcodec: str


class Collection(_Strict):
    """How a dataset was recorded, episode by episode in the dataset's order."""

    schema_version: Literal[1] = 1
    env_id: str
    settings: CollectionSettings
    versions: dict[str, str]
    episodes: tuple[EpisodeRecord, ...] = ()

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file back. Raises `InvalidFileError` naming the field that is wrong."""
        return load_model(cls, path)


def load_model[M: BaseModel](model: type[M], path: Path) -> M:
    """Read a JSON file as `model`. Raises `InvalidFileError` naming the field that is wrong."""
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidFileError(
            first["msg"], file=path, field=field or None, cure="record the dataset again with `autoarm collect`"
        ) from error
    except OSError as error:
        raise InvalidFileError(f"cannot be read: {error}", file=path) from error
