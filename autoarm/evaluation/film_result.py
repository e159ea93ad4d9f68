"""Films of a result that has none: its episodes are run again, as `verify` does."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path

from autoarm.evaluation.engine import Execution, FilmTask, make_films, run_episodes
from autoarm.evaluation.films import plan_films, with_films
from autoarm.evaluation.recorded import open_recorded
from autoarm.policies.protocol import Policy
from autoarm.runtime.files import check_writable
from gym_autoarm.errors import InvalidInputError


def film_result(
    file: Path,
    *,
    axes: Collection[str] = (),
    policy: str | Policy | None = None,
    suite: str | Path | None = None,
    dataset: Path | None = None,
    device: str = "cpu",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Film the first success and the first failure of each axis, in a folder beside the result of its name.

    Args:
        file: What `autoarm bench` or `autoarm eval --out` wrote; it is written again, naming the videos.
        axes: Those that are filmed; all by default.
        policy: Where the policy is, if not where the result says.
        suite: YAML file of a suite that is not shipped.
        dataset: Folder of the demonstrations that a baseline is made from, if it was moved.
        device: Torch device of a checkpoint.
        workers: Processes.
        progress: Called with the films made and the films in all.

    Returns:
        The videos. An episode that ends in another way than recorded, as on another platform it may, leaves none.

    Raises:
        InvalidFileError: If the file is not what was written.
        InvalidInputError: For an unknown axis, or if the policy is missing or not the one that was measured.
    """
    check_writable(file)
    recorded = open_recorded(file, policy=policy, suite=suite, dataset=dataset, device=device)
    result = recorded.result
    unknown = sorted(set(axes) - result.groups.keys())
    if unknown:
        raise InvalidInputError(
            f"the result has no {unknown[0]!r}", field="axis", cure=f"choose from {', '.join(result.groups)}"
        )
    films = plan_films(result.policy.name, result.rows, file.with_suffix(""), axes or None)
    how = Execution(workers)
    again = run_episodes(recorded.source, recorded.policy, [recorded.episodes[each.row] for each in films], how)
    kept, tasks = [], []
    for planned, done in zip(films, again, strict=True):
        if done.row.success == result.rows[planned.row].success:
            kept.append(planned)
            scene = recorded.episodes[planned.row].scene
            tasks.append(FilmTask(planned.path, scene, done.actions, planned.text))
    with closing(make_films(tasks, how)) as made:
        for count, _ in enumerate(made, 1):
            if progress is not None:
                progress(count, len(tasks))
    rows = with_films(result.rows, kept, file.parent)
    result.model_copy(update={"rows": rows}).save(file)
    return [each.path for each in kept]
