"""Templates that packages carry."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from autoarm.pages.templates import templates


def test_values_are_escaped_and_must_be_given() -> None:
    template = templates("autoarm.study").from_string("<p>{{ text }}</p>")
    assert template.render(text="<b>") == "<p>&lt;b&gt;</p>"
    with pytest.raises(UndefinedError):
        template.render()


@pytest.mark.parametrize(
    ("package", "folder", "name"),
    [
        ("autoarm.study", "", "report.html"),
        ("autoarm.demo", "", "report.html"),
        ("autoarm.interp.report", "", "report.html"),
        ("autoarm.leaderboard", "templates", "index.html"),
    ],
)
def test_packages_carry_their_templates(package: str, folder: str, name: str) -> None:
    assert templates(package, folder).get_template(name).name == name
