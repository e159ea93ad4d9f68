"""The site's charts and map as inline SVG; the style sheet colours them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, pi
from typing import Final

from markupsafe import Markup

from autoarm.leaderboard.svg import drawing, element, line, text, tip
from autoarm.results.plots.success_map import BASE, VIEW
from autoarm.results.result import AxisRecord, Interval
from autoarm.statistics import Estimate
from gym_autoarm import spec
from gym_autoarm.scene import Box

WIDTH: Final = 320
"""Width of a chart, in units of about a pixel on a phone, so that text of 11 units can be read."""


@dataclass(frozen=True)
class Marker:
    """An episode on the map: axis, cube position (metres), success, and the outcome in words."""

    axis: str
    x: float
    y: float
    success: bool
    about: str


NEAR_SPOT: Final = 0.008
"""Distance from a training spot, metres, within which episodes are counted in its ring; markers would overlap."""


def score_bar(score: Estimate, role: str, label: str) -> Markup:
    """A score and its interval on a scale from 0 to 100 %, for a table cell."""
    left, width, middle = 6.0, 168.0, 10.0
    marks = [line(left + width * share, 2, left + width * share, 18, "grid") for share in (0, 0.25, 0.5, 0.75, 1)]
    low, value, high = (left + width * each for each in (score.low, score.estimate, score.high))
    whisker = line(low, middle, high, middle, f"whisker {role}")
    dot = element("circle", cx=value, cy=middle, r=3, class_=f"dot {role}")
    return drawing(180, 20, *marks, whisker, dot, label=label, class_="score")


def curve(axis: AxisRecord, levels: Mapping[str, Interval]) -> Markup:
    """Success rate against the levels' values, with a band of 95 % Wilson intervals.

    Args:
        axis: An axis whose levels all have values.
        levels: Success rate at each level.
    """
    height, left, right, top, bottom = 190.0, 38.0, WIDTH - 14.0, 12.0, 150.0
    points = sorted((record.value or 0.0, name) for name, record in axis.levels.items() if name in levels)
    values = [value for value, _ in points]
    first, span = values[0], values[-1] - values[0]

    def x(value: float) -> float:
        return left + 18 + (right - left - 36) * ((value - first) / span if span else 0.5)

    def y(rate: float) -> float:
        return bottom - (bottom - top) * rate

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(line(left, y(share), right, y(share), "grid"))
        if share in (0, 0.5, 1):
            parts.append(text(left - 6, y(share) + 4, percent(share), "end"))
    own = [levels[name] for _, name in points]
    outline = [(x(value), y(each.high)) for value, each in zip(values, own, strict=True)]
    outline += reversed([(x(value), y(each.low)) for value, each in zip(values, own, strict=True)])
    parts.append(element("polygon", points=_path(outline), class_="band"))
    middle = [(x(value), y(each.rate)) for value, each in zip(values, own, strict=True)]
    parts.append(element("polyline", points=_path(middle), class_="line"))
    for (value, name), each, (px, py) in zip(points, own, middle, strict=True):
        if span == 0:
            parts.append(line(px, y(each.low), px, y(each.high), "whisker policy"))
        parts.append(element("circle", tip(f"{name}: {counted(each)}"), cx=px, cy=py, r=4.5, class_="dot policy"))
        parts.append(text(px, bottom + 17, f"{value:g}", "middle"))
    parts.append(text((left + right) / 2, bottom + 35, axis.unit or "", "middle soft"))
    said = ", ".join(f"{name} {percent(each.rate)}" for (_, name), each in zip(points, own, strict=True))
    return drawing(WIDTH, height, *parts, label=f"{axis.title}: {said}", class_="chart")


def bars(title: str, levels: Mapping[str, Interval]) -> Markup:
    """Success rate at levels without an order: a bar for each, with its 95 % Wilson interval."""
    left, width, step = 2.0, WIDTH - 64.0, 34.0
    height = 8 + step * len(levels) + 16
    parts = [
        line(left + width * share, 4, left + width * share, height - 16, "grid") for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    for number, (name, each) in enumerate(levels.items()):
        top = 8 + step * number
        parts += [
            text(left + 2, top + 9, name),
            element(
                "rect", tip(f"{name}: {counted(each)}"),
                x=left, y=top + 14, width=max(width * each.rate, 0.5), height=11.0, class_="bar",
            ),
            line(left + width * each.low, top + 19.5, left + width * each.high, top + 19.5, "whisker"),
            text(left + width + 8, top + 24, percent(each.rate), "strong"),
        ]  # fmt: skip
    for share, align in ((0, ""), (0.5, "middle"), (1, "end")):
        parts.append(text(left + width * share, height - 2, percent(share), f"soft {align}".strip()))
    said = ", ".join(f"{name} {percent(each.rate)}" for name, each in levels.items())
    return drawing(WIDTH, height, *parts, label=f"{title}: {said}", class_="chart")


def stack(shares: Sequence[tuple[str, int]], label: str) -> Markup:
    """Counts of outcomes as one stacked bar; an outcome is also the name of its class in the style sheet."""
    total = sum(count for _, count in shares)
    parts, start = [], 0.0
    for kind, count in shares:
        width = 1000.0 * count / total
        if count:
            name = f"{kind}: {count} of {total}"
            parts.append(element("rect", tip(name), x=start, y=0, width=width, height=16, class_=f"mode {kind}"))
        start += width
    return drawing(1000, 16, *parts, label=label, class_="stack", preserveAspectRatio="none")


def table_map(markers: Sequence[Marker], label: str) -> Markup:
    """The table from above as the top camera sees it; one unit is a millimetre.

    Every episode is drawn where its cube lay; those at a training spot are drawn together as a ring. The box is drawn
    at its usual place, although some episodes move it.
    """
    box = Box()
    (x_low, x_high), (y_low, y_high) = VIEW

    def place(x: float, y: float) -> tuple[float, float]:
        return 1000 * (y_high - y), 1000 * (x_high - x)  # y grows to the left, as the arm sees it

    def area(x: tuple[float, float], y: tuple[float, float], kind: str) -> Markup:
        left, top = place(x[1], y[1])
        return element("rect", x=left, y=top, width=1000 * (y[1] - y[0]), height=1000 * (x[1] - x[0]), class_=kind)

    parts = [area(*spec.WORK_AREA, "area")]
    half = box.inner / 2
    parts.append(area((box.x - half, box.x + half), (box.y - half, box.y + half), "box"))
    px, py = place(box.x, box.y)
    parts.append(text(px, py + 4, "box", "middle soft"))
    parts.append(area(*BASE, "base"))
    px, py = place(sum(BASE[0]) / 2, 0.0)
    parts.append(text(px, py + 4, "arm", "middle inverse"))
    scattered: list[Marker] = []
    at_spots: dict[str, list[Marker]] = {spot: [] for spot in spec.SPOTS}
    for marker in markers:
        near = [spot for spot, (x, y) in spec.SPOTS.items() if hypot(marker.x - x, marker.y - y) < NEAR_SPOT]
        (at_spots[near[0]] if near else scattered).append(marker)
    rings, marks = [], []
    for spot, own in at_spots.items():
        px, py = place(*spec.SPOTS[spot])
        parts.append(element("rect", x=px - 12, y=py - 12, width=24.0, height=24.0, class_="spot"))
        for axis in ("", *dict.fromkeys(marker.axis for marker in own)):
            rings.append(_ring(px, py, spot, axis, [each for each in own if axis in ("", each.axis)]))
    # Failures on top: where most succeed they are what one looks for.
    for marker in sorted(scattered, key=lambda each: not each.success):
        px, py = place(marker.x, marker.y)
        shape = (
            element("circle", cx=px, cy=py, r=3.6)
            if marker.success
            else element("path", d=f"M{px - 3.2:.1f} {py - 3.2:.1f}l6.4 6.4m0-6.4l-6.4 6.4")
        )
        kind = "success" if marker.success else "failure"
        marks.append(element("g", tip(marker.about), shape, class_=kind, data_axis=marker.axis))
    size = 1000 * (y_high - y_low), 1000 * (x_high - x_low)
    return drawing(*size, *parts, *marks, *rings, label=label, class_="map")  # counts stay legible on top


def _ring(x: float, y: float, spot: str, axis: str, markers: Sequence[Marker]) -> Markup:
    """A ring divided by successes and failures at a spot, for one axis or, shown at first, for all (`""`)."""
    if not markers:
        return Markup()
    count, successes, radius = len(markers), sum(marker.success for marker in markers), 7.5
    around = 2 * pi * radius
    hidden = {"hidden": ""} if axis else {}
    return element(
        "g",
        tip(f"{spot}: {successes} of {count}"),
        element("circle", cx=x, cy=y, r=radius, class_="failure"),
        element(
            "circle", cx=x, cy=y, r=radius, class_="success", transform=f"rotate(-90 {x:.1f} {y:.1f})",
            stroke_dasharray=f"{around * successes / count:.2f} {around:.2f}",
        ),
        text(x + 15, y + 3.5, f"{successes}/{count}"),
        class_="ring", data_axis=axis, data_successes=successes, data_episodes=count, **hidden,
    )  # fmt: skip


def percent(share: float) -> str:
    """A share in per cent, without decimals."""
    return f"{100 * share:.0f} %"


def counted(interval: Interval) -> str:
    """Counts, rate and interval as text."""
    bounds = f"{100 * interval.low:.0f}–{100 * interval.high:.0f} %"
    return f"{interval.successes} of {interval.episodes}, {percent(interval.rate)} ({bounds})"


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
