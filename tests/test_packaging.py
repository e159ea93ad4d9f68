"""What a user installs is complete: packages, data, types, and a lock that fits."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
FOLDERS: dict[str, str] = SETUPTOOLS["package-dir"]

REFERENCE_POLICY = "policies/act-five-spots"


def packages_in_tree() -> dict[str, Path]:
    """Import name and folder of every folder below a mapped one that holds Python modules."""
    found = {}
    for name, folder in FOLDERS.items():
        top = ROOT / folder
        for place in {top, *(module.parent for module in top.rglob("*.py"))}:
            found[".".join([name, *place.relative_to(top).parts])] = place
    return found


def shipped(name: str) -> set[str]:
    """Files of a package by their place in the wheel: all of them, but for notes and for other policies."""
    top = ROOT / FOLDERS[name]
    files = (path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file())
    return {
        f"{name}/{file}"
        for file in files
        if "__pycache__" not in file
        and not file.endswith(".md")
        and (not file.startswith("policies/") or file.startswith(f"{REFERENCE_POLICY}/"))
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built from a copy of the tree that holds another policy beside the reference."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for folder in FOLDERS.values():
        # Policies may be large, and the build only reads.
        shutil.copytree(ROOT / folder, tree / folder, copy_function=os.symlink)
    for policy in (REFERENCE_POLICY, "policies/another"):
        for name in ("marker.safetensors", "nested/marker.json"):
            marker = tree / FOLDERS["autoarm_assets"] / policy / name
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tree / done.stdout.splitlines()[-1]) as archive:
        return set(archive.namelist())


def test_packages_listed_are_those_in_the_tree() -> None:
    assert set(SETUPTOOLS["packages"]) == set(packages_in_tree())


def test_every_package_has_an_init_file() -> None:
    # Without one, a folder would still import from a checkout, and vanish from linters and type checkers.
    assert [name for name, folder in packages_in_tree().items() if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("name", FOLDERS)
def test_wheel_carries_every_file(wheel: set[str], name: str) -> None:
    assert shipped(name) - wheel == set()
    assert f"{name}/py.typed" in wheel


def test_wheel_carries_the_reference_policy_and_no_other(wheel: set[str]) -> None:
    policies = {name for name in wheel if name.startswith("autoarm_assets/policies/")}
    assert f"autoarm_assets/{REFERENCE_POLICY}/marker.safetensors" in policies
    assert f"autoarm_assets/{REFERENCE_POLICY}/nested/marker.json" in policies
    assert all(name.startswith(f"autoarm_assets/{REFERENCE_POLICY}/") for name in policies)


def test_wheel_puts_only_our_packages_and_the_licence_into_site_packages(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(FOLDERS)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="outside tox the checkout itself is installed")
@pytest.mark.parametrize("name", FOLDERS)
def test_tox_tests_the_installed_wheel(name: str) -> None:
    file = importlib.import_module(name).__file__
    assert file is not None
    site_packages = Path(sysconfig.get_path("purelib"))
    assert Path(file).is_relative_to(site_packages)
    # Processes that tests start must see the same.
    show = [sys.executable, "-c", f"import {name}; print({name}.__file__)"]
    assert subprocess.run(show, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == file


def locked() -> dict[str, list[tuple[str, str]]]:
    """Versions and entries of requirements.lock, by canonical name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for entry in re.split(r"\n(?=[^\s#])", (ROOT / "requirements.lock").read_text()):
        if pin := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", entry):
            found.setdefault(canonicalize_name(pin[1]), []).append((pin[2], entry))
    return found


def test_lock_holds_hashes_and_no_addresses() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
    assert locked()
    for name, pins in locked().items():
        assert all("--hash=sha256:" in entry for _, entry in pins), name


def test_lock_fits_the_dependencies() -> None:
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *PYPROJECT["build-system"]["requires"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    pins = locked()
    for requirement in map(Requirement, wanted):
        versions = [version for version, _ in pins.get(canonicalize_name(requirement.name), [])]
        assert versions, f"{requirement} is not in requirements.lock: run `make lock`"
        assert all(requirement.specifier.contains(version) for version in versions), requirement
