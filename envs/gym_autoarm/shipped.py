"""YAML files that this installation carries, found by name, or a person's own, found by path."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from gym_autoarm.errors import InvalidInputError, did_you_mean


def shipped_names(package: str, folder: str = "") -> list[str]:
    """Names of the YAML files in a package, or in a folder of it, without their endings."""
    found = (files(package) / folder).iterdir()
    return sorted(Path(each.name).stem for each in found if each.name.endswith(".yaml"))


def find_yaml(package: str, reference: str | Path, kind: str, folder: str = "") -> Path:
    """The file that `reference` names.

    Args:
        package: Where the shipped files lie.
        reference: The name of one of them, or the path of another YAML file, which need not exist.
        kind: What such a file holds, for the error: `suite`.
        folder: The folder of the package where they lie.

    Raises:
        InvalidInputError: If it is neither.
    """
    names = shipped_names(package, folder)
    if str(reference) in names:
        return Path(str(files(package))) / folder / f"{reference}.yaml"
    if Path(reference).suffix in (".yaml", ".yml"):
        return Path(reference)
    raise InvalidInputError(
        f"there is no {kind} {str(reference)!r}",
        field=kind,
        cure=f"{did_you_mean(str(reference), names)}choose from {', '.join(names)}, or name a YAML file",
    )
