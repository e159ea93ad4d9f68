"""HTML templates that packages carry."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(package: str, folder: str = "") -> Environment:
    """The templates beside a package's modules, or in a folder there.

    Values are escaped, and a name that a template uses must be given.
    """
    return Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader(package, folder),
    )
