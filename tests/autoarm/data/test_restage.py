"""Recorded episodes drawn again under other appearances."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoarm.commands.restage import Restage
from autoarm.data.card import CARD
from autoarm.data.collection import SIDECAR, Collection
from autoarm.data.dataset import check_dataset, demonstrations, episode_frames, open_lerobot, read_collection
from autoarm.data.frames import dataset_digest
from autoarm.data.restage import restage
from autoarm.policies.track import track_of_demonstrations
from autoarm.policies.trained_on import Demonstrations
from gym_autoarm.errors import InvalidFileError, InvalidInputError


@pytest.fixture(scope="module")
def restaged(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("restaged") / "d"
    return restage(tiny_dataset, out, names=("surface", "light"), copies=3, seed=2, workers=1).folder


def test_motions_are_the_recorded_ones(tiny_dataset: Path, restaged: Path) -> None:
    before, after = demonstrations(tiny_dataset), demonstrations(restaged)
    assert len(after) == 3 * len(before)
    for number, motion in enumerate(after):
        recorded = before[number % len(before)]
        np.testing.assert_array_equal(motion.states, recorded.states)
        np.testing.assert_array_equal(motion.actions, recorded.actions)
        assert (motion.spot, motion.seed) == (recorded.spot, recorded.seed)
    assert check_dataset(restaged).frames == 3 * check_dataset(tiny_dataset).frames
    assert open_lerobot(restaged).meta.total_episodes == 6


def test_pictures_are_others(tiny_dataset: Path, restaged: Path) -> None:
    scenes = [episode.scene for episode in read_collection(restaged).episodes]
    looks = [json.dumps([scene["surface"], scene["light"]], sort_keys=True) for scene in scenes]
    assert len(set(looks)) >= 4
    recorded = read_collection(tiny_dataset).episodes
    for number, scene in enumerate(scenes):
        for part in ("cube", "box", "start", "body"):
            assert scene[part] == recorded[number % 2].scene[part]
        before = episode_frames(tiny_dataset, number % 2, "top").astype(int)
        differs = abs(episode_frames(restaged, number, "top").astype(int) - before).mean() > 3
        assert differs == (looks[number] != json.dumps(["oak", recorded[number % 2].scene["light"]], sort_keys=True))


def test_the_record_says_what_was_done(tiny_dataset: Path, restaged: Path) -> None:
    collection = Collection.load(restaged / SIDECAR)
    assert collection.settings.restaged is not None
    assert collection.settings.restaged.sha256 == dataset_digest(tiny_dataset)
    assert collection.settings.vary == ("light", "surface")
    assert [collection.settings.placing(index)[0] for index in range(6)] == [e.spot for e in collection.episodes]
    assert "Drawn again, 3 times" in (restaged / CARD).read_text()
    assert track_of_demonstrations(Demonstrations.of(restaged, "digest")) == "open"


def test_it_goes_on_where_it_was_left(tiny_dataset: Path, restaged: Path, tmp_path: Path) -> None:
    class Left(Exception): ...

    def leave(done: int, wanted: int) -> None:
        if done == 2:
            raise Left

    options = {"names": ("surface", "light"), "copies": 3, "seed": 2, "workers": 1}
    with pytest.raises(Left):
        restage(tiny_dataset, tmp_path / "d", on_progress=leave, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "d").exists()
    again = restage(tiny_dataset, tmp_path / "d", **options)  # type: ignore[arg-type]
    assert again.kept == 2
    assert again.collection.episodes == read_collection(restaged).episodes


def test_motions_that_come_out_otherwise_are_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(tiny_dataset, changed)
    (file,) = (changed / "data").rglob("*.parquet")
    table = pq.read_table(file)
    states = np.stack(table["observation.state"].to_numpy())
    states[40:] += 0.5
    column = table.schema.get_field_index("observation.state")
    values = table.schema.field(column)
    pq.write_table(table.set_column(column, values, pa.array(list(states), values.type)), file)
    with pytest.raises(InvalidFileError, match=r"episode 0 moves otherwise now, by 0\.5 degrees"):
        restage(changed, tmp_path / "d", workers=1)
    assert not (tmp_path / "d").exists()
    assert not list((tmp_path / "d.partial").glob("episode-*"))


def test_what_would_change_the_motion_is_refused(tiny_dataset: Path, restaged: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="'box' would change the motion"):
        restage(tiny_dataset, tmp_path / "d", names=("light", "box"))
    with pytest.raises(InvalidInputError, match="0 copies"):
        restage(tiny_dataset, tmp_path / "d", copies=0)
    with pytest.raises(InvalidFileError, match="drawn again"):
        restage(restaged, tmp_path / "d")
    assert not list(tmp_path.iterdir())


def test_the_command(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Restage(tiny_dataset, tmp_path / "d", vary=("noise",), workers=1).run() == 0
    assert capsys.readouterr().out.startswith("2 episodes, ")
