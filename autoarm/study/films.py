"""Videos of what fine-tuning changes: the same episode before and after, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from autoarm.study.closed_loop import NONE, finetuning_places, tuned
from autoarm.study.plan import Condition, Effort, Stage, Study
from autoarm.study.rows import Row
from autoarm.study.run import WORK, default_out, read_study_rows, rows_path
from autoarm.study.units import Unit
from autoarm.study.workspace import Workspace
from gym_autoarm.errors import InvalidFileError, InvalidInputError

VIDEOS: Final = "videos"
_STAGE: Final[Stage] = "finetune"


def film_study(
    study: Study,
    size: Literal["full", "quick"] = "full",
    out: Path | None = None,
    work: Path | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Film fine-tuning: at each place the first episode whose outcome it changed, or else the first episode.

    The part, demonstrations and steps are those of the first criterion about fine-tuning.

    Args:
        study: A study whose fine-tuning was measured.
        size: The full run or the quick one.
        out: Folder with the rows; the videos go into `videos` there.
        work: Folder with datasets and policies, which are made again where they are missing.
        effort: Amount of work, instead of that of `size`.
        seed: Training seed of the policy that is fine-tuned.
        say: Called with a message before something that takes long.

    Returns:
        Paths of the videos.

    Raises:
        InvalidInputError: If the study asks nothing about fine-tuning.
        InvalidFileError: If fine-tuning was not measured yet.
    """
    from autoarm.evaluation.video import film_beside

    folder = out or default_out(study, size)
    amount = effort or study.effort[size]
    workspace = Workspace(study, amount, work or WORK / f"{study.name}-{size}", say=say or (lambda _: None))
    unit = _unit(study, seed)
    rows = [row for row in read_study_rows(folder, study).get(_STAGE, []) if row.belongs_to(unit.recipe, unit.seed)]
    before, after = (_outcomes(rows, conditions) for conditions in ({"part": NONE}, unit.variant))
    if not (before and after):
        raise InvalidFileError(
            f"fine-tuning of seed {seed} was not measured yet",
            file=rows_path(folder, _STAGE),
            cure=f"autoarm study run {study.name} --stage {_STAGE}",
        )
    paths = []
    with tuned(workspace, unit) as (_, _, policy):
        for place, points in finetuning_places(workspace, unit.recipe).items():
            changed = [key for key in after if key[0] == place and before.get(key) != after[key]]
            index = changed[0][1] if changed else 0
            episodes = workspace.episodes(place, points, index + 1)[index:]
            runs = {}
            for name, each in (("before", workspace.policy(unit.recipe, unit.seed)), ("after", policy)):
                (done,) = workspace.rollouts(each, episodes)
                outcome = "success" if done.row.success else "failure"
                runs[f"{name} · {place} {index + 1} · {outcome}"] = done.actions
            paths.append(folder / VIDEOS / f"finetuning-{place}.mp4")
            film_beside(paths[-1], episodes[0].scene, runs)
    return paths


def _unit(study: Study, seed: int) -> Unit:
    for hypothesis in study.hypotheses.values():
        for criterion in hypothesis.criteria:
            if criterion.stage == _STAGE and "part" in criterion.at:
                variant = {name: criterion.at[name] for name in ("part", "demonstrations", "steps")}
                return Unit(hypothesis.arm, seed, variant)
    raise InvalidInputError("no hypothesis is about fine-tuning", field="hypotheses", cure="there is nothing to film")


def _outcomes(rows: Sequence[Row], conditions: Mapping[str, Condition]) -> dict[tuple[str, int], bool]:
    """Success by place and number of the episode."""
    return {
        (str(row.at["place"]), int(row.at["index"])): bool(row.value)
        for row in rows
        if row.metric == "success" and row.meets(conditions)
    }
