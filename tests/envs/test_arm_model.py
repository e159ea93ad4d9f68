"""The arm is an SO-101: its table of facts was computed elsewhere, from the published model (see the JSON file)."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from gym_autoarm import spec
from gym_autoarm.body_files import body_names, load_body
from gym_autoarm.kinematics import ArmKinematics, from_radians, to_radians
from gym_autoarm.model import compile_scene
from gym_autoarm.scene import Scene

FACTS: dict[str, Any] = json.loads((Path(__file__).parent / "so101_kinematics.json").read_text())
LINKS: dict[str, dict[str, Any]] = FACTS["links"]
POSES: dict[str, dict[str, Any]] = FACTS["forward_kinematics"]


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    with as_file(files("autoarm_assets") / "so101.xml") as path:
        return mujoco.MjModel.from_xml_path(str(path))


@pytest.mark.parametrize("pose", POSES)
def test_every_link_is_where_the_published_model_has_it(pose: str) -> None:
    joints = from_radians(np.array(POSES[pose]["joints"], float))
    for body, expected in POSES[pose]["bodies"].items():
        position, quaternion = ArmKinematics().body_pose(joints, body)
        assert np.linalg.norm(position - expected["position"]) < 1e-4, body
        # Quaternions of both signs are the same turn; 1 - |cos(half)| of a tenth of a degree is 4e-7.
        wanted = np.array(expected["quaternion"]) / np.linalg.norm(expected["quaternion"])
        assert 1 - abs(quaternion @ wanted) < 4e-7, body


@pytest.mark.parametrize("pose", POSES)
def test_gripper_frame_is_where_the_published_model_has_it(pose: str) -> None:
    expected = POSES[pose]["gripperframe"]
    position, rotation = ArmKinematics().forward(from_radians(np.array(POSES[pose]["joints"], float)), "gripperframe")
    assert np.linalg.norm(position - expected["position"]) < 1e-4
    assert np.abs(rotation - expected["rotation"]).max() < 2e-4  # the table has four decimals


def test_links_chain_as_published(model: mujoco.MjModel) -> None:
    for name, link in LINKS.items():
        parent = model.body(model.body(name).parentid[0]).name
        assert parent == link["parent"]


@pytest.mark.parametrize("name", LINKS)
def test_inertia_of_link(model: mujoco.MjModel, name: str) -> None:
    expected, body = LINKS[name], model.body(name)
    assert body.mass[0] == pytest.approx(expected["mass"], rel=1e-6)
    np.testing.assert_allclose(body.ipos, expected["com"], atol=1e-7)
    # MuJoCo keeps principal moments and the turn to their axes.
    axes = np.empty(9)
    mujoco.mju_quat2Mat(axes, body.iquat)
    axes = axes.reshape(3, 3)
    inertia = axes @ np.diag(body.inertia) @ axes.T
    xx, yy, zz, xy, xz, yz = expected["inertia_xx_yy_zz_xy_xz_yz"]
    np.testing.assert_allclose(inertia, [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], rtol=1e-3, atol=2e-10)


def test_total_mass(model: mujoco.MjModel) -> None:
    assert model.body_mass.sum() == pytest.approx(FACTS["total_mass"], abs=1e-6)


def test_joint_limits_are_the_published_ones_and_those_of_the_contract(model: mujoco.MjModel) -> None:
    joints = {model.joint(index).name: model.joint(index) for index in range(model.njnt)}
    assert tuple(joints) == spec.JOINTS
    ranges = np.array([joint.range for joint in joints.values()])
    published = np.array([link["range"] for link in LINKS.values() if "range" in link])
    np.testing.assert_allclose(ranges, published, atol=1e-9)
    contract = np.stack([to_radians(spec.ACTION_LOW), to_radians(spec.ACTION_HIGH)], axis=1)
    np.testing.assert_allclose(ranges, contract, atol=1e-6)


def test_arm_does_not_meet_itself() -> None:
    model = compile_scene(Scene())
    for body in range(model.nbody):
        if model.body(body).name in LINKS:
            for geom in np.flatnonzero(model.geom_bodyid == body):
                assert not model.geom_contype[geom] & model.geom_conaffinity[geom]


@pytest.mark.parametrize("name", body_names())
def test_servos_reach_the_model(name: str) -> None:
    body = load_body(name)
    model = compile_scene(Scene(body=body))
    for joint_name, servo in zip(spec.JOINTS, body.servos, strict=True):
        actuator, joint = model.actuator(joint_name), model.joint(joint_name)
        assert actuator.gainprm[0] == servo.kp
        assert actuator.biasprm[1] == -servo.kp
        assert list(actuator.forcerange) == [-servo.torque_limit, servo.torque_limit]
        assert (joint.armature[0], joint.damping[0], joint.frictionloss[0]) == (
            servo.armature,
            servo.damping,
            servo.frictionloss,
        )
        if servo.damping_ratio:
            # Critical damping: 2 sqrt(stiffness x inertia), of an inertia that is at least the rotor's.
            assert -actuator.biasprm[2] >= 2 * servo.kv * np.sqrt(servo.kp * servo.armature)
        else:
            assert actuator.biasprm[2] == -servo.kv
