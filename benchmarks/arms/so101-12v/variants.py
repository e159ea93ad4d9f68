"""Bodies around the measured one, each changed by a number that somebody measured: what else an SO-101 may be like.

The axis `arm` of the suite five-spots-v2 measures policies on them. Run this again when the measured body changes:

    python benchmarks/arms/so101-12v/variants.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from gym_autoarm.body import Body
from gym_autoarm.body_files import DEFAULT_BODY, BodyFile, shipped_body, write_body_file
from gym_autoarm.servo import Servo

_DIGITS: Final = 4
"""Significant digits that files hold."""
_VOLTAGES: Final = 7.4 / 12.0
_SOFT: Final = 8.9
_RUBBING: Final = 0.40


def _all_servos(body: Body, change: Callable[[Servo], dict[str, float]]) -> Body:
    """The body with numbers of every servo changed."""
    return replace(body, servos=tuple(_changed(servo, change(servo)) for servo in body.servos))


def _changed(servo: Servo, numbers: dict[str, float]) -> Servo:
    rounded: dict[str, Any] = {name: float(f"{value:.{_DIGITS}g}") for name, value in numbers.items()}
    return replace(servo, **rounded)


def _soft(body: Body) -> Body:
    return _all_servos(body, lambda _: {"kp": _SOFT})


def _stiff(body: Body) -> Body:
    return _all_servos(body, lambda servo: {"kp": 2.0 * servo.kp, "saturation": servo.saturation / 2.0})


def _late(body: Body) -> Body:
    return replace(body, delay=body.delay + 0.124)


def _worn(body: Body) -> Body:
    rubbing = _all_servos(body, lambda servo: {"frictionloss": max(_RUBBING, servo.frictionloss)})
    return replace(rubbing, backlash=1.0)


def _low_voltage(body: Body) -> Body:
    return _all_servos(body, lambda servo: {"kp": _VOLTAGES * servo.kp, "torque_limit": _VOLTAGES * servo.torque_limit})


VARIANTS: Final[dict[str, tuple[Callable[[Body], Body], str, str]]] = {
    "soft": (
        _soft,
        "The SO-101 at the lowest stiffness that was published",
        "stiffness: Rhoban/bam, identified at 7.4 V, 7.4 V * 0.166 * 16 * 1.2116 N m/A / 2.676 ohm = 8.9 N m/rad",
    ),
    "stiff": (
        _stiff,
        "The SO-101 with the servos' own P_Coefficient of 32, where LeRobot writes 16",
        "stiffness: twice the measured one, as a servo's output is proportional to its P_Coefficient, all of it at half"
        " the error",
    ),
    "late": (
        _late,
        "The SO-101 behind a slow connection: goals arrive 124 ms late",
        "delay: the execution of shoulder_lift as giacomoran/so101-data-collection measured it",
    ),
    "worn": (
        _worn,
        "The SO-101 with worn gears: a degree of play, and dry friction of at least 0.40 N m in every joint",
        "play: SO-ARM100, issue 134; dry friction: the highest of NVIDIA's SO-101 typing task",
    ),
    "low-voltage": (
        _low_voltage,
        "The SO-101 at 7.4 V instead of 12 V: its motors give less for the same duty, and brake as before",
        "stiffness and torque limits: times 7.4 / 12, as a motor's torque is proportional to its voltage",
    ),
}
"""By name: how it is made from the measured body, what arm it is, and where what differs comes from."""


def variants() -> Iterator[tuple[str, BodyFile]]:
    """Name and content of every file."""
    measured = shipped_body(DEFAULT_BODY)
    for name, (change, about, source) in VARIANTS.items():
        yield name, BodyFile.of(change(measured), None, about, f"{source}; the rest: {DEFAULT_BODY}")


def main() -> None:
    """Write the files beside the measured body's."""
    folder = Path(str(files("autoarm_assets"))) / "bodies"
    for name, file in variants():
        path = folder / f"{DEFAULT_BODY}-{name}.yaml"
        write_body_file(path, file, "Made by benchmarks/arms/so101-12v/variants.py.")
        print(path)


if __name__ == "__main__":
    main()
