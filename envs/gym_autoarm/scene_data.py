"""Scenes as plain data that says only what is special about them, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from gym_autoarm.body_data import body_changes, restore_body
from gym_autoarm.body_files import STIFF_BODY, shipped_body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene import Scene

_PLAIN: Final = Scene(body=shipped_body(STIFF_BODY))
"""What scenes are recorded against: the usual scene when the first results were written, with the body of that time."""

TOLERANCE: Final = 1e-9
"""How far numbers of a scene may differ that another processor drew: metres, degrees, and relative to the number."""


def scene_changes(scene: Scene) -> dict[str, Any]:
    """The fields in which a scene differs from `_PLAIN`, nested as they are, in types that JSON has."""
    body = body_changes(scene.body)
    changes = _changes(scene, replace(_PLAIN, body=scene.body))
    return {**changes, "body": body} if body else changes


def restore_scene(changes: Mapping[str, Any]) -> Scene:
    """The scene that `scene_changes` was given.

    Raises:
        InvalidInputError: If a field does not exist or holds what it must not, naming it.
    """
    others = {name: value for name, value in changes.items() if name != "body"}
    data = _merge(asdict(_PLAIN), others, "scene")
    data["body"] = _validated(lambda: restore_body(changes.get("body", {})), "scene.body")
    return _validated(lambda: _adapter().validate_python(data), "scene")


def _validated[T](make: Callable[[], T], where: str) -> T:
    try:
        return make()
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join([where, *(str(part) for part in first["loc"])])
        raise InvalidInputError(first["msg"], field=field) from None


def is_same_scene(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two scenes, as `scene_changes` gives them, are one scene but for rounding (`TOLERANCE`)."""
    return _is_close(first, second)


def _is_close(first: Any, second: Any) -> bool:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(_is_close(first[name], second[name]) for name in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_is_close, first, second))
    if isinstance(first, float) and isinstance(second, int | float):
        return math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(first == second)


def _changes(value: Any, default: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in fields(value):
        own, usual = getattr(value, each.name), getattr(default, each.name)
        if own == usual:
            continue
        found[each.name] = _changes(own, usual) if type(own) is type(usual) and is_dataclass(own) else _plain(own)
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(own) for name, own in asdict(value).items()}
    return [_plain(own) for own in value] if isinstance(value, tuple) else value


def _merge(data: dict[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    merged = dict(data)
    for name, value in changes.items():
        if name not in data:
            raise InvalidInputError(f"there is no {name!r}", field=where, cure=f"choose from {', '.join(data)}")
        nested = isinstance(data[name], dict) and isinstance(value, Mapping)
        merged[name] = _merge(data[name], value, f"{where}.{name}") if nested else value
    return merged


@cache
def _adapter() -> TypeAdapter[Scene]:
    return TypeAdapter(Scene)
