"""A result with all that made it: the episodes that its setting asks for, and its policy loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from autoarm.evaluation.source import PolicySource
from autoarm.policies.describe import describe_policy
from autoarm.policies.loading import BASELINES, BLIND, shipped_policies
from autoarm.policies.protocol import Policy
from autoarm.results.result import ORIGINAL, PolicyRecord, Result, SuiteRecord
from autoarm.suite.draw import plan_suite
from autoarm.suite.episodes import Episode, plan_episodes
from autoarm.suite.suite import load_suite
from gym_autoarm.body_data import restore_body
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene_data import is_same_scene, restore_scene, scene_changes


@dataclass(frozen=True)
class Recorded:
    """What a result was made from.

    Attributes:
        result: As it was written.
        episodes: Those of its rows, in their order; their scenes are the recorded ones, to the last bit.
        source: How processes load the policy.
        policy: Loaded, and found to be the one that was measured.
    """

    result: Result
    episodes: Sequence[Episode]
    source: PolicySource
    policy: Policy


def open_recorded(
    file: Path,
    *,
    policy: str | Policy | None = None,
    suite: str | Path | None = None,
    dataset: Path | None = None,
    device: str = "cpu",
) -> Recorded:
    """Make a result's episodes and policy again.

    Args:
        file: What `autoarm bench` or `autoarm eval --out` wrote.
        policy: Where the policy is, if not where the result says.
        suite: YAML file of a suite that is not shipped.
        dataset: Folder of the demonstrations that a baseline is made from, if it was moved.
        device: Torch device of a checkpoint.

    Raises:
        InvalidFileError: If the file is not what was written, or does not say what its suite and rows say.
        InvalidInputError: If policy, suite or demonstrations are missing or are not those that were measured, or if it
            was measured on a real arm.
    """
    result = Result.load(file)
    if result.platform.body is not None:
        raise InvalidInputError(
            f"was measured on the {result.platform.body}, which does not move twice alike",
            file=file,
            field="platform.body",
            cure="measure again with `--body real`, and compare the two rates",
        )
    planned = _as_recorded(result, _planned(result, file, suite), file)
    _check_sums(result, file)
    source = PolicySource(
        policy if policy is not None else policy_reference(result.policy),
        dataset or _recorded_dataset(result.policy),
        device,
        result.setting.image_size,
        result.setting.time_limit,
    )
    loaded = source.load()
    check_policy(result.policy, describe_policy(loaded))
    return Recorded(result, planned, source, loaded)


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
        distribution = TypeAdapter(SceneDistribution).validate_python(_with_body(setting.distribution))
    except ValidationError as error:
        raise InvalidFileError(
            error.errors()[0]["msg"], file=file, field="setting.distribution", cure=ORIGINAL
        ) from error
    return plan_episodes(distribution, setting.episodes, setting.seed)


def _with_body(distribution: dict[str, Any]) -> dict[str, Any]:
    """A recorded distribution, with its body as scenes have it now: the first results wrote gains for all joints."""
    body = distribution.get("base", {}).get("body", {})
    if "gains" not in body:
        return distribution
    return {**distribution, "base": {**distribution["base"], "body": restore_body(body)}}


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
            f"does not hold the axes of a {record.size} run of {suite.name}",
            file=file,
            field="setting.suite",
            cure=ORIGINAL,
        )
    return plan_suite(suite, counts)


def _as_recorded(result: Result, planned: Sequence[Episode], file: Path) -> list[Episode]:
    """The episodes planned, with the scenes that the rows recorded.

    Raises:
        InvalidFileError: If an episode is left out, added, or has another scene than its seed gives.
    """
    if len(result.rows) != len(planned):
        raise InvalidFileError(
            f"{len(result.rows)} rows, and the setting asks for {len(planned)}", file=file, field="rows", cure=ORIGINAL
        )
    recorded = []
    for number, (row, episode) in enumerate(zip(result.rows, planned, strict=True)):
        if row.key != episode.key:
            raise InvalidFileError(
                f"is of {row.key}, and the setting asks for {episode.key}",
                file=file,
                field=f"rows.{number}",
                cure=ORIGINAL,
            )
        if not is_same_scene(row.scene, scene_changes(episode.scene)):
            raise InvalidFileError(
                "is not the scene of its seed", file=file, field=f"rows.{number}.scene", cure=ORIGINAL
            )
        if row.latency != episode.latency:
            raise InvalidFileError(
                "is not the latency of its level", file=file, field=f"rows.{number}.latency", cure=ORIGINAL
            )
        # Another processor may have drawn it with another last bit, from which an episode can take another course.
        recorded.append(replace(episode, scene=restore_scene(row.scene)))
    return recorded


def _check_sums(result: Result, file: Path) -> None:
    """The rates are those of the rows."""
    again = Result.from_rows(result.policy, result.setting, result.platform, result.rows, result.seconds)
    for field in ("overall", "groups", "levels"):
        if getattr(result, field) != getattr(again, field):
            raise InvalidFileError("is not what the rows add up to", file=file, field=field, cure=ORIGINAL)
