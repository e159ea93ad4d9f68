from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic_core import to_jsonable_python

from autoarm.results.platform import describe_platform
from autoarm.results.result import EpisodeRow, Interval, PolicyRecord, Result, Setting
from autoarm.runtime.files import check_writable, replacing, write_text
from gym_autoarm import ENV_ID
from gym_autoarm.errors import InvalidFileError
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene_data import scene_changes


@pytest.fixture
def result() -> Result:
    interval = Interval(successes=1, episodes=1, rate=1.0, low=0.2, high=1.0)
    distribution = SceneDistribution()
    return Result(
        policy=PolicyRecord(name="expert", kind="baseline"),
        setting=Setting(
            env_id=ENV_ID,
            distribution=to_jsonable_python(distribution),
            image_size=(480, 640),
            time_limit=300,
            seed=0,
            episodes=1,
        ),
        platform=describe_platform(gl=False),
        rows=[
            EpisodeRow(
                group="everywhere",
                index=0,
                seed=7,
                scene=scene_changes(distribution.sample(7)),
                success=True,
                stage="place",
                steps=150,
                closest=0.004,
                path_length=0.6,
            )
        ],
        overall=interval,
        groups={"everywhere": interval},
        seconds=1.5,
    ).sealed()


def test_what_is_saved_is_what_is_loaded(result, tmp_path):
    file = tmp_path / "new" / "result.json"
    result.save(file)
    assert Result.load(file) == result
    assert list(file.parent.iterdir()) == [file]


def test_a_saved_result_is_readable_by_others(result, tmp_path):
    file = tmp_path / "result.json"
    result.save(file)
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    assert file.stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda data: data.update(schema_version=99), "schema_version"),
        (lambda data: data.update(surprise=1), "surprise"),
        (lambda data: data["rows"][0].update(stage="dance"), "rows.0.stage"),
        (lambda data: data["overall"].update(rate=1.5), "overall.rate"),
        (lambda data: data.pop("platform"), "platform"),
    ],
)
def test_a_result_that_is_wrong_names_file_and_field(result, tmp_path, change, field):
    file = tmp_path / "result.json"
    data = json.loads(result.model_dump_json())
    change(data)
    file.write_text(json.dumps(data))
    with pytest.raises(InvalidFileError) as caught:
        Result.load(file)
    assert (caught.value.file, caught.value.field) == (str(file), field)


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"', "\x00"])
def test_a_file_that_is_no_result_is_refused(tmp_path, text):
    file = tmp_path / "result.json"
    file.write_text(text)
    with pytest.raises(InvalidFileError):
        Result.load(file)


def test_a_missing_result_is_said_to_be_missing(tmp_path):
    with pytest.raises(InvalidFileError, match="no such file"):
        Result.load(tmp_path / "result.json")


def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path):
    file = tmp_path / "file.txt"
    write_text(file, "old")

    def interrupted() -> None:
        with replacing(file) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_refusing_system_is_reported_with_the_file(tmp_path):
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / "file" / "result.json"
    with pytest.raises(InvalidFileError, match="cannot be written"):
        write_text(target, "text")


@pytest.mark.parametrize("where", ["folder", "file/result.json", "file/deeper/result.json"])
def test_unusable_places_are_found_before_the_work(tmp_path, where):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidFileError):
        check_writable(tmp_path / where)


def test_usable_places_are_left_as_they_are(tmp_path):
    check_writable(tmp_path / "new" / "folder" / "result.json")
    check_writable(Path("result.json"))
    assert not list(tmp_path.iterdir())
