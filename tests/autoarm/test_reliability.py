"""A few hundred damaged files of every kind: each is refused with a cure, or opened, and nothing else happens."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks/reliability"


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """The script, whose modules lie beside it."""
    sys.path.insert(0, str(FOLDER))
    found = importlib.util.spec_from_file_location("reliability_files", FOLDER / "files.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    yield module
    sys.path.remove(str(FOLDER))
    for name in (found.name, "kinds", "mutations"):
        sys.modules.pop(name, None)


def test_damaged_files_of_every_kind(benchmark: ModuleType, tiny_dataset: Path) -> None:
    cases = []
    for kind in benchmark.KINDS:
        if kind.name.startswith("dataset"):
            kind = replace(kind, make=lambda folder: shutil.copytree(tiny_dataset, folder / "data"))
        cases += benchmark.campaign(kind, range(5), seed=1_000_000)
    assert [case for case in cases if case.outcome == "fault"] == []
    counts = Counter(case.outcome for case in cases)
    assert counts["refused"] > counts["accepted"] > 0


def test_a_fault_is_noticed(benchmark: ModuleType) -> None:
    (kind,) = (kind for kind in benchmark.KINDS if kind.name == "camera")

    def careless(folder: Path) -> object:
        return [float(line.split(":")[1]) for line in (folder / "top.yaml").read_text().splitlines() if "fovy" in line]

    cases = benchmark.campaign(replace(kind, use=careless), range(40))
    assert any(case.outcome == "fault" for case in cases)
    assert cases == benchmark.campaign(replace(kind, use=careless), range(40))
