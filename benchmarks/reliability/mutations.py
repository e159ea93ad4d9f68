"""Damage done to files: to their bytes, to the fields of JSON and YAML, and to the columns of Parquet.

Each mutation is drawn from a generator, damages a file in place, and says what it did.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Random = np.random.Generator
Mutation = Callable[[Path, Random], str]

HOSTILE: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 10**30, -(10**30), 0.5, -0.5, 1e308, math.nan, math.inf, -math.inf),
    *("", "x", "nan", "1e5", "../../etc/passwd", "/dev/null", "=cmd|' /C calc'!A0", "<script>alert(1)</script>"),
    *("\u0000", "\u202e", "9" * 5000, "long " * 2000, [], [None], {}, {"": 0}, [[[[[[1]]]]]], [1, 2, 3], {"a": 1}),
)
"""Values that nobody means."""
RAW: Final = (
    *("!!int x", "!!float x", "!!timestamp 2026-13-45", "2026-13-45", "!!python/object/apply:os.system [x]", "&a *a"),
    *(
        "{" * 400,
        "[" * 3000,
        "- " * 3000,
        "\t",
        "\x00",
        "9" * 5000,
        "? a",
        "<<: 1",
        "%YAML 9.9",
        "---\n---\n",
        "\ufeff",
    ),
)
"""Text that parsers stumble over."""


def mutate_bytes(path: Path, rng: Random) -> str:
    """Cut a file short, change, insert or repeat bytes, empty it, or put a folder in its place."""
    data = path.read_bytes()
    place = int(rng.integers(len(data) + 1))
    match int(rng.integers(8)):
        case 0:
            data, what = data[:place], f"cut at byte {place} of {len(data)}"
        case 1:
            data, what = b"", "emptied"
        case 2:
            path.unlink()
            path.mkdir()
            return "a folder in its place"
        case 3:
            path.unlink()
            return "removed"
        case 4:
            count = int(rng.integers(1, 64))
            data, what = data[:place] + rng.bytes(count) + data[place:], f"{count} bytes put in at {place}"
        case 5:
            count = int(rng.integers(1, 4096))
            data, what = data[:place] + bytes(count) + data[place + count :], f"{count} bytes zeroed at {place}"
        case 6:
            changed = bytearray(data)
            places = rng.integers(max(1, len(data)), size=int(rng.integers(1, 20)))
            for each in places if changed else ():
                changed[each] ^= int(rng.integers(1, 256))
            data, what = bytes(changed), f"{len(places)} bytes changed"
        case _:
            data, what = data + data[-place:], "its end repeated"
    path.write_bytes(data)
    return what


def mutate_text(path: Path, rng: Random) -> str:
    """Put text into a file that parsers stumble over: as a line, or as a value."""
    lines = path.read_text(encoding="utf-8").split("\n")
    text = RAW[int(rng.integers(len(RAW)))]
    number = int(rng.integers(len(lines)))
    if rng.random() < 0.5 or ":" not in lines[number]:
        lines.insert(number, text)
        what = "a line"
    else:
        lines[number] = f"{lines[number].split(':')[0]}: {text}"
        what = "a value"
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    return f"{what} at {number + 1}: {text[:40]!r}"


def mutate_json(path: Path, rng: Random) -> str:
    """Change one field of a JSON file: another value, gone, or under another name."""
    content, what = _mutate_tree(json.loads(path.read_text()), rng)
    path.write_text(json.dumps(content))
    return what


def mutate_yaml(path: Path, rng: Random) -> str:
    """Change one field of a YAML file: another value, gone, or under another name."""
    content, what = _mutate_tree(yaml.safe_load(path.read_text()), rng)
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return what


def mutate_parquet(path: Path, rng: Random) -> str:
    """Change one column, or the rows, of a Parquet file."""
    table = pq.ParquetFile(path).read()
    name = table.column_names[int(rng.integers(table.num_columns))]
    number = table.column_names.index(name)
    rows = table.num_rows
    match int(rng.integers(8)):
        case 0:
            table, what = table.drop_columns([name]), "dropped"
        case 1:
            table, what = (
                table.rename_columns([f"{each}x" if each == name else each for each in table.column_names]),
                "renamed",
            )
        case 2:
            table, what = table.set_column(number, name, pa.nulls(rows, table[name].type)), "emptied"
        case 3:
            table, what = table.set_column(number, name, pa.array(["x"] * rows)), "made text"
        case 4:
            values = rng.choice([math.nan, math.inf, -1.0, 1e30], size=rows)
            table, what = table.set_column(number, name, pa.array(values)), "made other numbers"
        case 5:
            order = rng.permutation(rows)
            table, what = table.set_column(number, name, table[name].take(pa.array(order))), "shuffled"
        case 6:
            kept = int(rng.integers(rows))
            table, what = table.slice(0, kept), f"cut to {kept} of {rows} rows"
            name = "all"
        case _:
            values = table[name].to_pylist()
            values[int(rng.integers(rows))] = _spoilt(values[0], rng)
            try:
                table = table.set_column(number, name, pa.array(values, table[name].type))
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                table = table.set_column(number, name, pa.nulls(rows, table[name].type))
            what = "spoilt in one row"
    pq.write_table(table, path)
    return f"column {name} {what}"


def restore(original: Path, damaged: Path) -> None:
    """Put a file or folder back as it was."""
    if damaged.is_dir():
        shutil.rmtree(damaged)
    damaged.unlink(missing_ok=True)
    damaged.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if original.is_dir() else shutil.copy2)(original, damaged)


# -- Inside ------------------------------------------------------------------------------------------------------------


def _spoilt(value: Any, rng: Random) -> Any:
    if isinstance(value, list):
        return [math.nan] * len(value) if rng.random() < 0.5 else value[:-1]
    if isinstance(value, str):
        return "../x"
    return rng.choice([-1, 10**6]) if isinstance(value, int) else math.nan


def _mutate_tree(content: Any, rng: Random) -> tuple[Any, str]:
    places = list(_places(content, ()))
    if not places:
        return HOSTILE[int(rng.integers(len(HOSTILE)))], "all of it"
    where = places[int(rng.integers(len(places)))]
    parent = content
    for key in where[:-1]:
        parent = parent[key]
    name = ".".join(map(str, where))
    kind = rng.random()
    if kind < 0.7:
        value = HOSTILE[int(rng.integers(len(HOSTILE)))]
        parent[where[-1]] = value
        return content, f"{name} = {str(value)[:30]!r}"
    old = parent.pop(where[-1])
    if kind < 0.85 or isinstance(parent, list):
        return content, f"{name} gone"
    parent[f"{where[-1]}x"] = old
    return content, f"{name} renamed"


def _places(content: Any, where: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The path of every node but the root."""
    found: list[tuple[Any, ...]] = []
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in children:
        found += [(*where, key), *_places(value, (*where, key))]
    return found
