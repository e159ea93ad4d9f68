from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path

import pytest

from gym_autoarm import errors
from gym_autoarm.errors import AutoArmError, InvalidFileError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AutoArmError)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("details", [{}, {"file": Path("a.json"), "field": "spot", "cure": "choose another"}])
def test_errors_travel_between_processes(kind: type[AutoArmError], details: dict[str, object]) -> None:
    error = kind("it is wrong", **details)  # type: ignore[arg-type]
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert type(copied) is kind
        assert str(copied) == str(error)
        assert (copied.message, copied.file, copied.field, copied.cure) == (
            error.message,
            error.file,
            error.field,
            error.cure,
        )


def test_text_names_file_field_and_cure() -> None:
    error = InvalidFileError("is damaged", file="a.json", field="rows", cure="collect it again")
    assert str(error) == "a.json: rows: is damaged (collect it again)"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not AutoArmError])
def test_every_error_is_also_a_standard_one(kind: type[AutoArmError]) -> None:
    assert issubclass(kind, ValueError | RuntimeError | ImportError)
