"""`scripts/setup.sh` repeats no work, recovers from interruptions, and says what is missing.

uv is replaced by a script that keeps a diary and makes a `.venv` around the running interpreter; everything
else is real.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("pyproject.toml", "requirements.lock", "scripts/setup.sh", "scripts/check_gl.py")

UV = """#!/bin/sh
if [ "$1" = --version ]; then echo "uv ${FAKE_UV_VERSION:-0.13.8}"; exit; fi
echo "$*" >>"$DIARY"
case "$1 $2" in
"$FAKE_UV_FAILS") exit 1 ;;
venv*)
    rm -rf .venv
    mkdir -p .venv/bin
    printf '#!/bin/sh\\nexec "%s" "$@"\\n' "$PYTHON" >.venv/bin/python
    chmod +x .venv/bin/python
    ;;
esac
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="messages and packages are Linux's")


@dataclass
class Checkout:
    """A copy of what the script reads, with a `bin` folder that is all of PATH."""

    root: Path

    def setup(self, **environment: str) -> tuple[int, str, list[str]]:
        """Exit code, output, and uv's jobs of one run of the script."""
        diary = self.root / "diary"
        diary.write_text("")
        variables: Mapping[str, str] = {
            **{name: value for name, value in os.environ.items() if name != "MUJOCO_GL"},
            "PATH": str(self.root / "bin"),
            "DIARY": str(diary),
            "PYTHON": sys.executable,
            "FAKE_UV_FAILS": "never",
            **environment,
        }
        done = subprocess.run(
            ["/bin/sh", "scripts/setup.sh"],
            cwd=self.root,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        jobs = [" ".join(line.split()[:2]) for line in diary.read_text().splitlines()]
        return done.returncode, done.stdout + done.stderr, jobs

    def add_tool(self, name: str, text: str) -> None:
        """Put a script on the checkout's PATH."""
        tool = self.root / "bin" / name
        tool.write_text(text)
        tool.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for tool in ("awk", "cat", "chmod", "cksum", "dirname", "id", "mkdir", "mv", "rm", "sh", "uname"):
        found = shutil.which(tool)
        assert found
        (tmp_path / "bin" / tool).symlink_to(found)
    made = Checkout(tmp_path)
    made.add_tool("uv", UV)
    return made


FIRST_RUN = ["venv --quiet", "pip sync", "pip install"]


def test_second_run_does_nothing(checkout: Checkout) -> None:
    code, output, jobs = checkout.setup()
    assert (code, jobs) == (0, FIRST_RUN), output
    assert checkout.setup() == (0, "setup: ready\n", [])


def test_lock_is_installed_with_hashes_required(checkout: Checkout) -> None:
    checkout.setup()
    sync = next(line for line in (checkout.root / "diary").read_text().splitlines() if "sync" in line)
    assert "--require-hashes" in sync.split()
    assert sync.endswith("requirements.lock")


def test_new_lock_is_installed_into_the_same_venv(checkout: Checkout) -> None:
    checkout.setup()
    lock = checkout.root / "requirements.lock"
    lock.write_text(lock.read_text() + "# newer\n")
    assert checkout.setup()[2] == ["pip sync", "pip install"]


def test_touched_files_change_nothing(checkout: Checkout) -> None:
    checkout.setup()
    for name in FILES:
        os.utime(checkout.root / name)
    assert checkout.setup()[2] == []


@pytest.mark.parametrize("job", ["pip sync", "pip install"])
def test_interrupted_run_starts_afresh(checkout: Checkout, job: str) -> None:
    code, output, _ = checkout.setup(FAKE_UV_FAILS=job)
    assert code == 2
    assert "could not be installed" in output
    assert checkout.setup()[::2] == (0, FIRST_RUN)


def test_broken_venv_is_made_anew(checkout: Checkout) -> None:
    checkout.setup()
    (checkout.root / ".venv/bin/python").unlink()
    assert checkout.setup()[::2] == (0, FIRST_RUN)


def test_no_python_says_which(checkout: Checkout) -> None:
    code, output, _ = checkout.setup(FAKE_UV_FAILS="venv --quiet")
    assert code == 2
    assert "no Python >=3.12,<3.14 was found" in output


@pytest.mark.parametrize("version", ["0.7.22", "missing"])
def test_without_uv_and_venv_says_what_to_install(checkout: Checkout, version: str) -> None:
    if version == "missing":
        (checkout.root / "bin/uv").unlink()
    checkout.add_tool("python3", "#!/bin/sh\nexit 1\n")  # as on Debian without python3-venv
    code, output, jobs = checkout.setup(FAKE_UV_VERSION=version)
    assert (code, jobs) == (2, [])
    assert "apt-get install python3-venv" in output


NO_DRIVER = {"__EGL_VENDOR_LIBRARY_FILENAMES": os.devnull}


def test_without_gl_says_what_to_install(checkout: Checkout) -> None:
    code, output, _ = checkout.setup(**NO_DRIVER)
    assert code == 2
    assert "apt-get install --no-install-recommends libegl1 libopengl0 libgl1-mesa-dri" in output
    # A later run, with GL, still has to finish the job.
    assert checkout.setup()[0] == 0


def test_without_gl_and_with_apt_installs_it(checkout: Checkout) -> None:
    log = checkout.root / "apt.log"
    checkout.add_tool("apt-get", f'#!/bin/sh\necho "$*" >>"{log}"\n')
    checkout.add_tool("sudo", '#!/bin/sh\nshift\nexec "$@"\n')
    (checkout.root / "bin/env").symlink_to("/usr/bin/env")
    code, output, _ = checkout.setup(**NO_DRIVER)
    # Here the packages do not bring the driver back, so that it stops in the end.
    assert code == 2, output
    assert log.read_text().splitlines() == [
        "-qq update",
        "-qq install -y --no-install-recommends libegl1 libopengl0 libgl1-mesa-dri",
    ]


def test_gl_chosen_by_the_user_is_not_replaced(checkout: Checkout) -> None:
    code, output, _ = checkout.setup(MUJOCO_GL="nonsense")
    assert code == 2
    assert "MUJOCO_GL=nonsense" in output
    assert "Unset MUJOCO_GL" in output
