"""The content of the pages, as plain data for the templates."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from autoarm.leaderboard.charts import Marker, bars, counted, curve, percent, score_bar, stack, table_map
from autoarm.leaderboard.entries import Board, Entry
from autoarm.leaderboard.ranking import Standing, standings
from autoarm.policies.track import track_of
from autoarm.results.comparison import PairedResults, compare_results
from autoarm.results.plots.axis_curves import has_scale
from autoarm.results.plots.failures import outcome, outcome_counts
from autoarm.results.result import ORIGINAL, AxisRecord, EpisodeRow, Interval, Result
from autoarm.statistics import Estimate, paired_detectable_difference
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.scene_data import restore_scene

ROLES: Final = {
    "policy": "competes",
    "ceiling": "is told what a policy cannot know, and shows what is possible",
    "control": "lacks something, or is told something, on purpose, to explain the results of others",
    "floor": "ignores the cameras or does nothing sensible: no policy should score below it",
}
TRACKS: Final = {
    "five-spots": "learnt from at most fifty demonstrations at the five spots, and at most ImageNet beside them",
    "open": "learnt from more than that, or from something else",
    "unknown": "does not say what it learnt from",
    "none": "learnt nothing",
}
OUTCOMES: Final = {
    "success": "the cube lies in the box",
    "timeout": "time ran out while the cube was held, in the air, or still moving",
    "missed-box": "released the cube over or beside the box, and missed",
    "dropped": "lifted the cube, and lost it elsewhere",
    "missed-grasp": "the gripper reached the cube, but did not lift it",
    "never-reached": "the gripper never came near the cube",
    "error": "the policy raised an error, or returned unusable actions",
    "unknown": "not in the box; on a real arm the cause is not measured",
}
DISCORDANT: Final = 0.2
"""Share of episodes that end differently for two similar policies, assumed for the smallest detectable difference."""


@dataclass(frozen=True)
class Ranked:
    """A board with its ranking; `standings[i]` belongs to `entries[i]`."""

    board: Board
    entries: tuple[Entry, ...]
    standings: tuple[Standing, ...]


def ranked(board: Board) -> Ranked:
    """Rank a board."""
    by_name = {entry.name: entry for entry in board.entries}
    order = standings([entry.result for entry in board.entries], board.axes)
    return Ranked(board, tuple(by_name[each.name] for each in order), tuple(order))


def front_page(boards: Sequence[Ranked]) -> dict[str, Any]:
    """The front page."""
    return {"boards": [board_section(each) for each in boards], "roles": ROLES, "tracks": TRACKS}


def board_section(found: Ranked) -> dict[str, Any]:
    """A suite's part of the front page."""
    board = found.board
    rows = [
        standing_cells(entry, standing) | {"axes": [_axis_cell(entry.result, axis) for axis in board.axes]}
        for entry, standing in zip(found.entries, found.standings, strict=True)
    ]
    competitors = [each for each in found.standings if each.rank is not None]
    episodes = max(len(entry.result.rows) for entry in board.entries)
    return {
        "slug": board.slug,
        "title": board.title,
        "sha256": board.sha256,
        "axes": [{"name": name, "title": axis.title} for name, axis in board.axes.items()],
        "rows": rows,
        "suite": board.name,
        "version": board.version,
        "roles": [role for role in ROLES if any(row["role"] == role for row in rows)],
        "tracks": [track for track in TRACKS if any(row["track"] == track for row in rows)],
        "leaders": [each.name for each in competitors if each.rank == 1],
        "competitors": len(competitors),
        "episodes": episodes,
        "detectable": _points(paired_detectable_difference(episodes, DISCORDANT)),
        "discordant": percent(DISCORDANT),
        "comparable": len(board.entries) > 1,
    }


def standing_cells(entry: Entry, standing: Standing) -> dict[str, Any]:
    """A policy's row of the ranking."""
    score, policy = standing.score, entry.result.policy
    suite = entry.result.setting.suite
    return {
        "name": policy.name,
        "slug": entry.slug,
        "kind": policy.kind,
        "role": policy.role,
        "track": track_of(policy),
        "rank": standing.rank,
        "ties": standing.ties,
        "missing": standing.missing,
        "score": None if score is None else f"{score.estimate:.6f}",
        "rate": None if score is None else _tenths(score.estimate),
        "interval": None if score is None else f"{_tenths(score.low, '')}–{_tenths(score.high)}",
        "bar": None if score is None else score_bar(score, policy.role, f"{policy.name}: {_with_interval(score)}"),
        "episodes": len(entry.result.rows),
        "size": "" if suite is None else suite.size,
    }


def policy_page(found: Ranked, entry: Entry, results: str, videos: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A policy's page.

    Args:
        found: The ranking that holds the entry.
        entry: The entry.
        results: The folder of results, as commands on the page name it.
        videos: Its videos, as `autoarm.leaderboard.build` lists them.
    """
    result, board = entry.result, found.board
    suite = result.setting.suite
    assert suite is not None
    standing = found.standings[found.entries.index(entry)]
    steps = [row.steps for row in result.rows if row.success]
    counts = outcome_counts(result.rows)
    return {
        "board": {"slug": board.slug, "title": board.title, "sha256": board.sha256, "version": board.version},
        "policy": standing_cells(entry, standing),
        "role": ROLES[result.policy.role],
        "track": TRACKS[track_of(result.policy)],
        "overall": result.overall,
        "seconds": f"{np.mean(steps) / spec.FPS:.1f}" if steps else None,
        "charts": charts(suite.axes, result),
        "rows": axis_table(suite.axes, result),
        "map": success_map(entry),
        "map_axes": [(name, axis.title) for name, axis in suite.axes.items()],
        "outcomes": [(name, OUTCOMES[name], count) for name, count in counts.items() if count],
        "stacks": [
            _stack(axis.title, [row for row in result.rows if row.group == name]) for name, axis in suite.axes.items()
        ],
        "errors": list(dict.fromkeys(row.error for row in result.rows if row.error))[:5],
        "videos": list(videos),
        "video_axes": [(n, a.title) for n, a in suite.axes.items() if any(video["axis"] == n for video in videos)],
        "record": result.policy,
        "config": json.dumps(result.policy.config, indent=2, ensure_ascii=False) if result.policy.config else None,
        "platform": result.platform,
        "arm": result.setting.simulated_arm,
        "command": shlex.join(result.setting.command) if result.setting.command else None,
        "verify": shlex.join(["autoarm", "verify", f"{results}/{entry.address}"]),
        "digest": result.digest,
        "minutes": f"{result.seconds / 60:.0f}",
        "other": _rival(found, entry),
    }


def _rival(found: Ranked, entry: Entry) -> str | None:
    """The policy to compare it with first: the best other competitor, or else the best other entry."""
    others = [each for each in found.entries if each is not entry]
    competing = [each for each in others if each.result.policy.role == "policy"]
    return next((each.name for each in competing + others), None)


def charts(axes: dict[str, AxisRecord], result: Result) -> list[dict[str, Any]]:
    """A chart for each axis with levels, and one for all axes without."""
    found = []
    points = {axis.title: result.groups[name] for name, axis in axes.items() if list(axis.levels) == [""]}
    if points:
        found.append({"title": "Without levels", "drawing": bars("Without levels", points)})
    for name, axis in axes.items():
        own = {level: result.levels[f"{name}/{level}"] for level in axis.levels if level}
        if own:
            drawn = curve(axis, own) if has_scale(axis) else bars(axis.title, own)
            found.append({"title": axis.title, "drawing": drawn})
    return found


def axis_table(axes: dict[str, AxisRecord], result: Result) -> list[dict[str, Any]]:
    """The numbers in the charts: a row for each axis and for each of its levels."""
    rows = []
    for name, axis in axes.items():
        rows.append({"title": axis.title, "level": "", "cells": _cells(result.groups[name])})
        rows += [
            {"title": "", "level": level, "cells": _cells(result.levels[f"{name}/{level}"])}
            for level in axis.levels
            if level
        ]
    return rows


def success_map(entry: Entry) -> Markup:
    """Map of all episodes over the table. Raises `InvalidFileError` if a row's scene is invalid."""
    markers = []
    for number, row in enumerate(entry.result.rows):
        try:
            cube = restore_scene(row.scene).cube
        except InvalidInputError as error:
            raise InvalidFileError(
                error.message, file=entry.file, field=f"rows.{number}.{error.field}", cure=ORIGINAL
            ) from None
        markers.append(Marker(row.group, cube.x, cube.y, row.success, f"{episode_name(row)}: {outcome(row)}"))
    successes = sum(marker.success for marker in markers)
    return table_map(markers, f"Table from above: {successes} of {len(markers)} episodes succeeded")


def episode_name(row: EpisodeRow) -> str:
    """Axis, level and number of an episode, counted from 1."""
    return " ".join(part for part in (row.group, row.level, str(row.index + 1)) if part)


def comparison_data(found: Ranked) -> dict[str, Any]:
    """Every number that the comparison page may show; the page itself computes nothing.

    `pairs["i,j"]`, i < j, holds the difference of the scores and, for each axis, the cells of `_compared`.
    """
    board = found.board
    pairs: dict[str, Any] = {}
    for i, first in enumerate(found.entries):
        for j, second in enumerate(found.entries[i + 1 :], start=i + 1):
            try:
                pairs[f"{i},{j}"] = _compared(board, compare_results(first.result, second.result, board.axes))
            except InvalidInputError:  # no shared episodes, which the page says
                continue
    return {
        "suite": board.title,
        "axes": [axis.title for axis in board.axes.values()],
        "policies": [
            {"name": entry.name, "slug": entry.slug, "role": entry.result.policy.role} for entry in found.entries
        ],
        "pairs": pairs,
    }


def _compared(board: Board, comparison: PairedResults) -> list[Any]:
    axes = [
        [
            number,
            own.episodes,
            own.both,
            own.only_first,
            own.only_second,
            *(round(value, 4) for value in own.difference),
            float(f"{own.p_value:.3g}"),
            float(f"{own.adjusted:.3g}"),
        ]
        for number, name in enumerate(board.axes)
        if (own := comparison.axes.get(name)) is not None
    ]
    return [[round(value, 4) for value in comparison.difference], axes]


def _axis_cell(result: Result, axis: str) -> dict[str, Any] | None:
    own = result.groups.get(axis)
    return None if own is None else {"rate": f"{own.rate:.6f}", "shown": f"{100 * own.rate:.0f}", "about": counted(own)}


def _cells(own: Interval) -> list[str]:
    return [f"{own.successes} of {own.episodes}", percent(own.rate), f"{100 * own.low:.0f}–{100 * own.high:.0f} %"]


def _stack(title: str, rows: Sequence[EpisodeRow]) -> dict[str, Any]:
    counts = outcome_counts(rows)
    said = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    failed = {name: count for name, count in counts.items() if count and name != "success"}
    return {
        "title": title,
        "drawing": stack(list(counts.items()), f"{title}: {said}"),
        "successes": counts["success"],
        "episodes": len(rows),
        "main": max(failed, key=lambda name: failed[name]) if failed else "",
    }


def _tenths(share: float, unit: str = " %") -> str:
    return f"{100 * share:.1f}{unit}"


def _with_interval(score: Estimate) -> str:
    return f"{_tenths(score.estimate)}, 95 % interval {_tenths(score.low, '')}–{_tenths(score.high)}"


def _points(difference: float) -> str | None:
    return None if np.isnan(difference) else f"{100 * difference:.0f}"
