"""What people do next, said at the end of a command."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def next_step(*words: str | Path) -> None:
    """Name the command that usually follows, where somebody reads along."""
    if sys.stderr.isatty():
        print(f"next: {shlex.join(['autoarm', *map(str, words)])}", file=sys.stderr)
