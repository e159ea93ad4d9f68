"""Run a study stage by stage; a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from autoarm.runtime.files import check_writable
from autoarm.runtime.tasks import in_order, run_tasks
from autoarm.study.plan import Effort, Stage, Study, load_study
from autoarm.study.rows import Header, Row, RowFile, Size, read_header, read_rows
from autoarm.study.stages import STAGES, measure, units, waves
from autoarm.study.units import Unit
from autoarm.study.workspace import Workspace
from gym_autoarm.errors import InvalidFileError, InvalidInputError

RESULTS: Final = Path("benchmarks/results")
WORK: Final = Path("outputs/study")


@dataclass(frozen=True)
class Progress:
    """How far a run has come: units done of a stage, and their total."""

    stage: Stage
    unit: str
    done: int
    total: int


def run_study(
    study: str | Path | Study,
    *,
    size: Literal["full", "quick"] = "full",
    stages: Sequence[str] = (),
    arms: Sequence[str] = (),
    out: Path | None = None,
    work: Path | None = None,
    workers: int = 1,
    effort: Effort | None = None,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Measure what a study has not measured yet.

    Args:
        study: Name of a study, a YAML file, or the study itself.
        size: Amount of work.
        stages: Names of stages, run in the study's order; all by default.
        arms: Names of recipes and controls; all by default.
        out: Folder for the rows; by default `benchmarks/results/NAME`, or a folder of its own for `quick`.
        work: Folder for datasets, backbones and policies, which are made again where they are missing.
        workers: Processes for recording and measuring; the rows are the same for any number.
        effort: Amount of work, instead of that of `size`.
        progress: Called after every unit, and after every stage.
        say: Called with a message before something that takes long.

    Returns:
        The folder with the rows.

    Raises:
        InvalidInputError: For an unknown stage, recipe or control.
        InvalidFileError: If rows belong to another study, or a file or folder cannot be used.
    """
    plan = study if isinstance(study, Study) else load_study(study)
    chosen, of = check_stages(stages), check_arms(plan, arms)
    if workers < 1:
        raise InvalidInputError(f"{workers} processes do no work", field="workers", cure="at least 1")
    label: Size = size if effort is None else "custom"
    amount = effort or plan.effort[size]
    folder = out or default_out(plan, size)
    workspace = Workspace(plan, amount, work or WORK / f"{plan.name}-{label}", workers, say or (lambda _: None))
    for stage in chosen:
        path = rows_path(folder, stage)
        check_writable(path)
        file = RowFile(path, header(plan, stage, label, amount))
        wanted = [unit for unit in units(workspace, stage) if unit.recipe in of]
        missing = [unit for unit in wanted if unit.name not in file.units]
        for recipe in dict.fromkeys(unit.recipe for unit in missing):
            workspace.prepare(recipe, stage)
        done = len(wanted) - len(missing)
        for wave in waves(missing):
            start = partial(_Worker, stage, plan, amount, workspace.folder)
            tasks = [(unit, [row for row in file.rows if row.belongs_to(unit.recipe, unit.seed)]) for unit in wave]
            results = in_order(run_tasks(tasks, start, workers=workers))
            for unit, rows in zip(wave, results, strict=True):
                file.add(rows)
                done += 1
                if progress is not None:
                    progress(Progress(stage, unit.name, done, len(wanted)))
        if progress is not None:
            progress(Progress(stage, "", len(wanted), len(wanted)))
    return folder


class _Worker:
    """Measures units of one stage, in this process or in one of its own."""

    def __init__(self, stage: Stage, study: Study, effort: Effort, folder: Path) -> None:
        self._measure, self._workspace = measure(stage), Workspace(study, effort, folder)

    def __call__(self, task: tuple[Unit, list[Row]]) -> list[Row]:
        return self._measure(self._workspace, *task)


def check_stages(names: Sequence[str]) -> list[Stage]:
    """The named stages in the study's order; all of them if none is named. Raises `InvalidInputError`."""
    for name in names:
        if name not in STAGES:
            raise InvalidInputError(
                f"there is no stage {name!r}", field="stage", cure=f"choose from {', '.join(STAGES)}"
            )
    return [stage for stage in STAGES if not names or stage in names]


def check_arms(study: Study, names: Sequence[str]) -> set[str]:
    """The named recipes and controls; all of them if none is named. Raises `InvalidInputError`."""
    known = [*study.arms, *study.controls]
    for name in names:
        if name not in known:
            raise InvalidInputError(f"there is no arm {name!r}", field="arm", cure=f"choose from {', '.join(known)}")
    return set(names or known)


def default_out(study: Study, size: Size) -> Path:
    """Folder for the results: of the full run one that is committed, else one in the working folder."""
    return RESULTS / study.name if size == "full" else WORK / f"{study.name}-{size}" / "rows"


def rows_path(folder: Path, stage: Stage) -> Path:
    """The file with the rows of a stage."""
    return folder / "rows" / f"{stage}.jsonl"


def header(study: Study, stage: Stage, size: Size, effort: Effort) -> Header:
    """The first line of a stage's file."""
    digest = hashlib.sha256(effort.model_dump_json().encode()).hexdigest()
    return Header(study=study.name, sha256=study.sha256, stage=stage, size=size, effort=digest[:16])


def read_study_rows(folder: Path, study: Study) -> dict[Stage, list[Row]]:
    """Rows of all stages that were run. Raises `InvalidFileError` if some belong to another study."""
    found: dict[Stage, list[Row]] = {}
    for stage in STAGES:
        path = rows_path(folder, stage)
        if not path.is_file():
            continue
        of = read_header(path)
        if (of.study, of.sha256, of.stage) != (study.name, study.sha256, stage):
            raise InvalidFileError(
                f"rows of {of.study!r}, {of.stage}, {of.sha256[:12]}; the study is {study.name!r}, {study.sha256[:12]}",
                file=path,
                cure="run the study again",
            )
        found[stage] = list(read_rows(path))
    return found
