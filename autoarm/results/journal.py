"""The journal of a run: one line an episode as it is done, so that an interrupted run loses none.

The first line says what the run is; a run that is not the same refuses to go on from it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError

from autoarm.results.result import EpisodeRow, Platform, PolicyRecord, Setting
from autoarm.runtime.files import write_text
from gym_autoarm.errors import PLACE, InvalidFileError
from gym_autoarm.strict import StrictModel


class JournalHeader(StrictModel):
    """What must be the same for rows of two runs to belong together. The setting's command is left out."""

    policy: PolicyRecord
    setting: Setting
    platform: Platform

    @classmethod
    def of(cls, policy: PolicyRecord, setting: Setting, platform: Platform) -> Self:
        """The header of a run."""
        return cls(policy=policy, setting=setting.model_copy(update={"command": []}), platform=platform)


class _Line(StrictModel):
    seconds: float = Field(ge=0)
    row: EpisodeRow


def journal_path(out: Path) -> Path:
    """Where the journal of a result lies until the result is written."""
    return out.with_name(f"{out.name}.journal.jsonl")


class Journal:
    """Rows on disk, in the order in which they came in.

    Args:
        path: The file; read if it is there, made if not.
        header: What the run is.

    Attributes:
        rows: What was read, and what was added since.
        seconds: What all of them took.

    Raises:
        InvalidFileError: If the file is of another run, damaged before its last line, or cannot be written.
    """

    def __init__(self, path: Path, header: JournalHeader) -> None:
        self._path = path
        self.rows: list[EpisodeRow] = []
        self.seconds = 0.0
        # A line that was being written when the run was killed has no end, and its episode is run again.
        complete, _, _ = self._read().rpartition("\n")
        lines = complete.splitlines()
        if lines:
            self._check_header(lines[0], header, has_rows=len(lines) > 1)
            self._take(lines[1:])
        if len(lines) < 2:
            lines = [header.model_dump_json()]
        # Written anew: what follows must not be glued to half a line.
        write_text(path, "".join(f"{line}\n" for line in lines))
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise InvalidFileError(f"cannot be written: {error.strerror}", file=path, cure=PLACE) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, row: EpisodeRow, seconds: float) -> None:
        """Append a row; on disk when this returns. Raises `InvalidFileError` if the disk is full."""
        self.rows.append(row)
        self.seconds = seconds
        try:
            self._file.write(_Line(seconds=seconds, row=row).model_dump_json() + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InvalidFileError(
                f"cannot be written: {error.strerror}",
                file=self._path,
                cure="make room and run the same command again: the rows written so far are kept",
            ) from error

    def remove(self) -> None:
        """Delete the file: the result has taken its place."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidFileError(
                f"cannot be read: {error}", file=self._path, cure="delete it to start anew"
            ) from error

    def _check_header(self, line: str, header: JournalHeader, has_rows: bool) -> None:
        try:
            found = JournalHeader.model_validate_json(line)
        except ValidationError as error:
            raise InvalidFileError(
                "is not the journal of a run", file=self._path, field="line 1", cure="delete it to start anew"
            ) from error
        differing = [name for name in JournalHeader.model_fields if getattr(found, name) != getattr(header, name)]
        if differing and has_rows:  # a run that ended before its first episode leaves nothing to mix up
            name = differing[0]
            raise InvalidFileError(
                f"is of another run: {_first_difference(getattr(found, name), getattr(header, name), name)}",
                file=self._path,
                field=name,
                cure="go on with the same policy, suite, size and machine, choose another --out, or delete the file",
            )

    def _take(self, lines: Iterable[str]) -> None:
        for number, text in enumerate(lines, start=2):
            try:
                line = _Line.model_validate_json(text)
            except ValidationError as error:
                raise InvalidFileError(
                    error.errors()[0]["msg"],
                    file=self._path,
                    field=f"line {number}",
                    cure="delete that line: its episode is run again",
                ) from error
            self.rows.append(line.row)
            self.seconds = line.seconds


def _first_difference(found: Any, wanted: Any, where: str) -> str:
    """Where two models first differ, and how."""
    if isinstance(found, BaseModel) and isinstance(wanted, type(found)):
        for name in type(found).model_fields:
            if getattr(found, name) != getattr(wanted, name):
                return _first_difference(getattr(found, name), getattr(wanted, name), f"{where}.{name}")
    return f"{where} was {str(found)[:80]!r} and is now {str(wanted)[:80]!r}"
