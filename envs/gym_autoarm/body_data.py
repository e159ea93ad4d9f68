"""Bodies as results and collections record them: as little as tells them from the body of the suite five-spots-v1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from pydantic import TypeAdapter

from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.body_files import STIFF_BODY, body_names, shipped_body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.servo import Servo

_SHARED: Final = ("kp", "kv", "torque_limit", "damping", "frictionloss", "armature", "damping_ratio")
_NAMED: Final = ("delay", "backlash", "protection")


def body_changes(body: Body) -> dict[str, Any]:
    """What tells a body from `STIFF_BODY`, in types that JSON has; nothing for that body itself.

    A body that is uniform is written as `gains`, `latency` and `backlash`, the first form that rows had; one that
    differs from a shipped one in delay, backlash or protection alone by `name` and these; any other as a whole.
    """
    if body.is_uniform and float(body.delay * spec.FPS).is_integer():
        return _uniform_changes(body)
    for name in body_names():
        shipped = shipped_body(name)
        if shipped.servos == body.servos:
            own, usual = asdict(body), asdict(shipped)
            return {"name": name, **{field: own[field] for field in _NAMED if own[field] != usual[field]}}
    return asdict(body)


def restore_body(changes: Mapping[str, Any]) -> Body:
    """The body that `body_changes` was given.

    Raises:
        InvalidInputError: If it names a body that this installation does not carry, or a field that does not exist.
        pydantic.ValidationError: If a field holds what it must not.
    """
    changes = dict(changes)
    if "servos" in changes:
        return TypeAdapter(Body).validate_python(changes)
    if "name" in changes:
        name = changes.pop("name")
        if name not in body_names():
            raise InvalidInputError(f"there is no body {name!r}", field="scene.body.name", cure="update AutoArm")
        _check_fields(changes, _NAMED, "scene.body")
        whole = TypeAdapter(dict[str, Any]).validate_python({**asdict(shipped_body(name)), **changes})
        return TypeAdapter(Body).validate_python(whole)
    return _restore_uniform(changes)


def _uniform_changes(body: Body) -> dict[str, Any]:
    usual = shipped_body(STIFF_BODY)
    gains: dict[str, Any] = {
        field: getattr(body.servos[0], field)
        for field in _SHARED
        if getattr(body.servos[0], field) != getattr(usual.servos[0], field)
    }
    gripper = body.servos[spec.GRIPPER].torque_limit
    if gripper != usual.servos[spec.GRIPPER].torque_limit:
        gains["gripper_torque_limit"] = gripper
    own = {"gains": gains, "latency": round(body.delay * spec.FPS), "backlash": body.backlash}
    return {name: value for name, value in own.items() if value}


def _restore_uniform(changes: Mapping[str, Any]) -> Body:
    _check_fields(changes, ("gains", "latency", "backlash"), "scene.body")
    gains = dict(changes.get("gains", {}))
    _check_fields(gains, (*_SHARED, "gripper_torque_limit"), "scene.body.gains")
    usual = shipped_body(STIFF_BODY)
    gripper = TypeAdapter(float).validate_python(
        gains.pop("gripper_torque_limit", usual.servos[spec.GRIPPER].torque_limit)
    )
    servo = TypeAdapter(Servo).validate_python({**asdict(usual.servos[0]), **gains})
    latency = TypeAdapter(int).validate_python(changes.get("latency", 0))
    backlash = TypeAdapter(float).validate_python(changes.get("backlash", 0.0))
    return replace(Body.uniform(servo, gripper), delay=latency / spec.FPS, backlash=backlash)


def _check_fields(changes: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in changes:
        if name not in known:
            raise InvalidInputError(f"there is no {name!r}", field=where, cure=f"choose from {', '.join(known)}")
