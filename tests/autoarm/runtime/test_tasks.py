"""Tasks over processes: none is lost, none is left behind, and nothing depends on how many there are."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from autoarm.runtime.tasks import in_order, run_tasks
from gym_autoarm.errors import AutoArmError, InvalidInputError, MissingDependencyError

# In a module of its own, because processes that are spawned import what they are to do.
WORK = '''
import os, signal, time
from dataclasses import dataclass
from pathlib import Path

from gym_autoarm.errors import InvalidFileError


@dataclass
class Start:
    """Squares numbers, and leaves traces in a folder."""

    folder: Path
    trouble: str = ""

    def __call__(self):
        (self.folder / f"started-{os.getpid()}").touch()
        if self.trouble == "start":
            raise InvalidFileError("is broken", file="policy", field="weights", cure="mend it")
        return Square(self)


@dataclass
class Square:
    by: Start

    def __call__(self, number):
        attempts = len(list(self.by.folder.glob(f"attempt-{number}-*")))
        (self.by.folder / f"attempt-{number}-{attempts}").touch()
        if number == 3:
            match self.by.trouble, attempts:
                case ("killed once", 0) | ("killed always", _):
                    os.kill(os.getpid(), signal.SIGKILL)
                case "exits", 0:
                    os._exit(7)
                case "raises", _:
                    raise InvalidFileError("is broken", file="task", field="three", cure="mend it")
                case "raises its own", _:
                    raise Unportable("secret", of="three")
                case "returns a lock", _:
                    return lambda: None
                case "hangs", _:
                    time.sleep(60)
        return number**2

    def close(self):
        (self.by.folder / f"closed-{os.getpid()}").touch()


class Unportable(Exception):
    def __init__(self, text, *, of):
        super().__init__(text, of)


def threads(_):
    import numpy, threadpoolctl
    pools = {pool["internal_api"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    return pools, {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "LP_NUM_THREADS")}


def start_threads():
    return threads


def interruptions_are_held(_):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def start_interruptions_are_held():
    return interruptions_are_held
'''


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    import importlib

    code = tmp_path / "code"
    code.mkdir()
    (code / "squaring.py").write_text(WORK)
    monkeypatch.syspath_prepend(code)
    importlib.invalidate_caches()
    yield importlib.import_module("squaring")
    del sys.modules["squaring"]


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir()
    return folder


def count(folder: Path, pattern: str) -> int:
    return len(list(folder.glob(pattern)))


def children() -> list[psutil.Process]:
    """Our processes, without multiprocessing's own helpers, which stay until the interpreter ends."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
        and not any(helper in " ".join(child.cmdline()) for helper in ("resource_tracker", "forkserver"))
    ]


# -- What is done ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_done_once_and_what_was_made_is_closed(work, traces, workers):
    tasks = list(range(7))
    before = children()
    done = dict(run_tasks(tasks, work.Start(traces), workers=workers))
    assert done == {number: number**2 for number in tasks}
    assert count(traces, "attempt-*") == len(tasks)
    assert count(traces, "started-*") == count(traces, "closed-*") <= workers
    here = traces / f"started-{os.getpid()}"
    assert here.exists() == (workers == 1)
    assert children() == before


def test_no_tasks_start_nothing(work, traces):
    assert list(run_tasks([], work.Start(traces), workers=2)) == []
    assert list(run_tasks([], work.Start(traces), ray="auto")) == []
    assert list(traces.iterdir()) == []


def test_order_is_restored_whatever_the_order_of_completion():
    order = list(range(20))
    random.Random(1).shuffle(order)
    taken = []

    def complete():
        for index in order:
            taken.append(index)
            yield index, index**2

    results = in_order(complete())
    for expected in range(20):
        assert next(results) == expected**2
        # No sooner and no later than those before it are there.
        assert set(range(expected + 1)) <= set(taken)
        assert len(taken) == 1 + max(order.index(index) for index in range(expected + 1))
    assert next(results, None) is None


def test_a_process_has_one_thread(work, monkeypatch):
    for name in ("OMP_NUM_THREADS", "LP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for _, (pools, environment) in run_tasks([0, 1], work.start_threads, workers=2):
        assert set(pools.values()) == {1}
        assert environment == {"OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}
    assert "LP_NUM_THREADS" not in os.environ


# -- Processes that die ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trouble", "said"), [("killed once", "signal SIGKILL"), ("exits", "exit code 7")])
def test_a_process_that_dies_loses_nothing(work, traces, trouble, said):
    retried = []
    run = run_tasks(
        range(6), work.Start(traces, trouble), workers=2, on_retry=lambda index, reason: retried.append((index, reason))
    )
    assert dict(run) == {number: number**2 for number in range(6)}
    ((index, reason),) = retried
    assert index == 3
    assert said in reason
    assert (count(traces, "attempt-*"), count(traces, "attempt-3-*")) == (7, 2)


def test_a_task_that_always_kills_its_process_is_named(work, traces):
    retried = []
    with pytest.raises(AutoArmError, match=r"task 3: .* 3 times.*SIGKILL"):
        list(
            run_tasks(range(6), work.Start(traces, "killed always"), workers=2, on_retry=lambda *at: retried.append(at))
        )
    assert count(traces, "attempt-3-*") == 3
    assert [index for index, _ in retried] == [3, 3]
    assert not children()


# -- Errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("trouble", "file"), [("start", "policy"), ("raises", "task")])
def test_what_is_raised_comes_home_as_itself_and_is_not_tried_again(work, traces, workers, trouble, file):
    with pytest.raises(AutoArmError, match="is broken") as caught:
        list(run_tasks(range(2, 9), work.Start(traces, trouble), workers=workers, on_retry=pytest.fail))
    assert (type(caught.value).__name__, caught.value.file, caught.value.cure) == ("InvalidFileError", file, "mend it")
    assert count(traces, "attempt-3-*") <= 1
    assert not children()
    if workers > 1:
        assert "squaring.py" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("trouble", "said"), [("raises its own", "Unportable: .*secret"), ("returns a lock", "pickle")]
)
def test_what_cannot_travel_is_said(work, traces, trouble, said):
    with pytest.raises(Exception, match=said):
        list(run_tasks(range(2, 6), work.Start(traces, trouble), workers=2))


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"retries": -1}])
def test_numbers_that_make_no_sense_are_refused_at_once(work, traces, wrong):
    with pytest.raises(InvalidInputError) as caught:
        run_tasks([1], work.Start(traces), **wrong)
    assert caught.value.field in wrong


# -- Stopping ----------------------------------------------------------------------------------------------------------


def test_closing_ends_the_processes_at_once(work, traces):
    results = run_tasks([1, 3, 2], work.Start(traces, "hangs"), workers=2)
    assert next(results) == (0, 1)
    assert children()
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 2
    assert not children()


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {code!r})
from squaring import Start
from autoarm.runtime.tasks import run_tasks
if __name__ == "__main__":
    for index, _ in run_tasks([1, 3, 3], Start(Path({traces!r}), "hangs"), workers=2):
        print(index, flush=True)
"""


HELD = """
import sys
sys.path.insert(0, {code!r})
from squaring import start_interruptions_are_held
from autoarm.runtime.tasks import run_tasks
if __name__ == "__main__":
    print([held for _, held in run_tasks([1, 2], start_interruptions_are_held, workers=2)])
"""


def test_no_process_sees_an_interruption(work, tmp_path):
    """In a fresh interpreter: the first process that multiprocessing starts is a special one."""
    script = tmp_path / "script.py"
    script.write_text(HELD.format(code=str(tmp_path / "code")))
    assert (
        subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout == "[True, True]\n"
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_end_from_outside_leaves_no_process_behind(work, traces, tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.format(code=str(tmp_path / "code"), traces=str(traces)))
    # In a group of its own, all of which a terminal's Ctrl-C would reach; where these tests run in the background,
    # a shell has told them to ignore it.
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout.readline() == "0\n"
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) >= 2
        os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    if how == signal.SIGINT:
        assert said.count("KeyboardInterrupt") == 1  # the parent's own, and none of the processes'


# -- Ray ---------------------------------------------------------------------------------------------------------------


def test_without_ray_the_extra_is_named(work, traces, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"autoarm\[ray\]"):
        run_tasks([1], work.Start(traces), ray="auto")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"])
def test_a_cluster_out_of_reach_is_an_error(work, traces, address):
    pytest.importorskip("ray")
    with pytest.raises(InvalidInputError, match="no Ray cluster at") as caught:
        list(run_tasks([1], work.Start(traces), ray=address))
    assert caught.value.field == "ray"
