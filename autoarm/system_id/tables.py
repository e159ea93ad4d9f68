"""What a check found, as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from autoarm.system_id.check import FITTED, Check
from autoarm.system_id.identify import Fit
from autoarm.system_id.response import mean_rms
from gym_autoarm import spec


def error_table(check: Check) -> Table:
    """A row for each joint: the error of each body, and lag and sag of the arm beside those of the last body."""
    errors = check.judged.errors
    last = list(errors.values())[-1]
    judged = f"{len(check.held_out)} recordings that the fit has not seen" if check.held_out else check.name
    table = Table(title=f"arm against simulation: {judged}", title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.caption, table.caption_justify = "degrees, the gripper in hundredths; root mean square", "left"
    table.add_column("joint", no_wrap=True)
    for name in errors:
        table.add_column(name, justify="right")
    shown = FITTED if FITTED in errors else list(errors)[-1]
    table.add_column(f"lag, ms:\narm, {shown}", justify="right")
    table.add_column(f"sag:\narm, {shown}", justify="right")
    for index, each in enumerate(last):
        cells = [f"{all_[index].rms:.2f}" for all_ in errors.values()]
        lag = _pair(each.lag, each.lag_simulated, ".0f")
        table.add_row(each.joint, *cells, lag, _pair(each.sag, each.sag_simulated, "+.1f"))
    table.add_row("mean", *(f"{mean_rms(all_):.2f}" for all_ in errors.values()), "", "", style="bold")
    return table


def servo_table(fit: Fit) -> Table:
    """A row for each joint: its numbers with their 95 % intervals; what has none was not measured."""
    table = Table(title="servos, with 95 % intervals", title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("joint", no_wrap=True)
    titles = {"kp": "kp\nN m/rad", "damping": "damping\nN m s/rad", "frictionloss": "dry friction\nN m",
              "torque_limit": "torque limit\nN m"}  # fmt: skip
    for title in titles.values():
        table.add_column(title)
    notes = []
    for joint, servo in zip(spec.JOINTS, fit.body.servos, strict=True):
        found = fit.joints[joint]
        cells = []
        for name in titles:
            ends = found.intervals.get(name)
            value = getattr(servo, name)
            width = "" if ends is None else f" ± {(ends[1] - ends[0]) / 2:.2g}"
            cells.append(f"{value:.3g}{width}")
        table.add_row(joint, *cells)
        notes += [f"{joint}: {note}" for note in found.notes]
    table.caption, table.caption_justify = "\n".join(notes), "left"
    return table


def _pair(first: float | None, second: float | None, form: str) -> str:
    return "-" if first is None or second is None else f"{first:{form}}, {second:{form}}"
