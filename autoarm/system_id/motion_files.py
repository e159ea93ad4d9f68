"""Motions as Parquet files: a column `t` in seconds, and for each joint `<joint>.goal` and `<joint>.pos`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from autoarm.system_id.motion import Motion, Vector, check_units, whole_motions
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError

_FORMAT: Final = "a column t in seconds, and <joint>.goal and <joint>.pos of each joint, in degrees, gripper 0 to 100"


def read_motions(path: str | Path) -> tuple[list[Motion], list[str]]:
    """The motions of a Parquet file, or of all in a folder in the order of their names, and what is to be said of them.

    Raises:
        InvalidFileError: Naming the file and the joint, if it is missing or not a recording of this arm.
    """
    path = Path(path)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise InvalidFileError("there are no .parquet files in it", file=path, cure=f"give motions with {_FORMAT}")
    motions, said = [], []
    for file in files:
        found, notes = whole_motions(_read(file), file)
        motions += found
        said += notes
    # A motion around the middle alone may look like radians; a folder of them does not.
    check_units(np.concatenate([values for each in motions for values in (each.positions, each.goals)]), path)
    return motions, said


def _read(file: Path) -> Motion:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file():
        raise InvalidFileError("there is no such file", file=file, cure=f"give motions with {_FORMAT}")
    try:
        table = pq.ParquetFile(file).read()
    except (OSError, ValueError, pa.ArrowException) as error:  # names of columns that are no UTF-8
        raise InvalidFileError(
            f"is not a Parquet file, or damaged: {error}", file=file, cure=f"give motions with {_FORMAT}"
        ) from error
    for kind, what in (("goal", "goals"), ("pos", "positions")):
        missing = [joint for joint in spec.JOINTS if f"{joint}.{kind}" not in table.column_names]
        if len(missing) == len(spec.JOINTS):
            raise InvalidFileError(f"there are no {what}", file=file, field=f"<joint>.{kind}", cure=f"give {_FORMAT}")
        if missing:
            raise InvalidFileError(
                f"{', '.join(missing)}: of another robot, or incomplete", file=file, field=kind, cure=f"give {_FORMAT}"
            )
    if "t" not in table.column_names:
        raise InvalidFileError("there is no clock", file=file, field="t", cure=f"give {_FORMAT}")

    def column(name: str) -> Vector:
        try:
            return np.asarray(table[name].to_numpy(), np.float64)
        except (ValueError, TypeError) as error:
            raise InvalidFileError("holds no numbers", file=file, field=name, cure=f"give {_FORMAT}") from error

    goals, positions = (np.stack([column(f"{joint}.{kind}") for joint in spec.JOINTS], 1) for kind in ("goal", "pos"))
    return Motion(file.stem, column("t"), goals, positions)
