"""What a check found, as a folder: `report.json`, a figure, and the body's file if one was fitted."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from autoarm.figures.style import save_figure
from autoarm.runtime.files import write_text
from autoarm.system_id.check import Check
from autoarm.system_id.response import JointError
from gym_autoarm.scene_files import BodyFile, BodyMeasurement, write_file

REPORT: Final = "report.json"
BODY: Final = "body.yaml"
FIGURE: Final = "joints"


def write_check(folder: Path, check: Check) -> list[Path]:
    """Write a check's files and name them. Raises `InvalidFileError` if they cannot be written."""
    from autoarm.system_id.figures import joints

    write_text(folder / REPORT, json.dumps(_plain(check), indent=1) + "\n")
    figure, rows = joints(check)
    written = [folder / REPORT, save_figure(figure, folder / FIGURE, rows)]
    if check.fit is not None:
        measured = BodyMeasurement(
            trajectory=check.recording.trajectory.name,
            steps=len(check.recording.positions),
            error_before=check.fit.before,
            error_after=check.fit.after,
        )
        file = BodyFile.of(check.fit.body, measured)
        write_file(
            folder / BODY,
            file,
            "How an arm answers, fitted by `autoarm twin-check`: gym_autoarm.scene.Body says what it means.",
        )
        written.append(folder / BODY)
    return written


def _plain(check: Check) -> dict[str, Any]:
    def table(errors: list[JointError] | None) -> list[dict[str, Any]] | None:
        if errors is None:
            return None
        return [{**asdict(each), "lag": None if math.isnan(each.lag) else each.lag} for each in errors]

    return {
        "trajectory": check.recording.trajectory.name,
        "steps": len(check.recording.positions),
        "body": asdict(check.body),
        "errors": table(check.errors),
        "fit": None if check.fit is None else asdict(check.fit),
        "errors_fitted": table(check.errors_fitted),
    }
