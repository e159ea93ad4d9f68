"""Faults by the hundred against a guarded arm, and proof that the witness would see what must not happen."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from autoarm_hardware import safety
from autoarm_hardware.safety import Guard
from autoarm_hardware.servos import Limits, ServoError
from autoarm_hardware.twin.faults import Noise, NoiseMaker
from autoarm_hardware.twin.line import VirtualLine
from gym_autoarm import spec
from gym_autoarm.scene import HOME

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "hardware" / "campaign.py"


def load(script: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(f"{script.stem}_benchmark", script)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


benchmark = load(BENCHMARK)
BenchArm, campaign = benchmark.BenchArm, benchmark.campaign


def guarded(arm: Any, **options: Any) -> Guard:
    # As quick as may be: what is tested is the other limit.
    return Guard(arm.driver, Limits(step=benchmark.STEP, speed=1e4), sleep=arm.line.sleep, now=arm.line.now, **options)


def test_two_hundred_faults_do_no_harm() -> None:
    summary = benchmark.campaigns(200, seed=1_000_000)
    assert summary.violations == []
    assert summary.faults >= 200
    assert set(summary.by_kind) == set(benchmark.KINDS)
    # It was not safe by standing still: commands were sent, and most campaigns went on to the fault.
    assert summary.commands > 5 * summary.campaigns
    assert 0 < summary.stopped < summary.campaigns


def test_campaign_is_decided_by_its_seed() -> None:
    assert campaign(5, "mixed") == campaign(5, "mixed")


@pytest.mark.parametrize("trusting", [False, True])
def test_witness_sees_commands_built_on_late_answers(monkeypatch: pytest.MonkeyPatch, trusting: bool) -> None:
    if trusting:  # a guard that takes whatever comes first
        monkeypatch.setattr(VirtualLine, "reset_input_buffer", lambda line: None)
        monkeypatch.setattr(safety, "_SUSPICION", 0.0)
    arm = BenchArm()
    guard = guarded(arm, retries=1)
    for step in range(30):
        if step == 5:
            arm.line.hold_up(0.01, lag=0.06)
        guard.send(np.array(HOME) + (25.0 if step % 10 < 5 else -25.0) * np.array([1, 0, 0, 0, 0, 0]))
        arm.line.sleep(1 / spec.FPS)
    assert any("too far" in violation for violation in arm.violations) is trusting


def test_witness_sees_goals_beyond_the_limits() -> None:
    arm = BenchArm()
    far = dict(zip(spec.JOINTS, map(float, spec.ACTION_HIGH + 5), strict=True)) | {"gripper": 50.0}
    arm.driver.sync_write("Goal_Position", far)
    assert any("beyond" in violation for violation in arm.violations)


def test_late_answers_are_not_taken_for_the_next() -> None:
    arm = BenchArm()
    guard = guarded(arm)
    guard.send(np.array(HOME))
    arm.bus._noise = NoiseMaker(Noise(late=1.0, lateness=0.06), 0, "line")
    with pytest.raises(ServoError, match="Present_Position"):
        guard.position()
    arm.bus._noise = None
    # A person takes the arm elsewhere while the answers of before are on their way.
    for servo, joint in zip(arm.servos, arm.joints, strict=True):
        servo["Torque_Enable"] = 0
        joint.ticks += 100.0
    for _ in range(10):
        with suppress(ServoError):
            assert np.abs(guard.position() - arm.position).max() < 0.2
    assert np.abs(guard.position() - arm.position).max() < 0.2


def test_nothing_is_sent_until_a_reading_succeeds() -> None:
    arm = BenchArm()
    guard = guarded(arm)
    sent: list[object] = []
    arm.bus.witness = sent.append
    arm.bus.silent.add(3)
    for _ in range(3):
        with pytest.raises(ServoError, match=r"servo 3 \(elbow_flex\): Present_Position"):
            guard.send(np.array(HOME))
    assert sent == []
    arm.bus.silent.clear()
    guard.send(np.array(HOME))
    assert len(sent) == 1


def test_retries_bridge_single_faults() -> None:
    arm = BenchArm(NoiseMaker(Noise(dropped=0.01), 7, "line"))
    guard = guarded(arm, retries=3)
    for _ in range(50):
        guard.send(np.array(HOME))
        guard.watch()
    assert arm.violations == []


def test_only_a_joint_that_stands_still_is_overloaded() -> None:
    arm = BenchArm()
    guard = guarded(arm)
    measure = arm.joints[1].motion
    arm.joints[1].motion = lambda: measure()._replace(load=1.0)  # type: ignore[method-assign]

    def swing(degrees: float) -> None:
        for step in range(60):
            goal = np.array(HOME)
            goal[1] += degrees if step % 20 < 10 else 0
            guard.send(goal)
            guard.watch()
            arm.line.sleep(1 / spec.FPS)

    swing(20.0)
    with pytest.raises(ServoError, match=r"servo 2 \(shoulder_lift\): Present_Load"):
        swing(0.0)
