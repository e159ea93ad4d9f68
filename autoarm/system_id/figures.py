"""Pictures of a check: a motion over time, errors joint by joint, and the friction that was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from autoarm.figures.style import FAINT, INK, POLICY_COLOURS, new_figure
from autoarm.system_id.check import FITTED, PERFECT, Answers, Check
from autoarm.system_id.friction import friction_points
from gym_autoarm import spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = list[dict[str, Any]]

_SHOWN: Final = 20.0
"""Seconds of a motion that are drawn."""
_ENOUGH: Final = 30.0
"""Degrees of motion beyond which a joint's panel shows no more."""
_LEAST: Final = 2.0
"""Degrees that a panel spans at least."""


def unit(joint: str) -> str:
    """What a joint's positions are counted in."""
    return "of 100" if joint == "gripper" else "degrees"


def joints_figure(answers: Answers) -> tuple[Figure, Rows]:
    """A panel a joint: where it was sent and went, and by how much simulations differ; 20 s of the liveliest motion."""
    ends = [int(np.searchsorted(motion.times, motion.times[0] + _SHOWN)) for motion in answers.motions]
    # Many joints that move show more than one that moves far.
    lively = [
        np.minimum(np.ptp(m.positions[:end], axis=0), _ENOUGH).sum()
        for m, end in zip(answers.motions, ends, strict=True)
    ]
    chosen = int(np.argmax(lively))
    motion, end = answers.motions[chosen], ends[chosen]
    time = motion.times[:end] - motion.times[0]
    drawn = {name: paths[chosen][:end] for name, paths in answers.paths.items() if name != PERFECT}
    colours = dict(zip(drawn, (FAINT, *POLICY_COLOURS) if len(drawn) > 2 else POLICY_COLOURS, strict=False))
    with new_figure(11.0, 8.0) as figure:
        grid = figure.add_gridspec(4, 3, height_ratios=[2.0, 1.0, 2.0, 1.0])
        for index, joint in enumerate(spec.JOINTS):
            row, column = divmod(index, 3)
            above = figure.add_subplot(grid[2 * row, column])
            below = figure.add_subplot(grid[2 * row + 1, column], sharex=above)
            above.plot(time, motion.goals[:end, index], color=FAINT, linewidth=1.0, linestyle=":", label="sent")
            above.plot(time, motion.positions[:end, index], color=INK, linewidth=1.6, label="arm")
            for name, path in drawn.items():
                above.plot(time, path[:, index], color=colours[name], linewidth=1.0, linestyle="--", label=name)
                difference = path[:, index] - motion.positions[:end, index]
                below.plot(time, difference, color=colours[name], linewidth=1.0)
            below.axhline(0.0, color=INK, linewidth=0.6)
            above.set_title(joint if joint in motion.compared else f"{joint}, not compared", loc="left")
            above.set_ylabel(unit(joint))
            below.set_ylabel("difference")
            above.tick_params(labelbottom=False)
            for axes in (above, below):
                low, high = axes.get_ylim()
                room = max(0.0, _LEAST - (high - low)) / 2
                axes.set_ylim(low - room, high + room)
            above.grid(axis="y")
            below.grid(axis="y")
            if row == 1:
                below.set_xlabel("seconds")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.suptitle(f"Where the arm went, and where simulations say it goes: {motion.name}")
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    rows = [
        {
            "seconds": round(float(time[step]), 4),
            "joint": joint,
            "sent": float(motion.goals[step, index]),
            "arm": float(motion.positions[step, index]),
            **{name: round(float(path[step, index]), 4) for name, path in drawn.items()},
        }
        for step in range(end)
        for index, joint in enumerate(spec.JOINTS)
    ]
    return figure, rows


def errors_figure(check: Check) -> tuple[Figure, Rows]:
    """Root mean square error of each joint, a bar for each way to imagine its servo."""
    errors = check.judged.errors
    joints = [each.joint for each in next(iter(errors.values()))]
    rows: Rows = [
        {"joint": each.joint, "servo": name, "rms": each.rms} for name, all_ in errors.items() for each in all_
    ]
    colours = dict(zip(errors, (FAINT, INK, POLICY_COLOURS[1], POLICY_COLOURS[0]), strict=False))
    with new_figure(8.0, 3.6) as figure:
        axes = figure.add_subplot()
        width = 0.86 / len(errors)
        for number, (name, each) in enumerate(errors.items()):
            place = np.arange(len(joints)) + (number - (len(errors) - 1) / 2) * width
            bars = axes.bar(place, [joint.rms for joint in each], width, color=colours[name], label=name)
            if number == len(errors) - 1:
                axes.bar_label(bars, fmt="%.2f", fontsize=7)
        axes.set_xticks(range(len(joints)), joints)
        axes.set_ylabel("rms error, degrees\n(gripper: of 100)")
        judged = f"{len(check.held_out)} recordings that the fit has not seen" if check.held_out else check.name
        axes.set_title(f"Simulated arm against real one: {judged}", loc="left")
        axes.grid(axis="y")
        axes.legend()
    return figure, rows


def friction_figure(check: Check) -> tuple[Figure, Rows]:
    """For each joint, the torque that friction takes at each speed: what was recorded, and the line that was fitted."""
    assert check.fit is not None
    answers = check.seen or check.judged
    rows: Rows = []
    with new_figure(11.0, 5.6) as figure:
        for index, (joint, servo) in enumerate(zip(spec.JOINTS, check.fit.body.servos, strict=True)):
            axes = figure.add_subplot(2, 3, index + 1)
            known = check.fit.joints[joint].intervals
            points = friction_points([m for m in answers.motions if joint in m.compared], index, servo)
            axes.plot(points[:, 0], points[:, 1], "o", color=INK, markersize=3, label="recorded, median")
            reach = float(points[:, 0].max()) if len(points) else 1.0
            speed = np.linspace(0.0, reach, 20)
            axes.plot(speed, servo.frictionloss + servo.damping * speed, color=POLICY_COLOURS[0], label=FITTED)
            if {"damping", "frictionloss"} <= set(known):
                low, high = (known["frictionloss"][end] + known["damping"][end] * speed for end in (0, 1))
                axes.fill_between(speed, low, high, color=POLICY_COLOURS[0], alpha=0.2, linewidth=0)
            axes.set_title(joint, loc="left")
            axes.set_ylim(bottom=0)
            axes.grid()
            if index >= 3:
                axes.set_xlabel("speed, rad/s")
            if index % 3 == 0:
                axes.set_ylabel("friction, N m")
            rows += [{"joint": joint, "speed": speed, "friction": torque, "spread": spread, "rows": int(count)}
                     for speed, torque, spread, count in points]  # fmt: skip
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure, rows or [{"joint": "", "speed": 0.0, "friction": 0.0, "spread": 0.0, "rows": 0}]
