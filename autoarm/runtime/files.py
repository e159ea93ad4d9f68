"""Files written whole or not at all, and read with errors that say what to do."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from gym_autoarm.errors import InvalidFileError
from gym_autoarm.files import check_is_file, replacing, write_text
from gym_autoarm.strict import validation_error

__all__ = ["check_writable", "read_json", "replace_folder", "replacing", "write_text"]


def read_json[M: BaseModel](model: type[M], path: Path, cure: str) -> M:
    """Read a JSON file as `model`. Raises `InvalidFileError` naming the field that is wrong, with the cure."""
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise validation_error(error, path, cure) from error
    except FileNotFoundError:
        raise InvalidFileError("there is no such file", file=path, cure=cure) from None
    except OSError as error:
        raise InvalidFileError(f"cannot be read: {error.strerror or error}", file=path, cure=cure) from error


def check_writable(path: Path) -> None:
    """Raise `InvalidFileError` if a file cannot be written at `path`: better before the work than after it."""
    check_is_file(path)
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if not existing.is_dir():
        raise InvalidFileError(f"{existing} is not a folder", file=path, cure="choose another place")
    if not os.access(existing, os.W_OK):
        raise InvalidFileError(f"{existing} cannot be written to", file=path, cure="choose another place")


def check_replaceable(folder: Path, mark: str) -> None:
    """Raise `InvalidFileError` unless `folder` is missing, empty, or has the file that such folders have."""
    if not os.path.lexists(folder):
        check_writable(folder / mark)
    elif not folder.is_dir():
        raise InvalidFileError("is no folder", file=folder, cure="choose another name")
    elif not (folder / mark).is_file() and any(folder.iterdir()):
        raise InvalidFileError(
            f"holds other things: there is no {mark} in it", file=folder, cure="choose another folder, or empty it"
        )


def replace_folder(folder: Path, fill: Callable[[Path], None], mark: str) -> None:
    """Put in the place of `folder`, which need not exist, a new one that `fill` has written into.

    A symbolic link stays one, and the folder that it points to is replaced.

    Args:
        folder: Where it will be.
        fill: Is given an empty folder.
        mark: Name of a file that every such folder has, and the new one, too: nothing else is ever replaced.

    Raises:
        InvalidFileError: If something else is there.
    """
    check_replaceable(folder, mark)
    folder = Path(os.path.realpath(folder))
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
