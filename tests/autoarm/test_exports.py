"""`import autoarm` gives what people need, quickly."""

import inspect
import subprocess
import sys

import pytest

import autoarm


@pytest.mark.parametrize("name", autoarm.__all__)
def test_every_exported_name_is_there_and_explained(name):
    found = getattr(autoarm, name)
    assert callable(found), "a name must not give the module in which it lies"
    assert (inspect.getdoc(found) or "").strip()
    assert name in dir(autoarm)
    assert f"`{name}`" in (autoarm.__doc__ or "")


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="evaluater"):
        _ = autoarm.evaluater


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, autoarm; print([m for m in ('torch', 'lerobot', 'mujoco', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
