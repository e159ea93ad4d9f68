"""Reads result files, checks them, and groups them by suite."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autoarm.leaderboard.checks import check_whole
from autoarm.results.result import AxisRecord, Result, SuiteRecord
from gym_autoarm.errors import InvalidFileError, InvalidInputError


@dataclass(frozen=True)
class Entry:
    """A result on a board.

    Attributes:
        file: Where it was read from.
        address: Path relative to the folder of results, with slashes.
        slug: Name of its page and files; unique on the board.
        result: The result. If another arm than the simulated one moved, the policy's name says which.
    """

    file: Path
    address: str
    slug: str
    result: Result

    @property
    def name(self) -> str:
        """The policy's name, unique on the board."""
        return self.result.policy.name


@dataclass(frozen=True)
class Board:
    """All results on one suite.

    Attributes:
        name: Name of the suite.
        version: Version of the suite.
        sha256: SHA-256 of the suite's content.
        slug: Name of its folder in the site; unique.
        axes: All axes that any entry ran, in the suite's order.
        entries: The results, in order of their policies' names.
    """

    name: str
    version: int
    sha256: str
    slug: str
    axes: dict[str, AxisRecord]
    entries: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """Name and version; a name that ends with its version stays as it is."""
        return _versioned(self.name, self.version, " ")


def load_boards(folder: Path) -> list[Board]:
    """Read every result in `folder` and its subfolders, and group them by suite.

    Raises:
        InvalidInputError: If there is no such folder, or there are no results in it.
        InvalidFileError: If a file is not a result on a suite, was edited, names the same policy as another file, or
            was measured on a suite that was changed without a new version; it names the file.
    """
    if not folder.is_dir():
        raise InvalidInputError(
            "there is no such folder", file=folder, field="results", cure="name a folder with results of autoarm bench"
        )
    files = [file for file in sorted(folder.rglob("*.json")) if not _hidden(file.relative_to(folder))]
    if not files:
        raise InvalidInputError(
            "there are no results", file=folder, field="results", cure="write some with `autoarm bench --out`"
        )
    suites: dict[tuple[str, int], list[tuple[Path, Result, SuiteRecord]]] = {}
    for file in files:
        result, suite = _load(file)
        suites.setdefault((suite.name, suite.version), []).append((file, result, suite))
    slugs = unique_slugs(_versioned(name, version, "-v") for name, version in suites)
    return [_board(folder, slug, found) for slug, found in zip(slugs, suites.values(), strict=True)]


def unique_slugs(names: Iterable[str]) -> list[str]:
    """Names fit for files and addresses, all different, in the same order."""
    slugs: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "unnamed"
        slug, number = plain, 1
        while slug in slugs:
            number += 1
            slug = f"{plain}-{number}"
        slugs.append(slug)
    return slugs


def _load(file: Path) -> tuple[Result, SuiteRecord]:
    result = Result.load(file)
    suite = result.setting.suite
    if suite is None:
        raise InvalidFileError(
            "was not measured on a suite", file=file, field="setting.suite", cure="measure it with `autoarm bench`"
        )
    for number, row in enumerate(result.rows):
        if row.group not in suite.axes or row.level not in suite.axes[row.group].levels:
            place = f"{row.group}/{row.level}" if row.level else row.group
            raise InvalidFileError(
                f"{place!r} is not in the suite that it names", file=file, field=f"rows.{number}", cure="measure again"
            )
    for name, axis in suite.axes.items():
        for level in axis.levels:
            if name not in result.groups or (level and f"{name}/{level}" not in result.levels):
                where = f"setting.suite.axes.{name}" + (f".levels.{level}" if level else "")
                raise InvalidFileError("has no episodes", file=file, field=where, cure="measure again")
    check_whole(result, suite, file)
    if (body := result.platform.body) is not None:
        # The same policy may also be there on the simulated arm: its name tells the two apart.
        policy = result.policy.model_copy(update={"name": f"{result.policy.name} on {body}"})
        result = result.model_copy(update={"policy": policy})
    return result, suite


def _board(folder: Path, slug: str, found: list[tuple[Path, Result, SuiteRecord]]) -> Board:
    first_file, _, first = found[0]
    names: dict[str, Path] = {}
    for file, result, suite in found:
        if suite.sha256 != first.sha256:
            raise InvalidFileError(
                f"suite {suite.name} {suite.version} has another content than in {first_file}",
                file=file,
                field="setting.suite.sha256",
                cure="a changed suite needs a version of its own; measure again the one that is out of date",
            )
        if result.policy.name in names:
            raise InvalidFileError(
                f"{result.policy.name!r} is also in {names[result.policy.name]}",
                file=file,
                field="policy.name",
                cure="give the policy another name, or keep one of the two results",
            )
        names[result.policy.name] = file
    ordered = sorted(found, key=lambda each: each[1].policy.name)
    slugs = unique_slugs(result.policy.name for _, result, _ in ordered)
    entries = tuple(
        Entry(file, file.relative_to(folder).as_posix(), own, result)
        for own, (file, result, _) in zip(slugs, ordered, strict=True)
    )
    return Board(first.name, first.version, first.sha256, slug, _axes([suite for _, _, suite in found]), entries)


def _axes(suites: list[SuiteRecord]) -> dict[str, AxisRecord]:
    # The order of the entry with most axes; axes that only others ran follow.
    axes: dict[str, AxisRecord] = {}
    for suite in sorted(suites, key=lambda each: -len(each.axes)):
        for name, axis in suite.axes.items():
            axes.setdefault(name, axis)
    return axes


def _versioned(name: str, version: int, separator: str) -> str:
    return name if name.endswith(f"v{version}") else f"{name}{separator}{version}"


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
