"""What people call features: a JSON file that can be shared and merged."""

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
    """What one feature is called.

    Attributes:
        name: A few words.
        description: What speaks for it, and against.
        edited: When it was last changed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(max_length=NAME_LENGTH)
    description: str = Field(default="", max_length=DESCRIPTION_LENGTH)
    edited: AwareDatetime


class NamesFile(BaseModel):
    """The file.

    Attributes:
        autoencoder: SHA-256 of the weights that the numbers of the features belong to.
        features: By number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    autoencoder: str
    features: dict[int, Naming] = {}


@dataclass(frozen=True)
class FeatureNames:
    """Names and the file in which they are kept."""

    path: Path
    content: NamesFile

    @classmethod
    def load(cls, path: Path, autoencoder: str, *, must_exist: bool = False) -> FeatureNames:
        """Read a file, or begin one.

        Args:
            path: The file.
            autoencoder: SHA-256 of the weights they must belong to.
            must_exist: Whether a missing file is an error.

        Raises:
            InvalidFileError: If it is something else, or names the features of another autoencoder.
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
        """What a feature is called, if it has a name."""
        return self.content.features.get(feature)

    def label(self, feature: int) -> str:
        """Number and name."""
        naming = self.get(feature)
        return f"{feature}: {naming.name}" if naming and naming.name else str(feature)

    def named(self, feature: int, name: str, description: str, now: datetime | None = None) -> FeatureNames:
        """With another name for a feature; no name and no description take it away.

        Raises:
            InvalidInputError: If they are too long.
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
        """With what another file has; where both name a feature, the later one holds."""
        features = dict(self.content.features)
        for feature, naming in other.content.features.items():
            if feature not in features or naming.edited > features[feature].edited:
                features[feature] = naming
        return self._with(features)

    def save(self) -> None:
        """Write the file, in order of the numbers, so that two versions can be compared line by line."""
        check_writable(self.path)
        write_text(self.path, self.content.model_dump_json(indent=1) + "\n")

    def _with(self, features: dict[int, Naming]) -> FeatureNames:
        ordered = {feature: features[feature] for feature in sorted(features)}
        return FeatureNames(self.path, self.content.model_copy(update={"features": ordered}))
