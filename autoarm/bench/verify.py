"""Run a result again and compare it row by row.

On the platform that the result names, every field of every row must be the same. On another one, rounding takes
episodes different ways; there the success rate must lie within the interval of the recorded one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from autoarm.bench.draw import plan_suite
from autoarm.bench.run import Progress, episode_key, start_tasks
from autoarm.bench.suite import load_suite
from autoarm.evaluate import PolicySource, plan_episodes
from autoarm.parallel import run_tasks
from autoarm.platform_info import describe_platform
from autoarm.policies.loading import BASELINES, BLIND, describe_policy, shipped_policies
from autoarm.policies.protocol import Policy
from autoarm.results import EpisodeRow, Interval, Platform, PolicyRecord, Result, SuiteRecord, success_interval
from autoarm.rollout import Episode
from autoarm.scene_data import scene_changes
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.rng import stream
from gym_autoarm.sampling import SceneDistribution

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
        found: The same, as it came out.
    """

    same_platform: bool
    platform_changes: tuple[str, ...]
    rows: int
    total: int
    mismatches: tuple[Mismatch, ...]
    recorded: Interval
    found: Interval

    @property
    def passed(self) -> bool:
        """Identical on the same platform; within the recorded interval on another."""
        if self.same_platform:
            return not self.mismatches
        return self.recorded.low <= self.found.rate <= self.recorded.high


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
        seed: Of the sample.
        policy: Where it is, if not where the result says.
        suite: The same of a suite that is not shipped.
        dataset: The same of the demonstrations that a baseline is made from.
        device: Of torch, for a checkpoint.
        workers: Processes, here or in the cluster.
        ray: Address of a Ray cluster, or `auto`.
        progress: Called before the first episode and after each.

    Raises:
        InvalidFileError: If the file is not what was written, or does not say what its suite and rows say.
        InvalidInputError: If policy, suite or demonstrations are missing or are not those that were measured.
    """
    result = Result.load(file)
    if sample is not None and sample < 1:
        raise InvalidInputError(f"{sample} rows verify nothing", field="sample", cure="at least 1")
    if workers < 1:
        raise InvalidInputError(f"{workers} processes do no work", field="workers", cure="at least 1")
    planned = _planned(result, file, suite)
    _check_plan(result, planned, file)
    _check_sums(result, file)
    setting = result.setting
    source = PolicySource(
        policy if policy is not None else policy_reference(result.policy),
        dataset or _recorded_dataset(result.policy),
        device,
        setting.image_size,
        setting.time_limit,
    )
    loaded = source.load()
    check_policy(result.policy, describe_policy(loaded))
    here = describe_platform(gl=loaded.needs_images)
    changes = platform_changes(result.platform, here)

    chosen = choose_rows(len(planned), sample, seed)
    report = progress or (lambda _: None)
    report(Progress(0, len(chosen)))
    found: dict[int, EpisodeRow] = {}
    tasks = [planned[number] for number in chosen]
    with closing(run_tasks(tasks, start_tasks(source, loaded, workers, ray), workers=workers, ray=ray)) as done:
        for index, row in done:
            assert row is not None
            found[chosen[index]] = row
            report(Progress(len(found), len(chosen), row))
    mismatches = [each for number in chosen for each in compare_rows(result.rows[number], found[number])]
    return Verification(
        same_platform=not changes,
        platform_changes=changes,
        rows=len(chosen),
        total=len(planned),
        mismatches=tuple(mismatches),
        recorded=success_interval([result.rows[number] for number in chosen]),
        found=success_interval([found[number] for number in chosen]),
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


# -- Who ---------------------------------------------------------------------------------------------------------------


def policy_reference(record: PolicyRecord) -> str:
    """What `load_policy` shall load. Raises `InvalidInputError` if the record does not say."""
    if record.path is not None:
        bare = record.path.removeprefix(BLIND)
        if bare in shipped_policies() or Path(bare).exists():
            return record.path
    if record.name in BASELINES or record.name in shipped_policies():
        return record.name
    if record.path is None and isinstance(own := record.config.get("class"), str):
        return own
    raise InvalidInputError(
        f"the policy {record.name!r} is not at {record.path}", field="policy", cure="say where it is with --policy"
    )


def check_policy(recorded: PolicyRecord, here: PolicyRecord) -> None:
    """Raise `InvalidInputError` unless weights and demonstrations are those that were measured."""
    if recorded.sha256 != here.sha256:
        raise InvalidInputError(
            f"{here.name!r} has weights {_short(here.sha256)}, and {_short(recorded.sha256)} were measured",
            field="policy",
            cure="name the checkpoint that was measured with --policy",
        )
    before, now = (record.config.get("dataset_sha256") for record in (recorded, here))
    if before != now:
        raise InvalidInputError(
            f"holds other demonstrations ({_short(now)}) than those measured ({_short(before)})",
            field="dataset",
            cure="name the dataset that was used with --dataset",
        )


def _recorded_dataset(record: PolicyRecord) -> Path | None:
    recorded = record.config.get("dataset")
    return Path(recorded) if isinstance(recorded, str) else None


def _short(digest: object) -> str:
    return str(digest)[:12]


# -- What --------------------------------------------------------------------------------------------------------------


def _planned(result: Result, file: Path, suite: str | Path | None) -> list[Episode]:
    """The episodes that the setting of a result asks for."""
    setting = result.setting
    if setting.suite is not None:
        return _planned_suite(setting.suite, file, suite)
    try:
        distribution = TypeAdapter(SceneDistribution).validate_python(setting.distribution)
    except ValidationError as error:
        raise InvalidFileError(error.errors()[0]["msg"], file=file, field="setting.distribution") from error
    return plan_episodes(distribution, setting.episodes, setting.seed)


def _planned_suite(record: SuiteRecord, file: Path, reference: str | Path | None) -> list[Episode]:
    suite = load_suite(reference or record.name)
    if suite.sha256 != record.sha256:
        raise InvalidFileError(
            f"suite {record.name} has the hash {_short(suite.sha256)} here, and {_short(record.sha256)} in the result",
            file=file,
            field="setting.suite.sha256",
            cure="name the suite file that was run with --suite",
        )
    episodes = {level.episodes for axis in record.axes.values() for level in axis.levels.values()}
    counts = suite.counts(record.size, min(episodes), list(record.axes))
    if suite.record(record.size, counts) != record:
        raise InvalidFileError(
            f"does not hold the axes of a {record.size} run of {suite.name}", file=file, field="setting.suite"
        )
    return plan_suite(suite, counts)


def _check_plan(result: Result, planned: Sequence[Episode], file: Path) -> None:
    """The rows are of the episodes planned: none left out, none added, none with another scene."""
    if len(result.rows) != len(planned):
        raise InvalidFileError(
            f"{len(result.rows)} rows, and the setting asks for {len(planned)}", file=file, field="rows"
        )
    for number, (row, episode) in enumerate(zip(result.rows, planned, strict=True)):
        if row.key != episode_key(episode):
            raise InvalidFileError(
                f"is of {row.key}, and the setting asks for {episode_key(episode)}", file=file, field=f"rows.{number}"
            )
        if row.scene != scene_changes(episode.scene):
            raise InvalidFileError("is not the scene of its seed", file=file, field=f"rows.{number}.scene")


def _check_sums(result: Result, file: Path) -> None:
    """The rates are those of the rows."""
    again = Result.from_rows(result.policy, result.setting, result.platform, result.rows, result.seconds)
    for field in ("overall", "groups", "levels"):
        if getattr(result, field) != getattr(again, field):
            raise InvalidFileError("is not what the rows add up to", file=file, field=field)
