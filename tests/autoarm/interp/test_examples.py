"""Each example runs, on a small network and two episodes, and leaves what it promises."""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.lengthy

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
FILES: dict[str, list[str]] = {
    "absorption": ["absorption.png", "absorption.npz"],
    "action_lens": ["action-lens.svg"],
    "attribution": ["attribution.png", "faithfulness.csv"],
    "closed_loop": [],
    "image_lens": ["image-lens.png"],
    "knockouts": ["knockouts.npz"],
    "memory_units": ["fields.png", "field-scores.csv"],
    "probes": ["probes.png"],
    "slope": ["slope.png", "slope-map.png"],
    "steering": ["steering.npz"],
    "token_masking": ["tokens.npz"],
    "tracing": ["tracing.png", "tracing.npz"],
}
SMALL: dict[str, Any] = {
    "image_size": (64, 96),
    "every": 12,
    "positions": 3,
    "episodes": 1,
    "time_limit": 8,
    "slot": 2,
    "most_steps": 32,
}


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(FILES)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("name", FILES)
def test_example(
    name: str,
    checkpoint: Path,
    tiny_dataset: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AUTOARM_CACHE", str(cache))
    main = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]
    known = SMALL | {"policy": str(checkpoint), "dataset": tiny_dataset, "out": tmp_path}
    main(**{key: value for key, value in known.items() if key in inspect.signature(main).parameters})
    assert capsys.readouterr().out
    for file in FILES[name]:
        assert (tmp_path / file).stat().st_size > 0
