"""What a check found, as a folder: `report.json`, pictures with their data, and the body's file if one was fitted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from autoarm.figures.style import save_figure
from autoarm.runtime.files import write_text
from autoarm.system_id.check import FITTED, PERFECT, Answers, Check
from autoarm.system_id.response import JointError, mean_rms
from gym_autoarm.body import Body
from gym_autoarm.body_files import BodyFile, BodyMeasurement, JointMeasurement, write_body_file
from gym_autoarm.servo import Servo

REPORT: Final = "report.json"
SPLIT: Final = "split.json"
BODY: Final = "body.yaml"
NUMBERS: Final = ("kp", "damping", "frictionloss", "torque_limit")
"""Fields of a servo that a fit may change."""
_COMMENT: Final = "How an arm answers, fitted by `autoarm twin-check --fit`: gym_autoarm.body_files says what it means."


def write_split(folder: Path, fitted: Sequence[str], held_out: Sequence[str]) -> Path:
    """Say, before anything is fitted, which recordings are and which judge. Raises `InvalidFileError`."""
    write_text(folder / SPLIT, json.dumps({"fitted": sorted(fitted), "held_out": sorted(held_out)}, indent=1) + "\n")
    return folder / SPLIT


def write_check(folder: Path, check: Check, about: str = "", source: str = "") -> list[Path]:
    """Write a check's files and name them.

    Args:
        folder: Where to.
        check: What was found.
        about: What arm it is, for the body's file.
        source: Where the recordings come from, for the body's file.

    Raises:
        InvalidFileError: If they cannot be written.
    """
    from autoarm.system_id.figures import errors_figure, friction_figure, joints_figure

    write_text(folder / REPORT, json.dumps(report_data(check), indent=1) + "\n")
    written = [folder / REPORT]
    pictures = {"joints": joints_figure(check.judged), "errors": errors_figure(check)}
    if check.fit is not None:
        write_body_file(folder / BODY, body_file(check, about, source), _COMMENT)
        written.append(folder / BODY)
        pictures["friction"] = friction_figure(check)
    return written + [save_figure(figure, folder / name, rows) for name, (figure, rows) in pictures.items()]


def write_replay(path: Path, answers: Answers, episode: int, units: str, notes: Sequence[str]) -> Path:
    """Write what a replayed episode showed, and name the file. Raises `InvalidFileError` if it cannot be written."""
    data = {"episode": episode, "units": units, "notes": list(notes), **_answers_data(answers)}
    write_text(path, json.dumps(data, indent=1) + "\n")
    return path


def report_data(check: Check) -> dict[str, Any]:
    """A check as plain data."""
    data: dict[str, Any] = {
        "recordings": check.name,
        "judged": _answers_data(check.judged),
        "seen": None if check.seen is None else _answers_data(check.seen),
        "notes": check.notes,
    }
    if check.fit is not None:
        data["fit"] = {
            joint: {
                **{name: rounded(getattr(servo, name)) for name in NUMBERS},
                "intervals": {name: [rounded(end) for end in ends] for name, ends in found.intervals.items()},
                "notes": list(found.notes),
            }
            for (joint, found), servo in zip(check.fit.joints.items(), check.fit.body.servos, strict=True)
        }
    if check.folds:
        data["folds"] = [
            {"mean": round(mean_rms(fold), 3), "rms": {each.joint: round(each.rms, 3) for each in fold}}
            for fold in check.folds
        ]
    return data


def body_file(check: Check, about: str = "", source: str = "") -> BodyFile:
    """The file of the fitted body, numbers to four digits, with how well each was measured."""
    assert check.fit is not None
    errors = check.judged.errors
    before = next(name for name in reversed(errors) if name != FITTED)
    seen = {each.joint: each.rms for each in (check.seen or check.judged).errors[FITTED]}
    judged = {each.joint: each.rms for each in errors[FITTED]} if check.held_out else {}
    joints = {}
    for joint, found in check.fit.joints.items():
        known = {name: (rounded(ends[0]), rounded(ends[1])) for name, ends in found.intervals.items()}
        joints[joint] = JointMeasurement(
            kp=known.get("kp"),
            damping=known.get("damping"),
            frictionloss=known.get("frictionloss"),
            fitted=_short(seen.get(joint)),
            held_out=_short(judged.get(joint)),
        )
    measured = BodyMeasurement(
        trajectory=check.name,
        steps=sum(len(motion.times) for motion in (check.seen or check.judged).motions),
        error_before=round(mean_rms(errors[before]), 3),
        error_after=round(mean_rms(errors[FITTED]), 3),
        held_out=tuple(check.held_out),
        joints=joints,
    )
    return BodyFile.of(rounded_body(check.fit.body), measured, about, source)


def rounded_body(body: Body) -> Body:
    """A body with numbers to four digits: no recording tells more."""
    return replace(body, servos=tuple(_rounded_servo(servo) for servo in body.servos))


def rounded(value: float) -> float:
    """A number to four digits."""
    return float(f"{value:.4g}")


def _rounded_servo(servo: Servo) -> Servo:
    return replace(servo, **{name: rounded(getattr(servo, name)) for name in NUMBERS})  # type: ignore[arg-type]


def _answers_data(answers: Answers) -> dict[str, Any]:
    return {
        "recordings": sorted({motion.recording for motion in answers.motions}),
        "seconds": round(sum(motion.seconds for motion in answers.motions), 1),
        "errors": {
            name: {
                "mean": round(mean_rms(errors), 3),
                "joints": {each.joint: _error_data(each, name) for each in errors},
            }
            for name, errors in answers.errors.items()
        },
    }


def _error_data(error: JointError, name: str) -> dict[str, Any]:
    data = {key: _short(value) for key, value in asdict(error).items() if key != "joint"}
    # A perfect servo comes neither late nor to rest elsewhere.
    return {key: data[key] for key in ("rms", "most")} if name == PERFECT else data


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
