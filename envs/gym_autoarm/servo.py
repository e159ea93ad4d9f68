"""Servo gains of the simulated arm: published presets, which disagree, and the joint's own friction.

Sources, as collected in the models' XML files:

* `so101`: mujoco_menagerie robotstudio_so101/so101.xml. Same gains as TheRobotStudio's so101_new_calib.xml; its
  torque limit is the datasheet's stall torque of the 12 V STS3215 (30 kg cm = 2.94 N m). The default, because two
  sources agree on the gains and the datasheet supports the limit.
* `so101-studio`: TheRobotStudio so101_new_calib.xml, with the larger torque limit given there.
* `so100-soft`: TheRobotStudio's joints_properties.xml for the SO-ARM100, far more compliant.
* `so100-menagerie`: mujoco_menagerie trs_so_arm100.xml, critically damped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STALL_TORQUE: Final = 2.94
"""Stall torque of the STS3215 at 12 V, N m; from its datasheet."""

# LeRobot writes Overload_Torque = 25 (percent) to the gripper: what it may hold for long.
GRIPPER_HOLDING_TORQUE: Final = 0.25 * STALL_TORQUE


@dataclass(frozen=True)
class ServoGains:
    """Gains of a position servo.

    Attributes:
        kp: Stiffness, N m / rad.
        kv: Damping of the controller, N m s / rad; a ratio to critical damping where `damping_ratio` is set.
        torque_limit: Largest torque of the five arm joints, N m.
        gripper_torque_limit: Largest torque of the gripper, N m.
        damping: Viscous friction of the gearbox, N m s / rad.
        frictionloss: Dry friction of the gearbox, N m.
        armature: Rotor inertia seen through the gearbox, kg m^2.
        damping_ratio: Whether `kv` is relative to critical damping.
    """

    kp: float = 998.22
    kv: float = 2.731
    torque_limit: float = STALL_TORQUE
    gripper_torque_limit: float = GRIPPER_HOLDING_TORQUE
    damping: float = 0.6
    frictionloss: float = 0.052
    armature: float = 0.028
    damping_ratio: bool = False


PRESETS: Final[dict[str, ServoGains]] = {
    "so101": ServoGains(),
    "so101-studio": ServoGains(torque_limit=3.35),
    "so100-soft": ServoGains(kp=17.8, kv=0.0, torque_limit=3.35),
    "so100-menagerie": ServoGains(
        kp=50.0, kv=1.0, torque_limit=3.5, damping=0.0, frictionloss=0.1, armature=0.1, damping_ratio=True
    ),
}
