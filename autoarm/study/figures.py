"""Figures of a study; each function returns the figure and the data it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from autoarm.figures.style import FAINT, POLICY_COLOURS, POLICY_MARKERS, new_figure
from autoarm.study.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawn = tuple["Figure", list[dict[str, Any]]]

_PLACES: Final = {"trained": "between the spots", "inside": "inside", "outside": "outside"}


def slopes_by_distance(rows: Sequence[Row], policies: Sequence[str]) -> Drawn:
    """Slope β at each held-out position against its distance from the nearest spot, mean over seeds."""
    shown: list[dict[str, Any]] = []
    with new_figure(6.4, 4.2) as figure:
        axes = figure.add_subplot()
        for value, text in ((0.0, "copies"), (1.0, "follows\nthe expert")):
            axes.axhline(value, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(text, (1.01, value), xycoords=("axes fraction", "data"), ha="left", va="center", fontsize=9)
        for number, policy in enumerate(policies):
            found = _positions(rows, policy)
            shown += found
            colour, marker = POLICY_COLOURS[number % len(POLICY_COLOURS)], POLICY_MARKERS[number % len(POLICY_MARKERS)]
            for place, face in (("inside", colour), ("outside", "none")):
                chosen = [row for row in found if row["place"] == place]
                axes.scatter(
                    [row["distance_cm"] for row in chosen],
                    [row["slope"] for row in chosen],
                    marker=marker,
                    facecolors=face,
                    edgecolors=colour,
                    label=policy if place == "outside" else None,
                )
        axes.set_xlabel("distance from the nearest demonstrated spot (cm)")
        axes.set_ylabel("slope β")
        axes.set_title("filled: inside the hull of the spots", fontsize=10, fontweight="normal")
        axes.grid(True, axis="y")
        figure.legend(loc="outside lower center", ncols=3)
    return figure, shown


def _positions(rows: Sequence[Row], policy: str) -> list[dict[str, Any]]:
    values: dict[int, list[Row]] = {}
    for row in rows:
        if row.metric == "slope" and row.arm == policy and row.value is not None and row.at["place"] != "trained":
            values.setdefault(int(row.at["position"]), []).append(row)
    return [
        {
            "arm": policy,
            "place": own[0].at["place"],
            "x": own[0].at["x"],
            "y": own[0].at["y"],
            "distance_cm": round(100 * float(own[0].at["distance"]), 2),
            "slope": round(float(np.mean([row.value for row in own if row.value is not None])), 4),
            "seeds": len(own),
        }
        for own in values.values()
    ]


def slopes_by_policy(rows: Sequence[Row], policies: Sequence[str]) -> Drawn:
    """Slope β of every policy inside and outside the hull of its spots; small dots are seeds, large dots their mean."""
    shown: list[dict[str, Any]] = []
    with new_figure(6.4, 1.3 + 0.36 * max(3, len(policies))) as figure:
        axes = figure.add_subplot()
        for value, text in ((0.0, "copies"), (1.0, "follows")):
            axes.axvline(value, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(text, (value, 1.01), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9)
        for number, place in enumerate(("inside", "outside")):
            colour, marker = POLICY_COLOURS[number], POLICY_MARKERS[number]
            for height, policy in enumerate(policies):
                seeds = _seeds(rows, policy, place)
                y = height + 0.24 * (number - 0.5)
                if seeds:
                    axes.scatter(list(seeds.values()), [y] * len(seeds), color=colour, marker=marker, s=10, alpha=0.5)
                    axes.scatter([np.mean(list(seeds.values()))], [y], color=colour, marker=marker, s=46)
                shown += [
                    {"arm": policy, "place": place, "seed": seed, "slope": round(slope, 4)}
                    for seed, slope in seeds.items()
                ]
            axes.scatter([], [], color=colour, marker=marker, s=46, label=_PLACES[place])
        axes.set_yticks(range(len(policies)), policies)
        axes.set_ylim(len(policies) - 0.4, -0.6)
        axes.set_xlabel("slope β, mean over positions")
        axes.grid(True, axis="x")
        figure.legend(loc="outside lower center", ncols=2)
    return figure, shown


def _seeds(rows: Sequence[Row], policy: str, place: str) -> dict[int, float]:
    values: dict[int, list[float]] = {}
    for row in rows:
        if row.metric == "slope" and row.arm == policy and row.value is not None and row.at["place"] == place:
            values.setdefault(row.seed, []).append(row.value)
    return {seed: float(np.mean(own)) for seed, own in values.items()}


def beta_parts(rows: Sequence[Row], policy: str) -> Drawn:
    """β of the skip connection and of the MLP at each place; dots are seeds, bars their mean."""
    shown: list[dict[str, Any]] = []
    with new_figure(6.0, 3.6) as figure:
        axes = figure.add_subplot()
        places = [place for place in _PLACES if any(row.at.get("place") == place for row in rows)]
        for number, part in enumerate(("skip", "mlp")):
            for column, place in enumerate(places):
                at = {"part": part, "place": place}
                own = [row for row in rows if row.metric == "beta" and row.arm == policy and row.meets(at)]
                values = [row.value for row in own if row.value is not None]
                if not values:
                    continue
                x, colour = column + 0.36 * (number - 0.5), POLICY_COLOURS[number]
                label = ("around the MLP", "through the MLP")[number] if column == 0 else None
                axes.bar(x, float(np.mean(values)), 0.32, color=colour, alpha=0.35, label=label)
                axes.scatter([x] * len(values), values, color=colour, s=18, zorder=3)
                shown += [{**at, "seed": row.seed, "beta": row.value} for row in own]
        axes.axhline(0.0, color=FAINT, linewidth=1)
        axes.set_xticks(range(len(places)), [_PLACES[place] for place in places])
        axes.set_ylabel("β of each part")
        axes.grid(True, axis="y")
        figure.legend(loc="outside lower center", ncols=2)
    return figure, shown


def finetuning(rows: Sequence[Row], policy: str) -> Drawn:
    """Success after training each part on ten demonstrations, at tuned, old and third positions; dots are seeds."""
    groups: dict[tuple[str, str, int], list[float]] = {}
    for row in rows:
        usual = row.at.get("demonstrations", 10) == 10 and row.at.get("steps", 300) == 300
        if row.metric == "success" and row.arm == policy and usual and row.value is not None:
            groups.setdefault((str(row.at["part"]), str(row.at["place"]), row.seed), []).append(row.value)
    shown: list[dict[str, Any]] = [
        {"part": part, "place": place, "seed": seed, "success": float(np.mean(values)), "episodes": len(values)}
        for (part, place, seed), values in groups.items()
    ]
    parts = list(dict.fromkeys(row["part"] for row in shown))
    with new_figure(7.0, 0.9 + 0.42 * max(3, len(parts))) as figure:
        axes = figure.add_subplot()
        for number, place in enumerate(("tuned", "old", "third")):
            own = [row for row in shown if row["place"] == place]
            heights = [parts.index(row["part"]) + 0.2 * (number - 1) for row in own]
            axes.scatter(
                [100 * row["success"] for row in own],
                heights,
                color=POLICY_COLOURS[number],
                marker=POLICY_MARKERS[number],
                s=26,
                label=f"{place} positions",
            )
        axes.set_yticks(range(len(parts)), parts)
        axes.invert_yaxis()
        axes.set_xlim(-3, 103)
        axes.set_xlabel("success (%)")
        axes.grid(True, axis="x")
        figure.legend(loc="outside lower center", ncols=3)
    return figure, shown
