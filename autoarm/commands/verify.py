"""`autoarm verify`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import tyro

from autoarm.commands.arguments import DatasetFolder, PolicyName, ResultFile
from autoarm.commands.as_json import print_json
from autoarm.commands.progress import progress_bar

if TYPE_CHECKING:
    from autoarm.evaluation.verify import Verification

_SHOWN = 20
"""Mismatches that are printed."""


@dataclass
class Verify:
    """Run a result again and compare it row by row.

    On the platform that the result names the rows must be identical; on another one success must not differ by more
    than chance (McNemar's exact test, p at least 0.05). Exit code 1 if it is not so.

    Example: autoarm verify benchmarks/results/five-spots-v1/expert.json --sample 50
    """

    file: tyro.conf.Positional[ResultFile]
    """What `autoarm bench` or `autoarm eval` wrote."""
    sample: int | None = None
    """How many rows, drawn at random; all by default."""
    seed: int = 0
    """Seed that draws the sample."""
    policy: PolicyName | None = None
    """Where the policy is, if it is not where the result says."""
    suite: str | None = None
    """YAML file of the suite, if it is not shipped with autoarm."""
    dataset: DatasetFolder | None = None
    """Folder of the demonstrations that a baseline is made from, if they are not where the result says."""
    workers: int = 1
    """Processes."""
    ray: str | None = None
    """Run in a Ray cluster: `auto`, or its address."""
    device: str = "cpu"
    """Torch device of a checkpoint, such as cpu or cuda."""
    json: bool = False
    """Print JSON instead of lines."""

    def run(self) -> int:
        """Run it again and say what came out."""
        from rich.console import Console

        from autoarm.evaluation.verify import verify

        with progress_bar(self.file.name, Console(stderr=True)) as advance:
            verification = verify(
                self.file,
                sample=self.sample,
                seed=self.seed,
                policy=self.policy,
                suite=self.suite,
                dataset=self.dataset,
                device=self.device,
                workers=self.workers,
                ray=self.ray,
                progress=advance,
            )
        if self.json:
            print_json(verification_data(verification))
        else:
            print("\n".join(report(verification)))
        return 0 if verification.passed else 1


def verification_data(found: Verification) -> dict[str, Any]:
    """The verification as plain data: field names as in `Verification`."""
    return {
        "passed": found.passed,
        **{name: getattr(found, name) for name in ("same_platform", "platform_changes", "rows", "total")},
        "mismatches": [asdict(each) for each in found.mismatches],
        "recorded": found.recorded.model_dump(),
        "found": found.found.model_dump(),
        "paired": found.paired._asdict(),
    }


def report(found: Verification) -> list[str]:
    """What came of it, in lines."""
    differing = len({each.row for each in found.mismatches})
    same = f"{found.rows - differing} of {found.rows} rows identical"
    part = "" if found.rows == found.total else f" (a sample of {found.total})"
    if found.same_platform:
        lines = [f"same platform, so that rows must be identical: {same}{part}"]
        lines += [f"  {each}" for each in found.mismatches[:_SHOWN]]
        if len(found.mismatches) > _SHOWN:
            lines.append(f"  and {len(found.mismatches) - _SHOWN} more")
    else:
        recorded, now = found.recorded, found.found
        lines = ["another platform, so that success must not differ by more than chance:"]
        lines += [f"  {change}" for change in found.platform_changes]
        lines.append(
            f"  recorded {recorded.successes}/{recorded.episodes} ({recorded.low:.1%} to {recorded.high:.1%}),"
            f" found {now.successes}/{now.episodes} ({now.rate:.1%}); {same}{part}"
        )
        pair = found.paired
        lines.append(
            f"  succeeded only there {pair.only_first}, only here {pair.only_second}:"
            f" p = {pair.p_value:.2g} (McNemar's exact test)"
        )
    lines.append("verified" if found.passed else "NOT verified")
    return lines
