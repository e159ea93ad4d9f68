"""Run a result again and compare it row by row.

On the platform that the result names, every field of every row must be the same. On another one, rounding takes
episodes different ways; there a paired test asks whether success differs by more than chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from autoarm.evaluation.engine import Execution, Progress, run
from autoarm.evaluation.recorded import open_recorded
from autoarm.policies.protocol import Policy
from autoarm.results.platform import describe_platform
from autoarm.results.result import EpisodeRow, Interval, Platform, success_interval
from autoarm.statistics import McNemarTest, mcnemar_exact
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream

SIGNIFICANCE: Final = 0.05
"""On another platform, an honest repeat fails at most this often: McNemar's exact test keeps below it."""
_NOT_RUN: Final = frozenset({"video"})
"""Fields of a row that running it does not give."""


@dataclass(frozen=True)
class Mismatch:
    """A field of a row that came out differently."""

    row: str
    field: str
    recorded: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.row}: {self.field} was {self.recorded!r} and is now {self.found!r}"


@dataclass(frozen=True)
class Verification:
    """What came of running a result again.

    Attributes:
        same_platform: Whether rows had to be identical.
        platform_changes: What differs from the recorded platform.
        rows: How many were run.
        total: How many the result has.
        mismatches: Every field that differs.
        recorded: Success over the rows that were run, as recorded.
        found: Success over these rows as it came out.
        paired: Whether the two differ, from the rows where just one of them succeeded.
    """

    same_platform: bool
    platform_changes: tuple[str, ...]
    rows: int
    total: int
    mismatches: tuple[Mismatch, ...]
    recorded: Interval
    found: Interval
    paired: McNemarTest

    @property
    def passed(self) -> bool:
        """Whether rows are identical, on the same platform; on another, whether success does not differ."""
        if self.same_platform:
            return not self.mismatches
        return self.paired.p_value >= SIGNIFICANCE


def verify(
    file: Path,
    *,
    sample: int | None = None,
    seed: int = 0,
    policy: str | Policy | None = None,
    suite: str | Path | None = None,
    dataset: Path | None = None,
    device: str = "cpu",
    workers: int = 1,
    ray: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """Run a result again.

    Args:
        file: What `autoarm bench` or `autoarm eval --out` wrote.
        sample: How many rows, drawn by `seed`; all by default.
        seed: Seed that draws the sample.
        policy: Where the policy is, if not where the result says.
        suite: YAML file of a suite that is not shipped.
        dataset: Folder of the demonstrations that a baseline is made from, if it was moved.
        device: Torch device of a checkpoint.
        workers: Processes, here or in the cluster.
        ray: Address of a Ray cluster, or `auto`.
        progress: Called before the first episode and after each.

    Raises:
        InvalidFileError: If the file is not what was written, or does not say what its suite and rows say.
        InvalidInputError: If policy, suite or demonstrations are missing or are not those that were measured.
    """
    if sample is not None and sample < 1:
        raise InvalidInputError(f"{sample} rows verify nothing", field="sample", cure="at least 1")
    how = Execution(workers, ray, progress)
    recorded = open_recorded(file, policy=policy, suite=suite, dataset=dataset, device=device)
    result, planned = recorded.result, recorded.episodes
    here = describe_platform(gl=recorded.policy.needs_images)
    changes = platform_changes(result.platform, here)

    chosen = choose_rows(len(planned), sample, seed)
    how.report(Progress(0, len(chosen)))
    found: dict[int, EpisodeRow] = {}
    with closing(run(recorded.source, recorded.policy, [planned[number] for number in chosen], how)) as done:
        for index, each in done:
            found[chosen[index]] = each.row
            how.report(Progress(len(found), len(chosen), each.row))
    mismatches = [each for number in chosen for each in compare_rows(result.rows[number], found[number])]
    return Verification(
        same_platform=not changes,
        platform_changes=changes,
        rows=len(chosen),
        total=len(planned),
        mismatches=tuple(mismatches),
        recorded=success_interval([result.rows[number] for number in chosen]),
        found=success_interval([found[number] for number in chosen]),
        paired=mcnemar_exact(
            [result.rows[number].success for number in chosen], [found[number].success for number in chosen]
        ),
    )


def choose_rows(total: int, sample: int | None, seed: int) -> list[int]:
    """Numbers of the rows to run, in order."""
    if sample is None or sample >= total:
        return list(range(total))
    return sorted(int(number) for number in stream(seed, "verify").choice(total, sample, replace=False))


def compare_rows(recorded: EpisodeRow, found: EpisodeRow) -> Iterator[Mismatch]:
    """Every field that differs."""
    name = "/".join(part for part in (recorded.group, recorded.level, str(recorded.index)) if part)
    for field in EpisodeRow.model_fields.keys() - _NOT_RUN:
        before, now = getattr(recorded, field), getattr(found, field)
        if before != now:
            yield Mismatch(name, field, before, now)


def platform_changes(recorded: Platform, here: Platform) -> tuple[str, ...]:
    """What differs between two platforms, in words."""
    changes = []
    for name in ("python", "machine", "gl_renderer"):
        before, now = getattr(recorded, name), getattr(here, name)
        if before != now:
            changes.append(f"{name}: {before} there, {now} here")
    for name in sorted(recorded.versions.keys() | here.versions.keys()):
        before, now = recorded.versions.get(name), here.versions.get(name)
        if before != now:
            changes.append(f"{name}: {before} there, {now} here")
    return tuple(changes)
