"""Bodies from files and by name, how results record them, and what is wrong with those that are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.body_data import body_changes, restore_body
from gym_autoarm.body_files import (
    DEFAULT_BODY,
    STIFF_BODY,
    BodyFile,
    BodyMeasurement,
    body_name,
    body_names,
    load_body,
    read_body_file,
    write_body_file,
)
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.scene import Scene
from gym_autoarm.scene_data import restore_scene, scene_changes
from gym_autoarm.servo import Protection, Servo

MEASURED = load_body(DEFAULT_BODY)
SERVO = "{kp: 14, damping: 1, frictionloss: 0.1}"
ALL_SERVOS = "".join(f"  {name}: {SERVO}\n" for name in spec.JOINTS)


def test_simulated_arm_is_the_measured_one() -> None:
    assert Scene().body == MEASURED
    assert body_name(Scene().body) == DEFAULT_BODY


@pytest.mark.parametrize("name", body_names())
def test_shipped_bodies_say_what_they_are(name: str) -> None:
    file = read_body_file(name)
    assert file.about
    assert file.source
    assert body_name(file.body()) == name


def test_what_is_written_is_read(tmp_path: Path) -> None:
    body = replace(MEASURED, delay=0.05, backlash=0.7, protection=Protection(0.3, 1.5, 0.1))
    measured = BodyMeasurement(trajectory="steps", steps=10, error_before=1.0, error_after=0.1)
    write_body_file(tmp_path / "body.yaml", BodyFile.of(body, measured), "a body")
    assert load_body(tmp_path / "body.yaml") == body
    assert read_body_file(tmp_path / "body.yaml").measured == measured


def test_first_form_of_the_file_still_loads(tmp_path: Path) -> None:
    (tmp_path / "body.yaml").write_text("gains: {kp: 60, kv: 1.2}\nlatency: 3\n")
    body = load_body(tmp_path / "body.yaml")
    assert {servo.kp for servo in body.servos} == {60.0}
    assert (body.delay, body.backlash) == (0.1, 0.0)
    assert [servo.torque_limit for servo in body.servos] == [s.torque_limit for s in load_body(STIFF_BODY).servos]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("gains: {kp: -1, kv: 0}\n", r"gains\.kp"),
        ("backlash: 1\n", "either 'gains'"),
        (f"servos: {{shoulder_pan: {SERVO}}}\n", "shoulder_lift"),
        (f"servos:\n{ALL_SERVOS}latency: 2\n", "delay"),
        (f"servos:\n{ALL_SERVOS}delay: 5\n", "delay"),
        ("gains: {kp: 60, kv: 1}\ndelay: 0.1\n", "latency"),
        (f"servos:\n{ALL_SERVOS}protection: {{overload: 2}}\n", "overload"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "body.yaml").write_text(text)
    with pytest.raises(InvalidFileError, match=named) as caught:
        load_body(tmp_path / "body.yaml")
    assert str(tmp_path / "body.yaml") in str(caught.value)


def test_unknown_names_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="no such file"):
        load_body(tmp_path / "body.yaml")
    with pytest.raises(InvalidInputError, match=DEFAULT_BODY):
        load_body("so102")


# -- In results -------------------------------------------------------------------------------------------------------

numbers = st.floats(0.01, 100.0)
servos = st.builds(Servo, kp=numbers, kv=numbers, torque_limit=numbers, frictionloss=numbers, sticks=st.booleans())
bodies = st.one_of(
    st.builds(Body, st.tuples(*[servos] * 6), numbers, numbers, st.none() | st.builds(Protection)),
    st.builds(Body.uniform, servos, numbers, st.integers(0, 9).map(lambda steps: steps / spec.FPS), numbers),
    st.builds(replace, st.sampled_from([load_body(name) for name in body_names()]), backlash=numbers),
    st.sampled_from([load_body(name) for name in body_names()]),
)


@given(bodies)
def test_recorded_body_is_the_body(body: Body) -> None:
    assert restore_body(body_changes(body)) == body
    scene = Scene(body=body)
    assert restore_scene(scene_changes(scene)) == scene


def test_bodies_are_recorded_as_the_first_rows_had_them() -> None:
    assert body_changes(load_body(STIFF_BODY)) == {}
    late = replace(load_body("so100-soft"), delay=2 / spec.FPS, backlash=1.0)
    assert body_changes(late) == {
        "gains": {"kp": 17.8, "kv": 0.0, "torque_limit": 3.35},
        "latency": 2,
        "backlash": 1.0,
    }
    assert body_changes(MEASURED) == {"name": DEFAULT_BODY}
    assert body_changes(replace(MEASURED, delay=0.1)) == {"name": DEFAULT_BODY, "delay": 0.1}


def test_wrong_value_in_a_record_is_named_where_it_stands() -> None:
    with pytest.raises(InvalidInputError) as caught:
        restore_scene({"body": {"gains": {"kp": "stiff"}}})
    assert caught.value.field == "scene.body.kp"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "so102"}, "so102"),
        ({"name": DEFAULT_BODY, "delai": 1.0}, "delai"),
        ({"latenci": 2}, "latenci"),
        ({"gains": {"kq": 1.0}}, "kq"),
    ],
)
def test_unknown_records_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        restore_scene({"body": changes})
