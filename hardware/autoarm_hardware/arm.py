"""Connecting to an arm: whatever is wrong with port, servos or calibration is found before anything moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from autoarm_hardware import signals, watchdog
from autoarm_hardware.port import disconnect_bus, open_bus, switch_off
from autoarm_hardware.servos import ServoError, first_line, servo_family
from autoarm_hardware.watchdog import Home
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError, MissingDependencyError
from gym_autoarm.extras import missing_extra

KOCH: Final = "koch_follower"
KOCH_LEADER: Final = "koch_leader"
ROBOT_TYPES: Final = ("so100_follower", "so101_follower", KOCH)
"""LeRobot's followers with joints of these names. The first two are one driver."""

_TRIES: Final = 3
"""How often a servo is asked while connecting; LeRobot asks once and waits for 50 ms."""
_LATE: Final = 0.1
"""Seconds after which a late answer no longer comes: twice as long as LeRobot waits for one."""
_UNPLUG: Final = "hold the arm and switch its power supply off; then check the plugs between the servos"
_REGISTERS: Final = ("Homing_Offset", "Min_Position_Limit", "Max_Position_Limit")
"""Where a servo keeps its calibration; in LeRobot's file: homing_offset, range_min, range_max."""


def make_robot(
    robot_type: str,
    port: str,
    robot_id: str,
    calibration_dir: str | Path | None = None,
    cameras: Mapping[str, Any] | None = None,
) -> Any:
    """LeRobot's driver of a follower, not connected.

    Args:
        robot_type: One of `ROBOT_TYPES`.
        port: The serial port of its adapter.
        robot_id: The name under which it was calibrated.
        calibration_dir: Where LeRobot keeps calibrations; its own place if nothing is given.
        cameras: LeRobot's camera configurations by name, or their fields with `type`.

    Raises:
        InvalidInputError: For an unknown type, a driver that is not installed, or cameras that LeRobot does not know.
        InvalidFileError: If there is no calibration of that name, or a damaged one.
    """
    if robot_type not in ROBOT_TYPES:
        raise InvalidInputError(
            f"{robot_type!r} is not a follower with these joints",
            field="robot_type",
            cure=f"one of {', '.join(ROBOT_TYPES)}",
        )
    # LeRobot's registry of types fills as their modules are imported.
    import lerobot.robots.koch_follower
    import lerobot.robots.so_follower  # noqa: F401
    from lerobot.robots import make_robot_from_config
    from lerobot.robots.config import RobotConfig

    options: dict[str, Any] = {
        "port": str(port),
        "id": robot_id,
        "calibration_dir": None if calibration_dir is None else Path(calibration_dir),
        "cameras": {name: camera_config(name, value) for name, value in (cameras or {}).items()},
        "use_degrees": True,
    }
    try:
        return make_robot_from_config(RobotConfig.get_choice_class(robot_type)(**options))
    except ImportError as error:
        raise driver_missing(error) from error
    except Exception as error:  # the parser of LeRobot's files raises kinds of its own
        raise InvalidFileError(
            f"cannot be used: {first_line(error)}",
            file=None if calibration_dir is None else Path(calibration_dir) / f"{robot_id}.json",
            field="calibration",
            cure="calibrate with lerobot-calibrate",
        ) from error


def driver_missing(error: ImportError) -> MissingDependencyError:
    """The error for a driver of LeRobot's that is not installed."""
    return missing_extra(error.name or "LeRobot's driver for this arm", "koch", field="type")


def in_degrees(bus: Any) -> None:
    """Set a bus to degrees for all joints but the gripper, where LeRobot's driver has no option for it."""
    from lerobot.motors import MotorNormMode

    for joint in spec.JOINTS[spec.ARM]:
        bus.motors[joint].norm_mode = MotorNormMode.DEGREES


def connect_bus(robot: Any, release: bool = True, home: Home | None = None) -> None:
    """Open the port, make sure that every servo is the right one and calibrated, and set them up as LeRobot does.

    Nothing is written to the servos before every check has passed, and nothing moves. LeRobot's set-up switches the
    motors off for a moment, then on; they stay where they are. From the first byte until `disconnect_bus`, signals that
    end the program raise (see `signals`); here, as soon as the exchange that they came in is over.

    Args:
        robot: LeRobot's driver, not connected.
        release: Whether the motors are switched off if a signal arrives meanwhile, if the set-up fails, or if the
            program ends before `disconnect_bus`, killed or not.
        home: Where the arm is to be parked if the program is killed; nowhere by default.

    Raises:
        InvalidInputError: For a port that cannot be used, or servos that do not fit; it names port or servo.
        InvalidFileError: If the arm is not calibrated, or the calibration is another arm's.
        ServoError: For a servo that does not answer.
        KeyboardInterrupt: For SIGINT.
        Terminated: For SIGTERM and SIGHUP.
    """
    bus = robot.bus
    servo_family(bus)
    check_calibration(robot)
    with signals.shield():
        is_changed = False
        try:
            open_bus(bus, release)
            _check_servos(bus)
            _compare_calibration(robot)
            signals.raise_waiting()
            watchdog.watch(bus, release, home)
            is_changed = True
            _set_up(robot)
            signals.raise_waiting()
        except BaseException as error:
            # What does not fit may be another device: it is left as it was.
            if release and (is_changed or not isinstance(error, Exception)):
                switch_off(bus)
            disconnect_bus(robot)
            raise


def release(robot: Any) -> None:
    """Connect to an arm, switch its motors off, and disconnect. Neither calibration nor servos are looked at before.

    Raises:
        InvalidInputError: If the port cannot be used.
        ServoError: If a servo does not answer, or its motor is still on; those of the others are off then.
    """
    bus = robot.bus
    with signals.shield():
        try:
            open_bus(bus, release=True)
            switch_off(bus)
            for joint in spec.JOINTS:
                servo = _servo(bus, joint, "Torque_Enable")
                if _retry(partial(bus.read, "Torque_Enable", joint, normalize=False), servo):
                    raise ServoError("the motor is still on", field=servo)
        except ServoError as error:
            raise ServoError(error.message, field=error.field, cure=_UNPLUG) from error
        finally:
            disconnect_bus(robot)


def check_calibration(robot: Any) -> None:
    """Raise `InvalidFileError` unless there is a calibration of all joints."""
    if set(robot.calibration) != set(spec.JOINTS):
        missing = [joint for joint in spec.JOINTS if joint not in robot.calibration]
        raise InvalidFileError(
            "there is none" if len(missing) == len(spec.JOINTS) else f"does not fit: {', '.join(missing)} missing",
            file=robot.calibration_fpath,
            field="calibration",
            cure="calibrate with lerobot-calibrate, under the same --robot.id",
        )


def camera_config(name: str, value: Any) -> Any:
    """A camera configuration of LeRobot's, from its fields with `type`. Raises `InvalidInputError`."""
    if not isinstance(value, Mapping):
        return value
    # LeRobot's registry of types fills as their modules are imported.
    import lerobot.cameras.opencv
    import lerobot.cameras.zmq  # noqa: F401
    from lerobot.cameras import CameraConfig

    options = dict(value)
    kind = options.pop("type", None)
    missing = [field for field in ("width", "height", "fps") if options.get(field) is None]
    if missing:
        raise InvalidInputError(
            f"{' and '.join(missing)} missing: a robot's camera must have them",
            field=f"cameras[{name!r}]",
            cure="give what the camera can do; lerobot-find-cameras lists it",
        )
    try:
        return CameraConfig.get_choice_class(kind)(**options)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(
            f"{dict(value)!r} is no camera of LeRobot's: {first_line(error)}",
            field=f"cameras[{name!r}]",
            cure="give type (opencv, zmq) and what that type wants, as --robot.cameras of LeRobot's commands",
        ) from error


# -- Inside ----------------------------------------------------------------------------------------------------------


def _check_servos(bus: Any) -> None:
    expected = {joint: bus.model_number_table[bus.motors[joint].model] for joint in spec.JOINTS}
    found = {joint: _ping(bus, joint) for joint in spec.JOINTS}
    missing = [joint for joint, model in found.items() if model is None]
    if len(missing) == len(found):
        raise ServoError(
            "none answers",
            field=f"port {bus.port}: servos 1 to {len(found)}",
            cure="switch the power supply on, and make sure with lerobot-find-port that this is the arm's port",
        )
    for joint, model in found.items():
        if model is not None and model != expected[joint]:
            raise InvalidInputError(
                f"reads {model}, not {expected[joint]} ({bus.motors[joint].model})",
                field=_servo(bus, joint, "Model_Number"),
                cure="this is another servo or another arm: check port and robot_type",
            )
    for joint, model in found.items():
        if model is not None and _is_garbled(bus, joint):
            raise InvalidInputError(
                "answers come garbled: more than one servo has this id",
                field=_servo(bus, joint, "ID"),
                cure="give every servo its own with lerobot-setup-motors",
            )
    if missing:
        raise ServoError(
            "no answer",
            field=_servo(bus, missing[0], "ID"),
            cure="check the plugs between the servos; if they sit, set the id with lerobot-setup-motors",
        )


def _ping(bus: Any, joint: str) -> int | None:
    """The model number of a servo; `None` if it does not answer. Raises `ServoError` if it answers with an error."""
    for _ in range(_TRIES):
        signals.raise_waiting()
        try:
            bus.port_handler.ser.reset_input_buffer()
            model, outcome, status = bus.packet_handler.ping(bus.port_handler, bus.motors[joint].id)
        except Exception:  # the SDK stumbles over answers that are too short, pyserial over a device that is gone
            bus.port_handler.is_using = False
            continue
        if bus._is_comm_success(outcome):
            _check_status(bus, joint, status)
            return int(model)
    return None


def _check_status(bus: Any, joint: str, error: int) -> None:
    """Raise `ServoError` if the error byte of an answer reports an error of the servo."""
    family, motor = servo_family(bus), bus.motors[joint]
    raw = error
    if family.alert_bit is not None:
        if not error & family.alert_bit:
            return
        address, _ = bus.model_ctrl_table[motor.model][family.status]
        raw, *_ = bus.packet_handler.read1ByteTxRx(bus.port_handler, motor.id, address)
    if (fault := family.status_fault(raw)) is not None:
        message, cure = fault
        raise ServoError(message, field=_servo(bus, joint, family.status), cure=cure)


def _is_garbled(bus: Any, joint: str) -> bool:
    """Whether a servo answers, but never with a whole packet: then two of them share its id."""
    for _ in range(2 * _TRIES):
        bus.port_handler.ser.reset_input_buffer()
        try:
            bus.read("Present_Position", joint, normalize=False)
        except ConnectionError as error:
            if "no status packet" in str(error):
                return False  # no answer at all, which `_check_servos` reports
        except IndexError:
            continue  # the SDK stumbles over answers that are too short
        except RuntimeError:
            return False  # a whole packet, with an error of the servo
        else:
            return False
    return True


def _compare_calibration(robot: Any) -> None:
    bus = robot.bus
    for joint in spec.JOINTS:
        ours = robot.calibration[joint]
        for register, value in zip(_REGISTERS, (ours.homing_offset, ours.range_min, ours.range_max), strict=True):
            for _ in range(_TRIES):
                kept = _retry(partial(bus.read, register, joint, normalize=False), _servo(bus, joint, register))
                if kept == value:
                    break
                # Perhaps it was the late answer to something else: let what is still on its way come, and go.
                time.sleep(_LATE)
                bus.port_handler.ser.reset_input_buffer()
            else:
                raise InvalidFileError(
                    f"says {value}, the servo {kept}: this is another arm's calibration, or the arm was set up anew",
                    file=robot.calibration_fpath,
                    field=_servo(bus, joint, register),
                    cure="name the arm that is plugged in (id), or calibrate it with lerobot-calibrate",
                )


def _set_up(robot: Any) -> None:
    """Set servos up as LeRobot does, but tell each to stay where it is before its motor is switched on.

    Feetech does not document where a servo goes whose torque comes on: perhaps to the last goal of another program.
    """
    bus = robot.bus
    switch_on = bus.enable_torque

    def stay(motors: Any = None, num_retry: int = 0) -> None:
        for joint in bus._get_motors_list(motors):
            here = bus.read("Present_Position", joint, normalize=False, num_retry=num_retry)
            bus.write("Goal_Position", joint, here, normalize=False, num_retry=num_retry)
            switch_on(joint, num_retry)

    bus.enable_torque = stay
    try:
        _retry(robot.configure, "set-up")
    finally:
        del bus.enable_torque


def _retry(ask: Callable[[], Any], what: str) -> Any:
    for attempt in range(_TRIES):
        signals.raise_waiting()
        try:
            return ask()
        except Exception as error:  # LeRobot, its SDK and pyserial raise kinds of their own
            if attempt == _TRIES - 1:
                raise ServoError(
                    f"no answer: {first_line(error)}",
                    field=what,
                    cure="check the USB cable, the power supply and the plugs between the servos",
                ) from error
    return None


def _servo(bus: Any, joint: str, register: str) -> str:
    return f"servo {bus.motors[joint].id} ({joint}): {register}"
