"""The twin's physics beside the environment's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autoarm_hardware.twin import protocol
from autoarm_hardware.twin.calibration import Encoders, follower_calibration, write_calibration
from autoarm_hardware.twin.control_table import REGISTERS
from autoarm_hardware.twin.device import Arm, Settings
from autoarm_hardware.twin.hand import SWEEP_PERIOD, Hand, sweep
from autoarm_hardware.twin.protocol import Parser
from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.body_files import DEFAULT_BODY, STIFF_BODY, shipped_body
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.expert import Expert, Style
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene
from gym_autoarm.servo import STALL_TORQUE
from gym_autoarm.task import TaskMonitor

BAUD = 1_000_000
GOAL, PRESENT = REGISTERS["Goal_Position"].address, REGISTERS["Present_Position"].address
CALIBRATION = follower_calibration()
TICK = 360 / 4095
STRETCHED = (0.0, 0.0, 0.0, 0.0, 0.0, 50.0)
MEASURED, STIFF = shipped_body(DEFAULT_BODY), shipped_body(STIFF_BODY)


def ticks(position: NDArray[Any]) -> dict[int, bytes]:
    """Goal_Position by id, as LeRobot computes it from degrees and from the gripper's opening."""
    out = {}
    for joint, value in zip(spec.JOINTS, position, strict=True):
        entry = CALIBRATION[joint]
        if joint == "gripper":
            raw = int(entry.range_min + value / 100 * (entry.range_max - entry.range_min))
        else:
            raw = int(value * 4095 / 360 + entry.middle)
        out[entry.id] = raw.to_bytes(2, "little")
    return out


def calibrated(scene: Scene, mover: Hand | None = None) -> Arm:
    """An arm whose servos remember the calibration that fits."""
    arm = Arm("follower", Settings(scene=scene), CALIBRATION, mover)
    write_calibration(arm.servos, CALIBRATION)
    return arm


def powered(scene: Scene) -> Arm:
    """An arm that stands at the scene's start, motors on, with LeRobot's coefficients."""
    arm = calibrated(scene)
    for servo in arm.servos:
        servo["P_Coefficient"], servo["D_Coefficient"], servo["Torque_Enable"] = 16, 32, 1
    return arm


def move(arm: Arm, goal: NDArray[Any]) -> None:
    """One control step of 1/30 s, as a program on the bus makes it."""
    assert arm.bus.answer(protocol.sync_write(ticks(goal), GOAL), BAUD) == []
    arm.body.advance(1 / spec.FPS)


def test_positions_read_on_the_bus_are_the_bodys() -> None:
    arm = powered(Scene(start=STRETCHED))
    replies = arm.bus.answer(protocol.sync_read(range(1, 7), PRESENT, 2), BAUD)
    answers = Parser().feed(b"".join(reply.data for reply in replies))
    for answer, joint, position in zip(answers, spec.JOINTS, arm.body.position, strict=True):
        entry = CALIBRATION[joint]
        raw = int.from_bytes(answer.parameters, "little")
        if joint == "gripper":
            read = 100 * (raw - entry.range_min) / (entry.range_max - entry.range_min)
        else:
            read = (raw - entry.middle) * TICK
        assert read == pytest.approx(position, abs=TICK)


# Goals on the bus are whole ticks, and a stiff servo, which an error of 0.2 degrees saturates, makes more of a tick.
@pytest.mark.parametrize(("body", "apart"), [(MEASURED, TICK), (STIFF, 0.4)])
@pytest.mark.parametrize("changes", [{}, {"delay": 0.07}, {"backlash": 2.0}])
def test_body_moves_as_the_environment_does(body: Body, apart: float, changes: dict[str, float]) -> None:
    scene = Scene(body=replace(body, **changes), start=STRETCHED)
    env, arm = PickIntoBoxEnv(cameras=False), powered(scene)
    env.reset(options={"scene": scene})
    arm.body.advance(env.data.time)
    for step in range(90):
        goal = np.array(STRETCHED) + 20 * np.sin(step / 15) * np.array([1, 0.5, -0.5, 1, 1, 1])
        observation, *_ = env.step(goal.astype(np.float32))
        move(arm, goal)
        assert np.abs(observation["agent_pos"] - arm.body.position).max() < apart
    env.close()


@pytest.mark.lengthy
def test_expert_places_the_cube_through_the_bus() -> None:
    placed = 0
    for seed in range(40):
        scene = SceneDistribution().sample(seed)
        env = PickIntoBoxEnv(cameras=False)
        _, info = env.reset(options={"scene": scene})
        style = Style.sample(seed)
        plan = Expert().plan(info["cube_pose"], info["box_pose"], scene.start, style, scene.cube.size, body=scene.body)
        env.close()
        arm = powered(scene)
        monitor = TaskMonitor(arm.body.model, scene)
        for goal in plan:
            move(arm, goal)
            monitor.update(arm.body.data)
            assert not any(servo.status for servo in arm.servos)  # none presses too hard for too long
        placed += monitor.is_success
    assert placed >= 38


def heights(arm: Arm, seconds: float) -> NDArray[np.float64]:
    """Height of the fingertips in each hundredth of a second, metres."""
    found = []
    for _ in range(round(100 * seconds)):
        arm.body.advance(0.01)
        found.append(arm.body.data.site("grasp").xpos[2])
    return np.array(found)


def test_arm_without_torque_falls_and_comes_to_rest() -> None:
    arm = calibrated(Scene(start=STRETCHED))
    fall = heights(arm, 4.0)
    assert fall[-1] < fall[0] - 0.05
    assert np.abs(arm.body.data.qvel[:6]).max() < 0.05
    held = powered(Scene(start=STRETCHED))
    held.body.advance(4.0)
    assert np.abs(held.body.position - STRETCHED).max() < 1.0


def test_motor_that_is_off_does_not_brake() -> None:
    braked = replace(MEASURED, servos=tuple(replace(servo, damping_off=None) for servo in MEASURED.servos))
    fastest = [
        -np.diff(heights(calibrated(Scene(start=STRETCHED, body=body)), 2.0)).min() / 0.01
        for body in (MEASURED, braked)
    ]
    assert 0.5 < fastest[0] < 1.0
    assert fastest[0] > 2 * fastest[1]


def test_load_is_the_share_of_the_error_that_the_motor_saturates_at() -> None:
    arm = powered(Scene(start=STRETCHED))
    arm.body.advance(0.5)
    arm.body.data.qpos[0] = np.radians(5.4)  # held there, by the test
    for p, load in ((16, -250), (32, -500), (64, -1000)):
        arm.servos[0]["P_Coefficient"] = p
        assert arm.servos[0]["Present_Load"] == pytest.approx(load, abs=5)
        assert arm.servos[0]["Present_Current"] == pytest.approx(-load / 1000 * 2.7 / 0.0065, abs=5)
    arm.servos[0]["Torque_Limit"] = 300
    assert arm.servos[0]["Present_Load"] == -300
    arm.servos[0]["Torque_Enable"] = 0
    assert arm.servos[0]["Present_Load"] == 0


def test_stiff_arms_load_is_its_torque() -> None:
    arm = powered(Scene(start=STRETCHED, body=STIFF))
    arm.body.advance(1.0)
    for index, servo in enumerate(arm.servos):
        share = arm.body.data.actuator_force[index] / STALL_TORQUE
        assert servo["Present_Load"] == pytest.approx(1000 * share, abs=2)
    assert abs(arm.servos[1]["Present_Load"]) > 50  # it holds the arm up


def test_torque_limit_is_a_limit() -> None:
    arm = powered(Scene(start=STRETCHED))
    arm.body.advance(0.5)
    for servo in arm.servos:
        servo["Torque_Limit"] = 20
    arm.servos[0]["Goal_Position"] = CALIBRATION["shoulder_pan"].range_max
    arm.body.advance(0.5)
    assert arm.servos[0]["Present_Load"] == 20
    assert max(abs(servo["Present_Load"]) for servo in arm.servos) <= 20
    # 2 % of what moves it at full duty is less than its gears' friction.
    assert abs(arm.body.position[0]) < 0.1


def test_goal_velocity_is_kept() -> None:
    arm = powered(Scene(start=STRETCHED, body=STIFF))
    arm.servos[0]["Goal_Velocity"] = 341  # 30 degrees/s
    arm.servos[0]["Goal_Position"] = CALIBRATION["shoulder_pan"].range_max
    arm.body.advance(1.0)
    assert arm.body.position[0] == pytest.approx(30.0, abs=1.5)
    assert arm.servos[0]["Present_Velocity"] == pytest.approx(341, rel=0.1)
    arm.servos[0]["Operating_Mode"] = 1
    arm.servos[0]["Goal_Velocity"] = -341
    arm.body.advance(1.0)
    assert arm.body.position[0] == pytest.approx(0.0, abs=3.0)


def test_softer_coefficients_make_a_softer_arm() -> None:
    sag = {}
    for p in (2, 16):
        arm = powered(Scene(start=STRETCHED))
        arm.servos[1]["P_Coefficient"] = p
        arm.body.advance(3.0)
        sag[p] = abs(arm.body.position[1])
    assert sag[2] > 3 * sag[16] > 0


def test_sweeping_hand_takes_every_joint_through_its_calibrated_range() -> None:
    arm = calibrated(Scene(), sweep)
    low, high = np.full(6, np.inf), np.full(6, -np.inf)
    for _ in range(int(SWEEP_PERIOD / 0.02)):
        arm.body.advance(0.02)
        read = [servo["Present_Position"] for servo in arm.servos]
        low, high = np.minimum(low, read), np.maximum(high, read)
    for index, joint in enumerate(spec.JOINTS):
        if joint != "wrist_roll":
            assert abs(low[index] - CALIBRATION[joint].range_min) < 20, joint
            assert abs(high[index] - CALIBRATION[joint].range_max) < 20, joint


def test_encoders_stay_within_a_turn() -> None:
    encoders = Encoders.mounted(CALIBRATION)
    for bound in (spec.ACTION_LOW, spec.ACTION_HIGH):
        raw = encoders.zero + encoders.scale * bound
        assert ((raw > 0) & (raw < 4095)).all()
