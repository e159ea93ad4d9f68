"""Record demonstrations of the scripted expert as a LeRobotDataset.

LeRobot's writer keeps a Parquet file open and its episode table in memory until it is finalized, so a recording that is
killed loses them. Here every episode is therefore recorded as a finished dataset of its own, in a folder beside the
target that gets its name only when it is whole; at the end LeRobot joins them, and the result takes the target's name.
Whatever happens, finished episodes stay and the target is either complete or not there. It also lets several processes
record at once: each episode is a function of its own seed.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from autoarm.data.card import CARD, dataset_card
from autoarm.data.collection import RECORD_AGAIN, SIDECAR, Collection, CollectionSettings, EpisodeRecord, Order, Teleop
from autoarm.data.dataset import check_dataset, read_collection
from autoarm.data.layout import spread_spots
from autoarm.data.recording import ENCODERS, RECORD, UNFINISHED, episode_folder, quiet, record_episodes, repo_id
from autoarm.runtime.files import read_json, write_text
from gym_autoarm import ENV_ID, spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.rendering import check_image_size
from gym_autoarm.sampling import spot_position
from gym_autoarm.scene import Scene
from gym_autoarm.scene_data import scene_changes
from gym_autoarm.variation import check_variations

_BYTES_PER_PIXEL: Final = 0.1
"""Size of an encoded frame; twice what was measured with h264, 480x640."""
_TYPICAL_STEPS: Final = 200

_SETTINGS: Final = "settings.json"


@dataclass(frozen=True)
class Collected:
    """What `collect` did: the dataset's folder, what is in it, and how many episodes an earlier run had recorded."""

    folder: Path
    collection: Collection
    kept: int


def collect(
    out: str | Path,
    *,
    spots: str | Sequence[str] = "five",
    episodes_per_spot: int = 10,
    episodes: int | None = None,
    seed: int = 0,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
    vcodec: str = "h264",
    order: Order = "shuffled",
    workers: int | None = None,
    area: spec.Area = spec.WORK_AREA,
    vary: Sequence[str] = (),
    base: Scene | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Collected:
    """Record demonstrations, or go on with a recording that was interrupted.

    Until it is complete, the recording lies in `<out>.partial`.

    Args:
        out: Folder of the dataset. It must not exist, be empty, or hold the same recording.
        spots: `five`; `everywhere`, at random; `spread`, see `autoarm.data.layout`; or spots (comma-separated, or a
            sequence), each by name or as `x:y` or `x:y:yaw` in metres and degrees.
        episodes_per_spot: How many at each spot.
        episodes: How many in all, for `everywhere` and `spread`; 50 by default.
        seed: Equal seeds give equal states and actions, bit for bit, whatever the number of workers.
        image_size: Height and width of the frames; even numbers.
        vcodec: `h264` or `libsvtav1`.
        order: `shuffled`, or `by-spot`: one spot after the other. The episodes are the same.
        workers: Processes that record; one for each core, up to four, by default. With more than one, a script needs
            the usual `if __name__ == "__main__":`.
        area: Bounds of x and of y, metres, with `everywhere` and `spread`.
        vary: What else is drawn at random in every episode, out of `gym_autoarm.variation.VARIATIONS`, or `all`.
        base: What is not drawn anew in every episode, such as cameras where an arm's real ones are.
        on_progress: Called with the number of episodes recorded and wanted.

    Raises:
        InvalidInputError: If an option is wrong, differs from the interrupted recording's, or the disk is too full.
        InvalidFileError: If a folder in the way is not a recording of ours. Nothing in it is touched.
    """
    settings = collection_settings(spots, episodes_per_spot, episodes, seed, image_size, vcodec, area)
    if workers is not None and workers < 1:
        raise InvalidInputError(f"{workers} processes cannot record", field="workers", cure="at least 1")
    changes = {"scene": scene_changes(base or Scene()), "order": order, "vary": check_variations(vary)}
    settings = settings.model_copy(update=changes)
    started = new_collection(settings)
    report = on_progress or (lambda done, wanted: None)

    def record(partial: Path, todo: list[int]) -> Iterator[None]:
        for _ in record_episodes(partial, todo, settings, workers):
            yield

    collected = assemble(out, started, record, report)
    assert collected is not None  # the expert does not stop early
    return collected


def assemble(
    out: str | Path,
    started: Collection,
    record: Callable[[Path, list[int]], Iterator[None]],
    report: Callable[[int, int], None],
) -> Collected | None:
    """Have the episodes recorded that are missing, and join all of them to a dataset.

    Args:
        out: Folder of the dataset.
        started: What is wanted.
        record: Given a folder and the numbers of the missing episodes, records them there as `episode_folder` says, and
            yields whenever there is one more, or one less. It may stop early.
        report: Called with the number of episodes recorded and wanted.

    Returns:
        Nothing if episodes are still missing.
    """
    settings = started.settings
    out = Path(out).absolute()
    partial = out.with_name(f"{out.name}.partial")
    done = _finished(out, started)
    if done is not None:
        _discard(partial, started)
        report(len(done.episodes), len(done.episodes))
        return Collected(out, done, len(done.episodes))
    wanted = settings.total
    _check_disk(partial, len(_missing(partial, wanted)), wanted, settings)
    with _claim(partial, started):
        for leftover in partial.glob(f"{UNFINISHED}*"):
            shutil.rmtree(leftover)
        todo = _missing(partial, wanted)
        kept = wanted - len(todo)
        report(kept, wanted)
        for _ in record(partial, todo):
            report(wanted - len(_missing(partial, wanted)), wanted)
        if _missing(partial, wanted):
            return None
        records = [read_json(EpisodeRecord, episode_folder(partial, i) / RECORD, RECORD_AGAIN) for i in range(wanted)]
        collection = started.model_copy(update={"episodes": tuple(records)})
        _join(partial, out, collection)
    shutil.rmtree(partial)
    return Collected(out, collection, kept)


# -- What to record --------------------------------------------------------------------------------------------------


def parse_spots(spots: str | Sequence[str]) -> tuple[str, ...]:
    """Names of spots; none stands for the whole work area. Raises `InvalidInputError` for an unknown name."""
    if spots == "everywhere":
        return ()
    if spots == "five":
        return tuple(spec.SPOTS)
    names = [name.strip() for name in spots.split(",")] if isinstance(spots, str) else list(spots)
    for name in names:
        spot_position(name)
    if not names or len(set(names)) < len(names):
        raise InvalidInputError("name each spot once, and at least one", field="spots", cure="or choose 'five'")
    return tuple(names)


def collection_settings(
    spots: str | Sequence[str],
    episodes_per_spot: int,
    episodes: int | None,
    seed: int,
    image_size: tuple[int, int],
    vcodec: str,
    area: spec.Area = spec.WORK_AREA,
) -> CollectionSettings:
    """What `collect`'s arguments of these names ask for. Raises `InvalidInputError` for one that is wrong."""
    anywhere = spots in ("everywhere", "spread")
    if not anywhere and episodes is not None:
        raise InvalidInputError(
            "is for `everywhere` and `spread`", field="episodes", cure="use episodes_per_spot with spots"
        )
    count = episodes_per_spot if not anywhere else 50 if episodes is None else episodes
    if count < 1:
        field = "episodes" if anywhere else "episodes_per_spot"
        raise InvalidInputError(f"{count} episodes are no dataset", field=field, cure="at least 1")
    if seed < 0:
        raise InvalidInputError(f"{seed} is negative", field="seed", cure="0 or more")
    if area != spec.WORK_AREA and not anywhere:
        raise InvalidInputError(f"{spots!r} are where they are", field="area", cure="add --spots everywhere or spread")
    if not all(low < high for low, high in area):
        raise InvalidInputError(f"{area} is empty", field="area", cure="x from, x to, y from, y to, in metres")
    if spots == "spread":
        names, count = spread_spots(count, seed, area), 1
    else:
        names = parse_spots(spots)
    check_image_size(image_size)
    if image_size[0] % 2 or image_size[1] % 2:
        raise InvalidInputError(f"{image_size} has an odd side", field="image_size", cure="videos need even sides")
    if vcodec not in ENCODERS:
        raise InvalidInputError(f"{vcodec!r} is not supported", field="vcodec", cure=f"one of {', '.join(ENCODERS)}")
    height, width = image_size
    return CollectionSettings(
        seed=seed, spots=names, episodes=count, image_size=(height, width), vcodec=vcodec, area=area
    )


def new_collection(settings: CollectionSettings, env_id: str = ENV_ID, teleop: Teleop | None = None) -> Collection:
    """A collection without episodes, to be recorded with what is installed."""
    return Collection(env_id=env_id, teleop=teleop, settings=settings, versions=_versions())


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("autoarm", "mujoco", "numpy", "lerobot")}


# -- Folders ---------------------------------------------------------------------------------------------------------


def _finished(out: Path, started: Collection) -> Collection | None:
    """The collection in `out` if it is what is wanted; nothing if there is none."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / SIDECAR).is_file():
        raise InvalidFileError("there is something else here already", file=out, cure="choose another folder")
    collection = read_collection(out)
    _same(collection, started, out / SIDECAR)
    return collection


def _same(there: Collection, asked: Collection, file: Path) -> None:
    pairs = [(name, getattr(there, name), getattr(asked, name)) for name in ("env_id", "teleop")]
    pairs += [(f"settings.{name}", value, getattr(asked.settings, name)) for name, value in there.settings]
    for field, value, wanted in pairs:
        if value != wanted:
            raise InvalidInputError(
                f"was recorded with {value!r}, {wanted!r} is asked for",
                file=file,
                field=field,
                cure="repeat the first command's options, or choose another folder",
            )


@contextlib.contextmanager
def _claim(partial: Path, started: Collection) -> Iterator[None]:
    """Hold the folder of an unfinished recording, alone; begin it if there is none."""
    from filelock import FileLock, Timeout

    path = partial / _SETTINGS
    if partial.exists() and not path.is_file() and (not partial.is_dir() or any(_others(partial))):
        raise InvalidFileError("not an unfinished recording of ours", file=partial, cure="move it, or record elsewhere")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        # The operating system frees this lock when the process ends, however it ends.
        with FileLock(partial / ".lock", timeout=0):
            if path.is_file():
                there = Collection.load(path)
                _same(there, started, path)
                if there.versions != started.versions:
                    raise InvalidInputError(
                        f"was begun with {there.versions}, installed are {started.versions}",
                        file=path,
                        field="versions",
                        cure="finish with those versions, or choose another folder",
                    )
            else:
                started.save(path)
            yield
    except Timeout:
        raise InvalidInputError("another process is recording here", file=partial, cure="wait for it") from None
    except OSError as error:
        raise InvalidFileError(f"cannot be written: {error}", file=partial, cure="choose another folder") from error


def _others(partial: Path) -> Iterator[Path]:
    """What lies in the folder besides what we leave there before the settings are written."""
    return (path for path in partial.iterdir() if not path.name.startswith((".lock", f".{_SETTINGS}.")))


def _missing(partial: Path, wanted: int) -> list[int]:
    """Episodes that are not recorded yet."""
    return [index for index in range(wanted) if not episode_folder(partial, index).is_dir()]


def _discard(partial: Path, started: Collection) -> None:
    """Remove what a process left behind that was killed after it had given the dataset its name."""
    path = partial / _SETTINGS
    if path.is_file() and Collection.load(path).settings == started.settings:
        shutil.rmtree(partial)


def _check_disk(partial: Path, todo: int, wanted: int, settings: CollectionSettings) -> None:
    height, width = settings.image_size
    episode = _TYPICAL_STEPS * len(spec.CAMERAS) * height * width * _BYTES_PER_PIXEL
    # Once while recording, once more when joining, and room for the joined video that is being rewritten.
    needed = (todo + wanted) * episode + 2**28
    folder = next(folder for folder in partial.parents if folder.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InvalidInputError(
            f"{free / 2**30:.1f} GiB are free, about {needed / 2**30:.1f} GiB are needed",
            file=folder,
            field="out",
            cure="free some space, or record fewer episodes",
        )


# -- Joining ---------------------------------------------------------------------------------------------------------


def _join(partial: Path, out: Path, collection: Collection) -> None:
    """Join the recorded episodes into one dataset and give it its name."""
    from lerobot.datasets.aggregate import aggregate_datasets

    parts = [episode_folder(partial, index) for index in range(len(collection.episodes))]
    joined = partial / f"{UNFINISHED}joined"
    # LeRobot's progress bars would run through ours.
    with _cache(partial / f"{UNFINISHED}cache"), quiet(), contextlib.redirect_stderr(io.StringIO()):
        aggregate_datasets([repo_id(part) for part in parts], repo_id(out), roots=parts, aggr_root=joined)
    for video in joined.rglob("*.mp4"):
        # LeRobot joins videos in temporary files, which only their owner may read.
        shutil.copymode(joined / "meta/info.json", video)
    collection.save(joined / SIDECAR)
    write_text(joined / CARD, dataset_card(joined, collection))
    check_dataset(joined)
    if out.exists():
        out.rmdir()  # empty: see _finished
    joined.rename(out)


@contextlib.contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """Keep copies of the episodes' tables out of the user's cache, where they would stay for ever."""
    import datasets

    usual = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = folder
    try:
        yield
    finally:
        datasets.config.HF_DATASETS_CACHE = usual
