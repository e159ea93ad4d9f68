"""Names that people give to features, in a JSON file that can be shared and merged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from autoarm.runtime.files import check_writable, read_json, write_text
from gym_autoarm.errors import InvalidFileError, InvalidInputError

NAME_LENGTH: Final = 80
DESCRIPTION_LENGTH: Final = 2000


class Naming(BaseModel):
    """The name of a feature.

    Attributes:
        name: A few words.
        description: Evidence for the name, and against it.
        edited: Time of the last change.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(max_length=NAME_LENGTH)
    description: str = Field(default="", max_length=DESCRIPTION_LENGTH)
    edited: AwareDatetime


class NamesFile(BaseModel):
    """Content of the file.

    Attributes:
        autoencoder: SHA-256 of the weights that the numbers of the features belong to.
        features: Names, by the number of the feature.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    autoencoder: str
    features: dict[int, Naming] = {}


@dataclass(frozen=True)
class FeatureNames:
    """Names of features, and the file that holds them."""

    path: Path
    content: NamesFile

    @classmethod
    def load(cls, path: Path, autoencoder: str, *, must_exist: bool = False) -> FeatureNames:
        """Read a file; a missing one gives no names yet.

        Args:
            path: The file.
            autoencoder: SHA-256 of the weights that the names must belong to.
            must_exist: Whether a missing file is an error.

        Raises:
            InvalidFileError: If it is no file of names, or belongs to another autoencoder.
        """
        if not path.exists() and not must_exist:
            return cls(path, NamesFile(autoencoder=autoencoder))
        content = read_json(NamesFile, path, "export it again from the explorer")
        if content.autoencoder != autoencoder:
            raise InvalidFileError(
                "these are names of another autoencoder's features",
                file=path,
                field="autoencoder",
                cure="give the file that belongs to this folder",
            )
        return cls(path, content)

    def get(self, feature: int) -> Naming | None:
        """Name and description of a feature; None if it has none."""
        return self.content.features.get(feature)

    def label(self, feature: int) -> str:
        """Number and name of a feature."""
        naming = self.get(feature)
        return f"{feature}: {naming.name}" if naming and naming.name else str(feature)

    def named(self, feature: int, name: str, description: str, now: datetime | None = None) -> FeatureNames:
        """A copy with another name for a feature; an empty name and description remove it.

        Raises:
            InvalidInputError: If the name or the description is too long.
        """
        name, description = " ".join(name.split()), description.strip()
        for field, text, most in (("name", name, NAME_LENGTH), ("description", description, DESCRIPTION_LENGTH)):
            if len(text) > most:
                raise InvalidInputError(f"{len(text)} characters", field=field, cure=f"at most {most}")
        features = dict(self.content.features)
        features.pop(feature, None)
        if name or description:
            features[feature] = Naming(name=name, description=description, edited=now or datetime.now(UTC))
        return self._with(features)

    def merged(self, other: FeatureNames) -> FeatureNames:
        """A copy with the names of another file added; where both name a feature, the later edit wins."""
        features = dict(self.content.features)
        for feature, naming in other.content.features.items():
            if feature not in features or naming.edited > features[feature].edited:
                features[feature] = naming
        return self._with(features)

    def save(self) -> None:
        """Write the file in order of the features' numbers, so that versions can be compared line by line."""
        check_writable(self.path)
        write_text(self.path, self.content.model_dump_json(indent=1) + "\n")

    def _with(self, features: dict[int, Naming]) -> FeatureNames:
        ordered = {feature: features[feature] for feature in sorted(features)}
        return FeatureNames(self.path, self.content.model_copy(update={"features": ordered}))
