"""Where an arm's joints went, and where the simulation says they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autoarm.figures.style import FAINT, INK, POLICY_COLOURS, new_figure
from gym_autoarm import spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autoarm.system_id.check import Check


def joints(check: Check) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw a panel a joint: above where it was sent and went, below by how much the simulation differs.

    Returns:
        The figure, and a row for each step and joint.
    """
    rows = joint_rows(check)
    time = np.arange(1, len(check.recording.positions) + 1) / spec.FPS
    simulated = [("simulated", check.simulated, POLICY_COLOURS[0])]
    if check.fitted is not None:
        simulated.append(("fitted", check.fitted, POLICY_COLOURS[1]))
    rms = {each.joint: each.rms for each in check.errors}
    fitted = {each.joint: each.rms for each in check.errors_fitted or ()}
    with new_figure(11.0, 8.0) as figure:
        grid = figure.add_gridspec(4, 3, height_ratios=[2.0, 1.0, 2.0, 1.0])
        for index, joint in enumerate(spec.JOINTS):
            row, column = divmod(index, 3)
            path = figure.add_subplot(grid[2 * row, column])
            off = figure.add_subplot(grid[2 * row + 1, column], sharex=path)
            path.plot(time, check.recording.trajectory.actions[:, index], color=FAINT, linewidth=1.0, label="sent")
            path.plot(time, check.recording.positions[:, index], color=INK, linewidth=1.6, label="arm")
            for name, positions, colour in simulated:
                path.plot(time, positions[:, index], color=colour, linewidth=1.0, linestyle="--", label=name)
                off.plot(time, positions[:, index] - check.recording.positions[:, index], color=colour, linewidth=1.0)
            off.axhline(0.0, color=FAINT, linewidth=0.8)
            unit = "of 100" if joint == "gripper" else "degrees"
            error = f"{rms[joint]:.2f}" if joint in rms else "not compared"
            if joint in fitted:
                error += f", fitted {fitted[joint]:.2f}"
            path.set_title(f"{joint}: {error}", loc="left")
            path.set_ylabel(unit)
            off.set_ylabel("difference")
            path.tick_params(labelbottom=False)
            path.grid(axis="y")
            off.grid(axis="y")
            if row == 1:
                off.set_xlabel("seconds")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.suptitle(f"Root mean square difference between arm and simulation: {check.recording.trajectory.name}")
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure, rows


def joint_rows(check: Check) -> list[dict[str, Any]]:
    """The numbers behind the figure: a row for each step and joint."""
    return [
        {
            "step": step,
            "joint": joint,
            "sent": float(check.recording.trajectory.actions[step, index]),
            "arm": float(check.recording.positions[step, index]),
            "simulated": float(check.simulated[step, index]),
            "fitted": None if check.fitted is None else float(check.fitted[step, index]),
        }
        for step in range(len(check.recording.positions))
        for index, joint in enumerate(spec.JOINTS)
    ]
