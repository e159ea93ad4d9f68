"""Files written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gym_autoarm.errors import PLACE, InvalidFileError


def write_text(path: Path, text: str) -> None:
    """Write a file through a temporary one beside it, so that nobody ever sees half of it."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends, or goes if the block raises.

    A symbolic link stays one, and the file that it points to is replaced.

    Raises:
        InvalidFileError: If `path` is a device, a pipe or a folder, or the system refuses: no space, no permission.
    """
    check_is_file(path)
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InvalidFileError(f"cannot be written: {error.strerror or error}", file=path, cure=PLACE) from error
        raise


def check_is_file(path: Path) -> None:
    """Raise `InvalidFileError` if something is at `path` that a file must not take the place of."""
    if path.is_dir():
        raise InvalidFileError("is a folder", file=path, cure="name a file in it")
    if path.exists() and not path.is_file():
        raise InvalidFileError("is a device or a pipe", file=path, cure="name a file")
