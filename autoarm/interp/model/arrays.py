"""Results as named arrays on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from autoarm.runtime.files import replacing


def save_arrays(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Write arrays as npz, each under its name, whole or not at all; no pickles.

    Raises:
        ValueError: For an array of objects.
    """
    plain = {name: np.asarray(array) for name, array in arrays.items()}
    broken = [name for name, array in plain.items() if array.dtype == object]
    if broken:
        raise ValueError(f"arrays of objects: {', '.join(broken)}")
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **plain)  # type: ignore[arg-type]  # numpy's stub takes the names for its option


def arrays_of(result: Any) -> dict[str, Any]:
    """The fields of a dataclass of arrays, mappings of arrays, and tuples of names, as `save_arrays` takes them."""
    found: dict[str, Any] = {}
    for field in fields(result):
        value = getattr(result, field.name)
        if isinstance(value, Mapping):
            found |= {f"{field.name}.{name}": array for name, array in value.items()}
        else:
            found[field.name] = value
    return found
