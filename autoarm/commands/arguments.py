"""Arguments that commands share, and what is checked about them before anything heavy is imported.

Someone who mistypes a folder's name should not wait for torch to be told so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import tyro

from gym_autoarm.errors import InvalidFileError, InvalidInputError


@dataclass(frozen=True)
class Check:
    """Beside a type: what raises an `AutoArmError` for a value that cannot be used."""

    refuse: Callable[[Any], object]


def _no_dataset(folder: Path) -> None:
    from autoarm.data.dataset import read_info

    read_info(folder)


def _no_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidFileError("there is no such folder", file=folder, cure="name a dataset's folder")


def _no_policy(reference: str) -> None:
    from autoarm.policies.loading import check_reference

    check_reference(reference)


def _no_result(file: Path) -> None:
    if not file.is_file():
        raise InvalidFileError(
            "there is no such file", file=file, cure="name a file that `autoarm eval --out` or `autoarm bench` wrote"
        )


def _none(folders: tuple[Path, ...]) -> None:
    if not folders:
        raise InvalidInputError("there is none", field="dataset", cure="name a dataset's folder, or several")


DatasetFolder = Annotated[Path, tyro.conf.arg(metavar="DATASET"), Check(_no_dataset)]
"""Folder of a LeRobotDataset with this project's joints and cameras."""
AnyDatasetFolder = Annotated[Path, tyro.conf.arg(metavar="DATASET"), Check(_no_folder)]
"""Folder of a LeRobotDataset, whatever joints and cameras it has."""
DatasetFolders = Annotated[tuple[DatasetFolder, ...], tyro.conf.arg(metavar="DATASET [DATASET ...]"), Check(_none)]
"""One or more of them."""
PolicyName = Annotated[str, tyro.conf.arg(metavar="POLICY"), Check(_no_policy)]
"""A policy as `autoarm.policies.loading.load_policy` takes it."""
ResultFile = Annotated[Path, tyro.conf.arg(metavar="RESULT"), Check(_no_result)]
"""File of a result."""

_NOTHING: Final = type(None)


def check_arguments(command: Any) -> None:
    """Check what can be checked quickly about a command's arguments. Raises `AutoArmError` for the first that fails."""
    hints = get_type_hints(type(command), include_extras=True)
    for field in fields(command):
        value = getattr(command, field.name)
        if is_dataclass(value):
            check_arguments(value)
            continue
        for check, each in _checks(hints[field.name], value):
            check.refuse(each)


def _checks(hint: Any, value: Any) -> Iterator[tuple[Check, Any]]:
    """The checks in a type, through unions and tuples, each with the value that it is for."""
    if value is None:
        return
    if get_origin(hint) is Annotated:
        kind, *extras = get_args(hint)
        yield from ((extra, value) for extra in extras if isinstance(extra, Check))
        yield from _checks(kind, value)
    elif get_origin(hint) is tuple and get_args(hint)[1:] == (...,):
        for each in value:
            yield from _checks(get_args(hint)[0], each)
    elif _NOTHING in get_args(hint):
        for kind in get_args(hint):
            yield from _checks(kind, value)
