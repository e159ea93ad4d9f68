"""Blocks as Markdown."""

from __future__ import annotations

import pytest

from autoarm.pages.blocks import Block, Heading, Picture, Table, Text, Video, as_markdown


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (Heading("Evidence", 3), "### Evidence"),
        (Text("It follows."), "It follows."),
        (Text("It follows.", "supported"), "**supported.** It follows."),
        (Picture("a.png", "a.csv", "Slopes"), "![Slopes](a.png)\n\n[Data](a.csv)"),
        (Video("a.mp4", "Before and after"), "[Before and after](a.mp4)"),
        # A bar would end the cell.
        (Table(["x", "y"], [["1", "a|b"]], "Means"), "Means\n\n| x | y |\n| --- | --- |\n| 1 | a/b |"),
    ],
)
def test_every_kind_of_block(block: Block, text: str) -> None:
    assert as_markdown(block) == text
