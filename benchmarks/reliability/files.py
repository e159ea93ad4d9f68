"""Damage files of every kind, thousands of times, open each as a command does, and see what comes of it.

What may come: a clear error that names file and cure; nothing, where the damage is none; or a fault: an exception of
another kind, or no end. Seeded; `--kind` and `--number` repeat one case.

Example: python benchmarks/reliability/files.py --each 200 --out outputs/reliability.json
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, Literal

import av.logging
import tyro
from kinds import KINDS, Kind
from mutations import restore
from rich.console import Console
from rich.progress import Progress

from autoarm.data.recording import quiet
from autoarm.runtime.files import write_text
from gym_autoarm.errors import AutoArmError
from gym_autoarm.rng import stream

LONGEST: Final = 60
"""Seconds after which opening a file counts as a fault."""
Outcome = Literal["refused", "accepted", "fault"]


@dataclass(frozen=True)
class Case:
    """One damaged file.

    Attributes:
        kind: Name of its kind.
        number: Number of the mutation, which draws it.
        file: The damaged file, within the example.
        damage: What was done to it.
        outcome: What came of it.
        said: The error, or where the fault arose.
    """

    kind: str
    number: int
    file: str
    damage: str
    outcome: Outcome
    said: str = ""


class _TooLongError(BaseException):
    """Opening a file does not end."""


@dataclass
class Arguments:
    """Damage files and open them."""

    each: int = 200
    """Mutations of each kind of file."""
    kind: Annotated[list[str], tyro.conf.UseAppendAction] = field(default_factory=list)
    """Names of kinds, or how they begin; all by default."""
    number: int | None = None
    """This mutation alone, with its traceback."""
    seed: int = 0
    """Seed of the mutations."""
    out: Path | None = None
    """File for all cases (JSON)."""


def main() -> None:
    """Print the counts of each kind, and every fault. Exit code 1 if there was one."""
    arguments = tyro.cli(Arguments, description=__doc__)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    console = Console()
    kinds = [kind for kind in KINDS if not arguments.kind or kind.name.startswith(tuple(arguments.kind))]
    numbers = range(arguments.each) if arguments.number is None else [arguments.number]
    cases: list[Case] = []
    with Progress(console=console) as bar:
        task = bar.add_task("damaged files", total=len(kinds) * len(numbers))
        for kind in kinds:
            for case in campaign(kind, numbers, arguments.seed, shows=arguments.number is not None):
                cases.append(case)
                bar.advance(task)
    for kind in kinds:
        counts = Counter(case.outcome for case in cases if case.kind == kind.name)
        console.print(
            f"{kind.name:28} refused {counts['refused']:4}  accepted {counts['accepted']:4}  faults {counts['fault']:4}"
        )
    faults = [case for case in cases if case.outcome == "fault"]
    for said, count in Counter(case.said for case in faults).most_common():
        first = next(case for case in faults if case.said == said)
        console.print(
            f"{count} x {said}  ({first.kind} --number {first.number}: {first.damage})", style="red", markup=False
        )
    if arguments.out is not None:
        write_text(arguments.out, json.dumps([asdict(case) for case in cases], indent=1))
    sys.exit(1 if faults else 0)


def campaign(kind: Kind, numbers: range | list[int], seed: int = 0, shows: bool = False) -> list[Case]:
    """Damage an example of a kind, once for each number, and open it each time."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        intact, folder = Path(name) / "intact", Path(name) / "damaged"
        intact.mkdir()
        kind.make(intact)
        restore(intact, folder)
        kind.use(folder)  # an example that is not intact would prove nothing
        for number in numbers:
            rng = stream(seed, "reliability", kind.name, number)
            files = sorted(folder.glob(kind.example))
            path = files[int(rng.integers(len(files)))]
            mutate = kind.mutations[int(rng.integers(len(kind.mutations)))]
            damage = mutate(path, rng)
            outcome, said = _outcome(kind, folder, shows)
            place = str(path.relative_to(folder))
            found.append(Case(kind.name, number, place, damage, outcome, said.replace(str(folder), "")))
            restore(intact / place, path)
    return found


def _outcome(kind: Kind, folder: Path, shows: bool) -> tuple[Outcome, str]:
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LONGEST)
    try:
        with quiet():
            av.logging.set_libav_level(av.logging.PANIC)  # damaged videos are what this is about
            kind.use(folder)
    except AutoArmError as error:
        if not (error.cure and (error.file or error.field)):
            return "fault", f"says neither where nor what to do: {error}"
        return "refused", str(error)
    except _TooLongError:
        return "fault", f"took longer than {LONGEST} s"
    except Exception as error:
        if shows:
            traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)
        ours = [
            frame for frame in last if "site-packages" not in frame.filename and "reliability" not in frame.filename
        ]
        where = f"{Path(ours[-1].filename).name}: {ours[-1].name}" if ours else "?"
        return "fault", f"{type(error).__name__} out of {where}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return "accepted", ""


def _too_long(number: int, frame: FrameType | None) -> None:
    raise _TooLongError


if __name__ == "__main__":
    main()
