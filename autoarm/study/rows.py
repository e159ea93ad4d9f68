"""What a study has measured: one number a line, in one file a stage, so that a run that is stopped goes on from there.

The first line of a file says which study and how much of it; rows of another are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from autoarm.runtime.files import write_text
from autoarm.study.plan import Condition, Stage
from gym_autoarm.errors import InvalidFileError

Size = Literal["full", "quick", "custom"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Strict):
    """One number.

    Attributes:
        unit: The piece of work that gave it, such as `end-to-end/0`; all of its rows are there, or none.
        arm: Recipe or control.
        seed: Of training.
        metric: What it is.
        at: Under which conditions.
        value: None where it is not defined, such as a share of nothing.
    """

    unit: str
    arm: str
    seed: int
    metric: str
    at: dict[str, Condition] = {}
    value: float | None

    def of(self, arm: str, seed: int) -> bool:
        """Whether it is about this policy."""
        return (self.arm, self.seed) == (arm, seed)

    def meets(self, conditions: Mapping[str, Condition]) -> bool:
        """Whether its conditions hold these."""
        return all(self.at.get(name) == value for name, value in conditions.items())


class Header(_Strict):
    """What rows belong to."""

    study: str
    sha256: str
    stage: Stage
    size: Size
    effort: str


class RowFile:
    """The rows of a stage, on disk.

    Args:
        path: The file; read if it is there.
        header: What it must be of.

    Raises:
        InvalidFileError: If it is of another study or damaged.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._path, self._header = path, header
        self.rows: list[Row] = list(read_rows(path, header)) if path.is_file() else []

    @property
    def units(self) -> set[str]:
        """What is done."""
        return {row.unit for row in self.rows}

    def add(self, rows: Sequence[Row]) -> None:
        """All rows of a unit; the file is written anew and whole."""
        self.rows.extend(rows)
        lines = [self._header.model_dump_json(), *(_line(row) for row in self.rows)]
        write_text(self._path, "".join(f"{line}\n" for line in lines))


def read_rows(path: Path, header: Header | None = None) -> Iterable[Row]:
    """Rows of a file. Raises `InvalidFileError` if it is damaged, or of another study than `header` says."""
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
    """What the rows of a file belong to. Raises `InvalidFileError` if it does not say."""
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
