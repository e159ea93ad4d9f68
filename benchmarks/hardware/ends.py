"""How an arm gets home: planned ways, followed by the simulated arm, what they touch, and how far it falls instead.

It starts at random positions in which it touches nothing, and at moments of the expert's episodes.

Example: python benchmarks/hardware/ends.py --positions 400
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import mujoco
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.progress import track

from autoarm_hardware.links import Links, links_among
from autoarm_hardware.moving import SLOW
from autoarm_hardware.planning import along, plan_way
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import UnreachablePoseError
from gym_autoarm.expert import Expert, Style
from gym_autoarm.kinematics import from_radians, to_radians
from gym_autoarm.model import CUBE, compile_scene
from gym_autoarm.rng import stream
from gym_autoarm.scene import HOME, Scene

Vector = NDArray[np.float64]

_MOVING: Final = {"upper_arm", "lower_arm", "wrist", "gripper", "moving_jaw_so101_v1"}
_APART: Final = replace(Scene().cube, x=0.6, y=0.5)
"""A cube out of the way: where it is, is not known to who plans."""
_FALL: Final = 5.0
"""Degrees, or N, that count."""
_REST: Final = 3.0
"""Seconds in which a released arm comes to rest."""


@dataclass
class Arguments:
    """Ways home of the simulated arm."""

    positions: int = 400
    """Positions to start from, half of them out of episodes."""
    seed: int = 0
    """Seed of the positions."""


def main() -> None:
    """Print what the ways touched, how long they took, and how far an arm falls that is released."""
    arguments = tyro.cli(Arguments, description=__doc__)
    links, env = links_among(Scene()), PickIntoBoxEnv(cameras=False, time_limit=10**6)
    kinds = {
        "from episodes": _from_episodes(env, arguments.positions // 2, arguments.seed),
        "at random": _at_random(links, arguments.positions - arguments.positions // 2, arguments.seed),
    }
    for kind, starts in kinds.items():
        forces, seconds, off, lost = [], [], [], 0
        for start in track(starts, description=kind, transient=True):
            try:
                way = plan_way(start, HOME, links)
            except UnreachablePoseError:
                lost += 1
                continue
            force, steps, position = _follow(env, start, way)
            forces.append(force)
            seconds.append(steps / spec.FPS)
            off.append(np.abs(position - HOME).max())
        fell, hit = np.array([_fall(start) for start in track(starts, description="released", transient=True)]).T
        print(
            f"{kind}: {len(starts)} positions, {lost} without a way; {np.median(seconds):.1f} s (median),"
            f" {max(seconds):.1f} s (longest), {max(off):.1f} degrees from home in the end, at most;"
            f" touched table or box on {np.sum(np.array(forces) > 0)}, with {max(forces):.0f} N at most."
            f" Released instead where it was: fell by more than 5 degrees in {np.sum(fell > _FALL)},"
            f" onto table or box with more than 5 N in {np.sum(hit > _FALL)}, {hit.max():.0f} N at most"
        )
    print(f"released at home: moves by {_fall(np.array(HOME))[0]:.1f} degrees")


def _from_episodes(env: PickIntoBoxEnv, count: int, seed: int) -> list[Vector]:
    """Positions at random moments of the expert's episodes."""
    moments = stream(seed, "ends", "moments")
    found: list[Vector] = []
    while len(found) < count:
        observation, info = env.reset(seed=int(moments.integers(2**31)))
        try:
            plan = Expert().plan_for(info, observation["agent_pos"], Style.sample(len(found)))
        except UnreachablePoseError:
            continue
        *_, info = env.step_chunk(plan)
        path = info["joint_path"]
        found += [path[moment].astype(np.float64) for moment in moments.integers(len(path), size=4)]
    return found[:count]


def _at_random(links: Links, count: int, seed: int) -> list[Vector]:
    """Positions in which the arm touches neither the table nor itself."""
    rng = stream(seed, "ends", "positions")
    bare = Links(0.0)
    found: list[Vector] = []
    while len(found) < count:
        position = rng.uniform(spec.ACTION_LOW, spec.ACTION_HIGH)
        if min(bare.clearances(position)) >= 0.0:
            found.append(position)
    return found


def _follow(env: PickIntoBoxEnv, start: Vector, way: list[Vector]) -> tuple[float, int, Vector]:
    """Follow a way: the largest force on table or box, N; steps; and where the arm was in the end."""
    observation, _ = env.reset(seed=0, options={"scene": Scene(start=tuple(start), cube=_APART)})
    before = forces_on(env.model, env.data)
    largest, steps = 0.0, 0
    for position in along(way, SLOW / spec.FPS):
        observation, *_ = env.step(position.astype(np.float32))
        now = forces_on(env.model, env.data)
        # What it touched to begin with, a box that it had reached into, it may leave.
        before = {thing: force for thing, force in before.items() if thing in now}
        largest = max([largest, *(force for thing, force in now.items() if thing not in before)])
        steps += 1
    return largest, steps, observation["agent_pos"]


def _fall(start: Vector) -> tuple[float, float]:
    """Switch all motors off: degrees by which the arm falls, and the largest force on table or box, N."""
    scene = Scene(start=tuple(start), cube=_APART, surface="plain")
    model = compile_scene(scene)
    data = mujoco.MjData(model)
    data.qpos[: len(spec.JOINTS)] = to_radians(start)
    cube = model.joint(CUBE).qposadr[0]
    data.qpos[cube : cube + 3] = _APART.x, _APART.y, _APART.size / 2
    model.actuator_gainprm[:], model.actuator_biasprm[:] = 0.0, 0.0
    for joint, servo in enumerate(scene.body.servos):
        model.dof_damping[joint] = servo.damping if servo.damping_off is None else servo.damping_off
    largest = 0.0
    for _ in range(int(_REST / model.opt.timestep)):
        mujoco.mj_step(model, data)
        largest = max([largest, *forces_on(model, data).values()])
    return float(np.abs(from_radians(data.qpos[: len(spec.JOINTS)]) - start).max()), largest


def forces_on(model: mujoco.MjModel, data: mujoco.MjData) -> dict[str, float]:
    """How hard the arm presses on each thing that it touches, N."""
    found: dict[str, float] = {}
    force = np.zeros(6)
    for index, contact in enumerate(data.contact[: data.ncon]):
        names = {model.body(model.geom_bodyid[int(geom)]).name for geom in (contact.geom1, contact.geom2)}
        for thing in names & {"world", "box"}:
            if names & _MOVING:
                mujoco.mj_contactForce(model, data, index, force)
                found[thing] = found.get(thing, 0.0) + float(force[0])
    return found


if __name__ == "__main__":
    main()
