"""What can be imported from `autoarm.interp` itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

import autoarm.interp


@pytest.mark.parametrize("name", autoarm.interp.__all__)
def test_every_exported_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(autoarm.interp, name)
    assert found.__name__ == name
    summary = (found.__doc__ or "").splitlines()[0]
    assert len(summary.split()) > 3


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        autoarm.interp.nothing  # noqa: B018 - asking for it is the test


def test_the_package_alone_does_not_import_torch() -> None:
    script = "import sys, autoarm.interp; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
