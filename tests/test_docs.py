"""What README and docs say leads somewhere: links to files and headings, command lines to options that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
import tyro

from autoarm.cli import COMMANDS, command_type
from gym_autoarm.errors import AutoArmError

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
CARDS = sorted((ROOT / "assets/policies").glob("*/README.md"))
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Headings as GitHub makes names of them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    """Relative links and pictures of a page."""
    for target in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:", target):
            yield target


def command_lines(page: Path) -> Iterator[str]:
    """Every `autoarm ...` after a dollar sign in a block."""
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ autoarm "):
                yield line.removeprefix("$ ").split("  #")[0].strip()


def mentions(page: Path) -> Iterator[str]:
    """Every `autoarm ...` in running text, which may leave out what does not matter there."""
    for quoted in re.findall(r"`(autoarm [^`]+)`", _FENCE.sub("", page.read_text(encoding="utf-8"))):
        yield " ".join(quoted.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", [*PAGES, *CARDS], ids=lambda page: f"{page.parent.name}/{page.name}")
def test_command_lines_are_understood(page: Path) -> None:
    for line in command_lines(page):
        arguments = shlex.split(line)[1:]
        try:
            tyro.cli(command_type(arguments), args=arguments)
        except SystemExit as refused:
            pytest.fail(f"{page.name}: {line}: {refused}")


@pytest.mark.parametrize("page", [*PAGES, *CARDS], ids=lambda page: f"{page.parent.name}/{page.name}")
def test_commands_in_running_text_have_the_options_that_are_named(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in mentions(page):
        arguments = shlex.split(line)[1:]
        options = [each for each in arguments if each.startswith("--")]
        words = list(takewhile(lambda each: re.fullmatch(r"[a-z][a-z-]+", each), arguments))
        assert arguments[0].startswith("--") or arguments[0].isupper() or words[0] in COMMANDS, f"{page.name}: {line}"
        if not words or not options:
            continue
        # `interp` and `study` have commands of their own.
        asked = words[: 2 if words[0] in ("interp", "study") else 1]
        with pytest.raises(SystemExit):
            tyro.cli(command_type(asked), args=[*asked, "--help"])
        text = capsys.readouterr().out
        for option in options:
            assert option in text, f"{page.name}: {line}: {option}"


def test_every_error_is_explained() -> None:
    import autoarm_hardware.pacing
    import autoarm_hardware.servos
    import autoarm_hardware.views  # noqa: F401 (errors of a real arm)

    def kinds(base: type[AutoArmError]) -> set[str]:
        return {base.__name__}.union(*(kinds(kind) for kind in base.__subclasses__()))

    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    assert kinds(AutoArmError) == set(re.findall(r"`(\w+Error)`", text))


def test_the_readme_is_read_in_two_minutes() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150
