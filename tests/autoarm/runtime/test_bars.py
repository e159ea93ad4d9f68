"""Progress is bars in a terminal and plain lines elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import count

import pytest
from rich.console import Console

from autoarm.runtime import bars
from autoarm.runtime.bars import Bars


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds pass."""
    now = [100.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=80, no_color=True), text


def test_a_log_file_gets_a_line_every_ten_seconds(later: Callable[[float], None]) -> None:
    where, text = console(terminal=False)
    clock = count(0.0, 4.0)
    with Bars(console=where) as shown:
        shown.get_time = lambda: next(clock)  # rich's own, for the time that is left
        task = shown.add_task("episodes", total=40)
        for done in range(1, 8):
            later(4.0)
            shown.update(task, completed=done)
    first, second = text.getvalue().splitlines()
    assert first.startswith("episodes: 3/40, ")
    assert second.startswith("episodes: 6/40, ")
    assert first.endswith(" left")


def test_a_note_says_more_than_a_count_and_an_unknown_total_is_left_out(later: Callable[[float], None]) -> None:
    where, text = console(terminal=False)
    with Bars(console=where) as shown:
        task = shown.add_task("train", total=10)
        later(11)
        shown.update(task, completed=2, note="2/10  loss 0.5")
        counting = shown.add_task("simulations", total=None)
        later(11)
        shown.update(counting, completed=7)
    assert text.getvalue().splitlines()[-1] == "simulations: 7"
    assert text.getvalue().startswith("train: 2/10  loss 0.5")


def test_a_terminal_gets_bars_and_no_lines_and_quiet_is_quiet(later: Callable[[float], None]) -> None:
    where, text = console(terminal=True)
    with Bars(console=where) as shown:
        task = shown.add_task("episodes", total=4)
        later(60)
        shown.update(task, completed=4)
    assert "4/4" in text.getvalue()
    assert "left" not in text.getvalue()
    for terminal in (True, False):
        where, text = console(terminal)
        with Bars(console=where, quiet=True) as shown:
            task = shown.add_task("episodes", total=4)
            later(60)
            shown.update(task, completed=4)
        assert not text.getvalue()


@pytest.mark.parametrize(("seconds", "said"), [(4, "4 s"), (89, "1 min"), (3600, "1 h 0 min"), (5000, "1 h 23 min")])
def test_what_is_left_is_said_in_units_that_fit(seconds: float, said: str) -> None:
    assert bars._duration(seconds) == said
