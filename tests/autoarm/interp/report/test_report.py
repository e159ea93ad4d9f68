"""The page about a policy: every section made, every figure with its data, nothing from elsewhere."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from autoarm.interp.report import report as module
from autoarm.interp.report.report import Material, Section, Text, section_names, write_interp_report
from autoarm.policies.lerobot import LeRobotPolicy
from gym_autoarm.errors import InvalidInputError

pytestmark = pytest.mark.lengthy

SIZE = (64, 96)


@pytest.fixture(scope="module")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes in frames of the policy's size."""
    from autoarm.data.collect import collect

    out = tmp_path_factory.mktemp("data") / "small"
    return collect(out, spots="centre,near-left,near-right", episodes_per_spot=1, image_size=SIZE, workers=1).folder


@pytest.fixture(scope="module")
def page(checkpoint: Path, small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sae_lens")
    cache = pytest.MonkeyPatch()
    cache.setenv("AUTOARM_CACHE", str(tmp_path_factory.mktemp("cache")))
    policy = LeRobotPolicy(checkpoint, image_size=SIZE)
    out = tmp_path_factory.mktemp("report")
    seen: list[tuple[str, int, int]] = []
    path = write_interp_report(
        policy,
        small_dataset,
        out,
        frames=60,
        samples=2560,
        positions=3,
        command=["autoarm", "interp", "report", "a b"],
        progress=lambda *now: seen.append(now),
    )
    cache.undo()
    assert [name for name, _, _ in seen] == section_names()
    return path


def test_every_section_is_there(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    for name in section_names():
        if name == "success":  # which is for those who ask for episodes
            assert f'id="{name}"' not in source
            continue
        assert f'<h2 id="{name}">' in source
        assert f'href="#{name}"' in source
    assert "Left out" not in source
    assert "autoarm interp report &#39;a b&#39;" in source


def test_every_figure_has_its_data(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    addresses = re.findall(r'href="(figures/[^"]+)"', source)
    assert len(addresses) == 2 * source.count("<figure")
    for address in addresses:
        file = page.parent / unquote(address)
        assert file.is_file()
        if file.suffix == ".csv":
            with file.open(encoding="utf-8") as rows:
                assert len(list(csv.DictReader(rows))) > 1
    assert not re.search(r"url\(|@import|https?:|<script", re.sub(r"base64,[\w+/=]+", "", source))


def test_shares_and_parts_sum_to_one(page: Path) -> None:
    def rows(name: str) -> list[dict[str, str]]:
        with (page.parent / "figures" / f"{name}.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    for row in rows("attention-shares"):
        assert sum(float(row[group]) for group in ("latent", "state", "top", "lateral")) == pytest.approx(1, abs=1e-4)
    for row in rows("memory-split"):
        assert sum(float(value) for name, value in row.items() if name != "joint") == pytest.approx(1, abs=1e-3)
    # What is moved by hand has known answers at both ends: nothing, and everything.
    traced = {(row["layer"], row["tokens"], row["part"]): float(row["effect"]) for row in rows("tracing")}
    assert traced["decoder", "all", "self-attention"] == pytest.approx(0, abs=1e-4)
    assert traced["1", "all", "stream"] == pytest.approx(1, abs=1e-4)
    inert = next(row for row in rows("ablation") if row["part"] == "decoder: self-attention")
    assert float(inert["another moment"]) < 1e-5


def test_it_fits_a_phone_and_a_desk(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    too_wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(too_wide) == 0
    loaded = "return [...document.images].every(image => image.complete && image.naturalWidth > 0)"
    assert browser.execute_script(loaded)


def test_sections_are_a_function_each(
    checkpoint: Path, small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mine(material: Material) -> Section:
        assert len(material.sample) == 3
        return Section("<Mine>?", "Yes.", [Text("a & b")])

    def broken(material: Material) -> Section:
        raise InvalidInputError("something is missing", field="there", cure="bring it")

    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_SECTIONS", {"mine": mine, "broken": broken})
    policy = LeRobotPolicy(checkpoint, image_size=SIZE)
    source = write_interp_report(policy, small_dataset, tmp_path, frames=3).read_text(encoding="utf-8")
    assert "&lt;Mine&gt;?" in source
    assert "a &amp; b" in source
    assert "Left out: there: something is missing (bring it)" in source
    with pytest.raises(InvalidInputError, match="choose from mine, broken"):
        write_interp_report(policy, small_dataset, tmp_path, sections=["other"])
