"""Files written whole or not at all, and read with errors that say what to do."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from gym_autoarm.errors import InvalidFileError
from gym_autoarm.files import replacing, write_text
from gym_autoarm.strict import validation_error

__all__ = ["check_writable", "read_json", "replace_folder", "replacing", "write_text"]


def read_json[M: BaseModel](model: type[M], path: Path, cure: str | None = None) -> M:
    """Read a JSON file as `model`. Raises `InvalidFileError` naming the field that is wrong."""
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise validation_error(error, path, cure) from error
    except FileNotFoundError:
        raise InvalidFileError("there is no such file", file=path, cure=cure) from None
    except OSError as error:
        raise InvalidFileError(f"cannot be read: {error}", file=path) from error


def check_writable(path: Path) -> None:
    """Raise `InvalidFileError` if a file cannot be written at `path`: better before the work than after it."""
    if path.is_dir():
        raise InvalidFileError("is a folder", file=path, cure="name a file in it")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if not existing.is_dir():
        raise InvalidFileError(f"{existing} is not a folder", file=path, cure="choose another place")
    if not os.access(existing, os.W_OK):
        raise InvalidFileError(f"{existing} cannot be written to", file=path, cure="choose another place")


def replace_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Put in the place of `folder`, which need not exist, a new one that `fill` has written into."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        temporary.chmod(0o755)  # mkdtemp's folders are their maker's alone
        fill(temporary)
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
