"""Files that people write: YAML read into strict pydantic models, with errors that say where and what to do."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from gym_autoarm.errors import InvalidFileError

_YAML_CURE = "indent by spaces, quote what holds a colon, and save as UTF-8"


class StrictModel(BaseModel):
    """A frozen model that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_yaml[M: BaseModel](model: type[M], path: Path, cure: str, context: Mapping[str, Any] | None = None) -> M:
    """Read a YAML file as `model`.

    Args:
        model: A pydantic model.
        path: The file.
        cure: What to do when the file is missing or a field is wrong.
        context: Handed to the model's validators.

    Raises:
        InvalidFileError: Naming the line that is no YAML, or the field that is wrong.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except FileNotFoundError:
        raise InvalidFileError("there is no such file", file=path, cure=cure) from None
    except OSError as error:
        raise InvalidFileError(f"cannot be read: {error.strerror or error}", file=path, cure=cure) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InvalidFileError(
            f"is not YAML: {getattr(error, 'problem', None) or error}".replace("\n", " "),
            file=path,
            field=None if mark is None else f"line {mark.line + 1}",
            cure=_YAML_CURE,
        ) from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        # What the parser's own constructors raise: bytes that are no UTF-8, a 13th month, thousands of digits.
        raise InvalidFileError(f"cannot be read: {str(error)[:200]}", file=path, cure=_YAML_CURE) from error
    if not isinstance(content, dict):
        raise InvalidFileError("holds no fields", file=path, cure=cure)
    try:
        # By way of JSON, whose rules are strict about numbers (yes is none) and not about lists and tuples.
        text = json.dumps(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidFileError(f"holds what is no plain value: {str(error)[:200]}", file=path, cure=cure) from error
    if (field := _not_finite(content, ())) is not None:
        raise InvalidFileError("is not a finite number", file=path, field=".".join(map(str, field)), cure=cure)
    try:
        return model.model_validate_json(text, strict=True, context=None if context is None else dict(context))
    except ValidationError as error:
        raise validation_error(error, path, cure) from None


def validation_error(error: ValidationError, path: Path, cure: str) -> InvalidFileError:
    """The first thing that a model refused, as the error of a file."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return InvalidFileError(first["msg"], file=path, field=field or None, cure=cure)


def _not_finite(content: Any, where: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Where the first NaN or infinity is; `None` if there is none."""
    if isinstance(content, float):
        return None if math.isfinite(content) else where
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    found = (_not_finite(value, (*where, key)) for key, value in children)
    return next((place for place in found if place is not None), None)


class _UniqueKeys(yaml.SafeLoader):
    """YAML silently keeps the last of equal keys; here they are an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} is there twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)
