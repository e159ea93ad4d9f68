"""`autoarm study`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass
class Run:
    """Measure what is missing of a study. Stopped, the same command goes on.

    Example: autoarm study run lookup-table-v1 --quick
    """

    study: tyro.conf.Positional[str] = "lookup-table-v1"
    """Name of a study, or a YAML file."""
    quick: bool = False
    """Little of everything, with one seed: to see that it works. Decides nothing."""
    stage: Annotated[tyro.conf.UseAppendAction[list[str]], tyro.conf.arg(metavar="NAME")] = field(default_factory=list)
    """A stage: train, behaviour, mechanism, probes, steering, attention, absorption, tracing, lens, finetune,
    knockouts; repeat it for several. All by default."""
    arm: Annotated[tyro.conf.UseAppendAction[list[str]], tyro.conf.arg(metavar="NAME")] = field(default_factory=list)
    """An arm or a control of the study; repeat it for several. All by default. With `--arm end-to-end --arm untrained
    --arm nearest --arm position-fed`, all that the verdicts of lookup-table-v1 rest on is measured first."""
    out: Path | None = None
    """Folder for what is found; by default benchmarks/results/NAME, with --quick outputs/study/NAME-quick/rows."""
    work: Path | None = None
    """Folder for demonstrations and policies, made again where they are missing; by default outputs/study/NAME-full, or
    -quick."""
    workers: int = 1
    """Processes for recording and for episodes; the rows are the same for any number."""

    def run(self) -> int:
        """Run it and write the report of what there is so far."""
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from rich.console import Console

        from autoarm.runtime.bars import Bars
        from autoarm.study.plan import load_study
        from autoarm.study.report import write_study_report
        from autoarm.study.run import Progress as Now
        from autoarm.study.run import run_study

        console = Console(stderr=True)
        study = load_study(self.study)
        with Bars(console=console, transient=True) as bar:
            task = bar.add_task("getting ready", total=None)

            def advance(now: Now) -> None:
                bar.update(task, description=f"{now.stage} {now.unit}", completed=now.done, total=now.total)

            folder = run_study(
                study,
                size=_size(self.quick),
                stages=self.stage,
                arms=self.arm,
                out=self.out,
                work=self.work,
                workers=self.workers,
                progress=advance,
                say=lambda text: console.print(text, markup=False, highlight=False),
            )
        page = write_study_report(study, folder)
        print(f"report: {page}")
        return 0


@dataclass
class Report:
    """Write the report of what was measured: verdicts first, then the evidence.

    Example: autoarm study report lookup-table-v1
    """

    study: tyro.conf.Positional[str] = "lookup-table-v1"
    """Name of a study, or a YAML file."""
    quick: bool = False
    """Work on the quick run."""
    out: Path | None = None
    """Folder with what was found; by default as in `autoarm study run`."""

    def run(self) -> int:
        """Write the pages and print the verdicts."""
        from autoarm.study.plan import load_study
        from autoarm.study.report import verdict_lines, write_study_report
        from autoarm.study.run import default_out

        study = load_study(self.study)
        folder = self.out or default_out(study, _size(self.quick))
        page = write_study_report(study, folder)
        for line in verdict_lines(study, folder):
            print(line)
        print(f"report: {page}")
        return 0


@dataclass
class Film:
    """Film what fine-tuning does, before and after side by side, and write the report with it.

    Example: autoarm study film lookup-table-v1
    """

    study: tyro.conf.Positional[str] = "lookup-table-v1"
    """Name of a study, or a YAML file."""
    quick: bool = False
    """Work on the quick run."""
    out: Path | None = None
    """Folder with what was found; by default as in `autoarm study run`."""
    work: Path | None = None
    """Folder for demonstrations and policies; by default as in `autoarm study run`."""
    seed: int = 0
    """Training seed of the policy that is tuned."""

    def run(self) -> int:
        """Make the films and write the pages."""
        from autoarm.study.films import film_study
        from autoarm.study.plan import load_study
        from autoarm.study.report import write_study_report
        from autoarm.study.run import default_out

        study, size = load_study(self.study), _size(self.quick)
        for path in film_study(study, size, self.out, self.work, seed=self.seed, say=print):
            print(f"film: {path}")
        print(f"report: {write_study_report(study, self.out or default_out(study, size))}")
        return 0


Command = (
    Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Film, tyro.conf.subcommand("film")]
)


@dataclass
class Study:
    """Test hypotheses that were written down before anything was measured, and say what came out.

    Example: autoarm study run lookup-table-v1 --workers 2
    """

    command: tyro.conf.OmitSubcommandPrefixes[Command]

    def run(self) -> int:
        """Run the subcommand."""
        return self.command.run()


def _size(quick: bool) -> Literal["full", "quick"]:
    return "quick" if quick else "full"
