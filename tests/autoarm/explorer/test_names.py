"""Names of features: kept, shared, merged, and never mixed up between autoencoders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from autoarm.explorer.names import NAME_LENGTH, FeatureNames
from gym_autoarm.errors import InvalidFileError, InvalidInputError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def names(tmp_path: Path) -> FeatureNames:
    return FeatureNames.load(tmp_path / "names.json", "a hash")


def test_names_survive_their_file(names: FeatureNames) -> None:
    named = names.named(7, "  the \n cube ", "where it lies; <b>not</b> the box", NOW).named(2, "gripper", "", NOW)
    named.save()
    again = FeatureNames.load(names.path, "a hash")
    assert again == named
    assert again.label(7) == "7: the cube"
    assert again.label(3) == "3"
    assert list(again.content.features) == [2, 7]


def test_no_words_take_a_name_away(names: FeatureNames) -> None:
    assert names.named(7, "cube", "", NOW).named(7, " ", "", NOW).content == names.content


def test_the_later_name_holds(names: FeatureNames, tmp_path: Path) -> None:
    later = NOW + timedelta(hours=1)
    mine = names.named(1, "mine", "", NOW).named(2, "mine", "", later)
    theirs = names.named(1, "theirs", "", later).named(2, "theirs", "", NOW).named(3, "theirs", "", NOW)
    both = mine.merged(theirs)
    assert [both.label(feature) for feature in (1, 2, 3)] == ["1: theirs", "2: mine", "3: theirs"]
    assert both.content == theirs.merged(mine).content
    assert both.merged(theirs) == both


def test_names_of_another_autoencoder_are_refused(names: FeatureNames) -> None:
    names.named(1, "cube", "", NOW).save()
    with pytest.raises(InvalidFileError, match="another autoencoder"):
        FeatureNames.load(names.path, "another hash")


@pytest.mark.parametrize("content", ["", "[]", '{"autoencoder": "a hash", "features": {"x": {}}}', '{"other": 1}'])
def test_other_files_are_refused(names: FeatureNames, content: str) -> None:
    names.path.write_text(content)
    with pytest.raises(InvalidFileError, match=r"names\.json"):
        FeatureNames.load(names.path, "a hash")


def test_a_file_to_be_merged_must_be_there(names: FeatureNames) -> None:
    with pytest.raises(InvalidFileError, match=r"names\.json"):
        FeatureNames.load(names.path, "a hash", must_exist=True)


def test_too_many_words_are_refused(names: FeatureNames) -> None:
    with pytest.raises(InvalidInputError, match="at most 80"):
        names.named(1, "x" * (NAME_LENGTH + 1), "")
