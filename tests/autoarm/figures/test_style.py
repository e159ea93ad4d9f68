"""Tables beside figures."""

from __future__ import annotations

import csv
import io

from autoarm.figures.style import csv_text


def test_no_text_becomes_a_formula_and_numbers_stay_numbers() -> None:
    rows = [{"policy": name, "rate": -0.5} for name in ("=cmd|' /C calc'!A0", "+1", "@a", "-x", "act", "a=b")]
    found = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert [row["policy"] for row in found] == ["'=cmd|' /C calc'!A0", "'+1", "'@a", "'-x", "act", "a=b"]
    assert {row["rate"] for row in found} == {"-0.5"}
