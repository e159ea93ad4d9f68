"""What a checkpoint was trained on: the file `trained_on.json` beside its weights, as far as its training knew."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field

from autoarm.data.collection import CollectionSettings
from autoarm.data.dataset import read_collection
from autoarm.results.result import Track
from autoarm.runtime.files import read_json, write_text
from gym_autoarm.errors import InvalidFileError
from gym_autoarm.strict import StrictModel

FILE: Final = "trained_on.json"

RANDOM: Final = "random weights"
IMAGENET: Final = "ImageNet weights"
DISTILLED: Final = "ImageNet weights, distilled on demonstrations at the five spots"
DISTILLED_FURTHER: Final = "ImageNet weights, distilled on other frames"
UNKNOWN: Final = "unknown"
"""Backbones, beside those whose own record says how they were made."""


class Demonstrations(StrictModel):
    """A dataset.

    Attributes:
        sha256: Digest of its content; see `autoarm.data.frames.dataset_digest`.
        env_id: Environment that it was recorded in; absent where the dataset does not say.
        settings: What was asked for when it was recorded; absent where the dataset does not say.
    """

    sha256: str
    env_id: str | None = None
    settings: CollectionSettings | None = None

    @classmethod
    def of(cls, folder: Path, sha256: str) -> Demonstrations:
        """A dataset on disk. One that `autoarm collect` did not record, or that was edited since, says no more."""
        try:
            collection = read_collection(folder)
        except InvalidFileError:
            return cls(sha256=sha256)
        return cls(sha256=sha256, env_id=collection.env_id, settings=collection.settings)


class Beginning(StrictModel):
    """The checkpoint that a fine-tuned one began as: digest of its weights, and its track."""

    sha256: str
    track: Track


class TrainedOn(StrictModel):
    """What a checkpoint was trained on.

    Attributes:
        demonstrations: What it imitates.
        further: What it imitates besides.
        backbone: What the backbone began as: one of the constants above, or how its folder says it was made. Absent
            for fine-tuning.
        beginning: What fine-tuning began with.
    """

    demonstrations: Demonstrations
    further: tuple[Demonstrations, ...] = Field(default=(), exclude_if=lambda value: not value)
    backbone: str | None = None
    beginning: Beginning | None = None

    def save(self, folder: Path) -> None:
        """Write the file into a checkpoint folder."""
        write_text(folder / FILE, self.model_dump_json(indent=1, exclude_none=True) + "\n")


def read_trained_on(folder: Path) -> TrainedOn | None:
    """The file in a checkpoint folder; nothing where there is none. Raises `InvalidFileError` if it is damaged."""
    path = folder / FILE
    return read_json(TrainedOn, path, "train the policy again, or delete the file") if path.is_file() else None
