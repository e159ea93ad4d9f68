"""A forest plot of scores with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from autoarm.figures.style import FAINT, POLICY_COLOURS, SUCCESS, new_figure
from autoarm.leaderboard.ranking import Standing
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROLE_COLOURS: Final = {
    "policy": POLICY_COLOURS[0],
    "ceiling": SUCCESS,
    "control": POLICY_COLOURS[3],
    "floor": POLICY_COLOURS[1],
}
ROLE_MARKERS: Final = {"policy": "o", "ceiling": "^", "control": "D", "floor": "v"}


def ranking(standings: Sequence[Standing]) -> tuple[Figure, list[dict[str, Any]]]:
    """Draw the scores of `autoarm.leaderboard.ranking.standings`, best first, each with its 95 % interval.

    Returns:
        The figure, and a row for each policy that has a score.

    Raises:
        InvalidInputError: If no policy has a score.
    """
    rows = ranking_rows(standings)
    if not rows:
        raise InvalidInputError("no scores to draw", field="standings")
    with new_figure(6.4, 1.2 + 0.36 * len(rows)) as figure:
        axes = figure.add_subplot()
        for line, row in enumerate(rows):
            axes.errorbar(
                row["score"],
                line,
                xerr=[[row["score"] - row["low"]], [row["high"] - row["score"]]],
                marker=ROLE_MARKERS[row["role"]],
                color=ROLE_COLOURS[row["role"]],
                markersize=7,
                linewidth=2.2,
                capsize=3.5,
                clip_on=False,
                zorder=3,
            )
            axes.text(1.05, line, f"{100 * row['score']:.0f} %", va="center")
        axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.tick_params(axis="y", left=False, pad=10)
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_color(FAINT)
        axes.grid(True, axis="x")
        axes.set_xlabel("mean success rate over the axes, 95 % interval")
        roles = [role for role in ROLE_COLOURS if any(row["role"] == role for row in rows)]
        if len(roles) > 1:
            handles = [
                axes.plot([], [], color=ROLE_COLOURS[role], marker=ROLE_MARKERS[role], linestyle="")[0]
                for role in roles
            ]
            figure.legend(handles, roles, loc="outside lower center", ncols=len(roles))
    return figure, rows


def ranking_rows(standings: Sequence[Standing]) -> list[dict[str, Any]]:
    """The data of the figure."""
    return [
        {
            "rank": "" if each.rank is None else each.rank,
            "policy": each.name,
            "role": each.result.policy.role,
            "score": each.score.estimate,
            "low": each.score.low,
            "high": each.score.high,
            "episodes": len(each.result.rows),
        }
        for each in standings
        if each.score is not None
    ]


def _label(row: dict[str, Any]) -> str:
    return f"{row['rank']} · {row['policy']}" if row["rank"] else str(row["policy"])
