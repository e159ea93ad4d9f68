"""Packages that only some people need: one error names the extra that brings them."""

from __future__ import annotations

import importlib.util

from gym_autoarm.errors import MissingDependencyError


def missing_extra(package: str, extra: str, field: str | None = None) -> MissingDependencyError:
    """The error to raise when a package of an extra is not installed; `field` is the option that asked for it."""
    return MissingDependencyError(
        f"{package} is not installed", field=field or extra, cure=f'install the extra: pip install "autoarm[{extra}]"'
    )


def require_extra(module: str, package: str, extra: str, field: str | None = None) -> None:
    """Raise `MissingDependencyError` unless `module` can be imported."""
    if importlib.util.find_spec(module) is None:
        raise missing_extra(package, extra, field)
