"""Whether a result is complete. Its digest detects an edited file; these checks detect omitted episodes."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from autoarm.results.result import Result, SuiteRecord, group_intervals, level_intervals, success_interval
from gym_autoarm.errors import InvalidFileError


def check_whole(result: Result, suite: SuiteRecord, file: Path) -> None:
    """Raise `InvalidFileError` unless every episode is there once and the rates follow from the rows.

    Whether the rows are true, only `autoarm verify` can tell, by running them again.

    Args:
        result: A result whose rows have axes and levels of `suite`.
        suite: The suite that the result says it ran.
        file: File that the error names.
    """
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in result.rows:
        numbers[row.group, row.level].append(row.index)
    for axis, record in suite.axes.items():
        for level, expected in record.levels.items():
            found = sorted(numbers[axis, level])
            if found != list(range(expected.episodes)):
                raise InvalidFileError(
                    f"{axis}{'/' if level else ''}{level} has {len(found)} rows, {len(set(found))} of them different; "
                    f"the setting says {expected.episodes}",
                    file=file,
                    field="rows",
                    cure="take the file as `autoarm bench` wrote it",
                )
    sums = {
        "overall": success_interval(result.rows),
        "groups": group_intervals(result.rows),
        "levels": level_intervals(result.rows),
    }
    for field, again in sums.items():
        if getattr(result, field) != again:
            raise InvalidFileError("is not what the rows add up to", file=file, field=field, cure="measure again")
