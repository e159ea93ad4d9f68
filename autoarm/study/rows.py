"""The rows that a study has measured: a number a line, a file a stage. A run that was stopped goes on from there.

The first line of a file names the study and the amount of work; rows of another study are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from autoarm.runtime.files import write_text
from autoarm.study.plan import Condition, Stage
from gym_autoarm.errors import InvalidFileError
from gym_autoarm.strict import StrictModel

Size = Literal["full", "quick", "custom"]


class Row(StrictModel):
    """One measured number.

    Attributes:
        unit: The piece of work that gave it, such as `end-to-end/0`; its rows are written all together.
        arm: Name of the recipe or control.
        seed: Training seed.
        metric: Name of the number.
        at: Conditions it was measured under.
        value: None where it is not defined, such as a share of a total of 0.
    """

    unit: str
    arm: str
    seed: int
    metric: str
    at: dict[str, Condition] = Field(default_factory=dict)
    value: float | None

    def belongs_to(self, recipe: str, seed: int) -> bool:
        """Whether it is about the policy of this recipe (or control) and seed."""
        return (self.arm, self.seed) == (recipe, seed)

    def meets(self, conditions: Mapping[str, Condition]) -> bool:
        """Whether it was measured under these conditions, perhaps among others."""
        return all(self.at.get(name) == value for name, value in conditions.items())


class Header(StrictModel):
    """First line of a file: the study, stage and amount of work that its rows belong to."""

    study: str
    sha256: str
    stage: Stage
    size: Size
    effort: str


class RowFile:
    """The file with the rows of a stage.

    Args:
        path: The file; it is read if it exists.
        header: The first line that it must have.

    Raises:
        InvalidFileError: If it belongs to another study or is damaged.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._path, self._header = path, header
        self.rows: list[Row] = list(read_rows(path, header)) if path.is_file() else []

    @property
    def units(self) -> set[str]:
        """Names of the units whose rows are there."""
        return {row.unit for row in self.rows}

    def add(self, rows: Sequence[Row]) -> None:
        """Add all rows of a unit; the whole file is written anew."""
        self.rows.extend(rows)
        lines = [self._header.model_dump_json(), *(_line(row) for row in self.rows)]
        write_text(self._path, "".join(f"{line}\n" for line in lines))


def read_rows(path: Path, header: Header | None = None) -> Iterable[Row]:
    """Read the rows of a file. Raises `InvalidFileError` if it is damaged, or its first line differs from `header`."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        found = Header.model_validate_json(first)
        rows = [Row.model_validate_json(line) for line in lines]
    except FileNotFoundError:
        raise InvalidFileError("there is no such file", file=path, cure="run the stage") from None
    except (OSError, ValueError, ValidationError) as error:
        raise InvalidFileError(
            f"not the rows of a study: {str(error)[:200]}", file=path, cure="delete it and run the stage again"
        ) from error
    if header is not None and found != header:
        name = next(name for name in Header.model_fields if getattr(found, name) != getattr(header, name))
        raise InvalidFileError(
            f"is of another study: {getattr(found, name)}, not {getattr(header, name)}",
            file=path,
            field=name,
            cure="choose another --out, or delete the file to measure anew",
        )
    return rows


def read_header(path: Path) -> Header:
    """Read the first line of a file. Raises `InvalidFileError` if it is damaged."""
    try:
        with path.open(encoding="utf-8") as file:
            return Header.model_validate_json(file.readline())
    except (OSError, ValueError, ValidationError) as error:
        raise InvalidFileError(
            "not the rows of a study", file=path, cure="delete it and run the stage again"
        ) from error


def _line(row: Row) -> str:
    data: dict[str, Any] = row.model_dump()
    if row.value is not None:
        data["value"] = float(f"{row.value:.6g}")  # more digits than any of it means, and a third of the bytes
    return json.dumps(data, separators=(",", ":"))
