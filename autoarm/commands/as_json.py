"""What measuring commands print for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoarm.results.result import Result


def print_json(content: Any) -> None:
    """Print plain data, and nothing else, on standard output."""
    print(json.dumps(content, indent=2))


def result_data(result: Result, out: Path | None) -> dict[str, Any]:
    """A result without its rows: who, how often, where the file is, and what went wrong in which episode."""
    from autoarm.policies.track import track_of

    return {
        "policy": result.policy.name,
        "track": track_of(result.policy),
        "suite": None if result.setting.suite is None else result.setting.suite.name,
        "overall": result.overall.model_dump(),
        "groups": {name: interval.model_dump() for name, interval in result.groups.items()},
        "levels": {name: interval.model_dump() for name, interval in result.levels.items()},
        "errors": [{"seed": row.seed, "error": row.error} for row in result.rows if row.error is not None],
        "file": None if out is None else str(out),
    }
