"""`autoarm compare`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import tyro

from autoarm.commands.arguments import ResultFile
from autoarm.commands.as_json import print_json

if TYPE_CHECKING:
    from rich.table import Table

    from autoarm.evaluation.compare import Comparison, GroupComparison


@dataclass
class Compare:
    """Compare two policies on the episodes that both ran, and say how many more would settle which is better.

    Example: autoarm compare outputs/one.json outputs/other.json
    """

    file_a: tyro.conf.Positional[ResultFile]
    """Result (JSON) of policy A, written by `autoarm bench` or `autoarm eval --out`."""
    file_b: tyro.conf.Positional[ResultFile]
    """Result (JSON) of policy B, on the same suite, or by the same options of `autoarm eval`."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        """Compare the two and print the numbers."""
        from rich.console import Console

        from autoarm.evaluation.compare import compare

        found = compare(self.file_a, self.file_b)
        if self.json:
            print_json(comparison_data(found))
            return 0
        Console().print(comparison_table(found))
        for line in explanation(found):
            print(line)
        return 0


def comparison_data(found: Comparison) -> dict[str, Any]:
    """The comparison as plain data: field names as in `Comparison`, estimates with named bounds."""
    return {
        **asdict(found),
        "groups": {name: _group_data(group) for name, group in found.groups.items()},
        "overall": _group_data(found.overall),
        "mean_difference": found.mean_difference._asdict(),
    }


def comparison_table(found: Comparison) -> Table:
    """A row for each axis and one for all shared episodes; differences in points of success rate, A minus B."""
    from rich.table import Table

    table = Table(title=f"A: {found.first}\nB: {found.second}", box=None, padding=(0, 0, 0, 1))
    table.add_column("axis", no_wrap=True)
    for heading in ("A", "B", "A - B,\n(95 % interval)", "p", "early\nanswer", "detect-\nable", "more\nepisodes"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, group in found.groups.items():
        table.add_row(name, *_cells(group))
    table.add_row("all episodes", *_cells(found.overall), style="bold")
    return table


def explanation(found: Comparison) -> list[str]:
    """What the columns of the table say, in lines."""
    estimate, low, high = (100 * value for value in found.mean_difference)
    lines = [
        f"mean over the axes: A - B = {estimate:+.1f} points ({low:+.1f} to {high:+.1f})",
        "p: McNemar's exact test; on the axes after Holm's correction for their number",
        "early answer: the better policy by a test that may stop after each episode, and after how many; - if none",
        "detectable: smallest difference, in points, that so many episodes show with a probability of 80 %",
        "more episodes: how many more show with a probability of 80 % which is better, if the rates stay the same",
    ]
    if found.left_out:
        lines.append(f"{found.left_out} rows were left out: only one of the two results has their episodes")
    return lines


def _cells(group: GroupComparison) -> list[str]:
    estimate, low, high = (100 * value for value in group.difference)
    winner = {None: "-", 1: f"A, {group.clear_after}", 2: f"B, {group.clear_after}"}[group.clear_winner]
    needed = group.more_episodes
    return [
        f"{group.first_successes}/{group.episodes}",
        f"{group.second_successes}/{group.episodes}",
        f"{estimate:+.0f} ({low:+.0f} to {high:+.0f})",
        f"{group.adjusted:.3f}" if group.adjusted >= 0.001 else "<0.001",
        winner,
        "none" if group.detectable is None else f"{100 * group.detectable:.0f}",
        "settled" if needed == 0 else "too many" if needed is None else f"{needed}",
    ]


def _group_data(group: GroupComparison) -> dict[str, Any]:
    return {
        **asdict(group),
        "first_successes": group.first_successes,
        "second_successes": group.second_successes,
        "difference": group.difference._asdict(),
    }
