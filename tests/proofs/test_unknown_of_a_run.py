"""Whole runs over images with unknown pixels: what lies beneath them moves nothing."""

import csv
from pathlib import Path
from typing import Any

import pytest
from support.references import Reference
from support.unknown_data import CONCEPTS, Colours, UnknownReader

import net2vec_pl

FEW: dict[str, Any] = {"protocol.epochs": 2, "protocol.tau": 0.2}


def run(folder: Path, reader: UnknownReader, **options: Any) -> dict[str, str]:
    """Learn in a folder, and return a digest of every table and bank."""
    given: dict[str, Any] = {"analyses": "none", "beside": (), "device": "cpu", "options": FEW}
    net2vec_pl.learn(Colours(), "out", data=reader, folder=folder, **given | options)
    return {
        name: digest
        for name, digest in Reference.of(folder).digests.items()
        if not name.startswith("metrics")
    }


EVERYTHING: dict[str, Any] = {
    "target": "both",
    "seeds": 2,
    "beside": ("mean_difference", "lda"),
    "analyses": ["worth", "intervals", "subsets", "closed_form", "examples", "controls"],
    "options": FEW | {"protocol.classification.epochs": 2},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder / "out", UnknownReader(), **EVERYTHING)


@pytest.mark.parametrize("other", [{"garbage": 1}, {"several": True}])
def test_a_run_sees_neither_garbage_nor_how_unknown_pixels_are_said(
    other: dict[str, Any], whole: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    found = run(tmp_path / "out", UnknownReader(**other), **EVERYTHING)
    assert found == whole[1]
    assert {"bank.safetensors", "concepts.csv", "probes.csv", "classification.csv"} <= {*found}


def test_a_run_that_takes_unknown_pixels_for_background_finds_something_else(
    whole: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    reader = UnknownReader()
    for sample in reader.samples:
        sample.label_maps.clamp_(min=0)
    run(tmp_path / "out", reader)
    tables = []
    for folder in (tmp_path / "out", whole[0] / "out"):
        with (folder / "concepts.csv").open(newline="", encoding="utf-8") as file:
            tables.append({row["name"]: row for row in csv.DictReader(file)})
    taken, known = tables
    for concept in CONCEPTS:
        assert float(known[concept.name]["alpha"]) < float(taken[concept.name]["alpha"])
    assert float(known["cup"]["single_val"]) > float(taken["cup"]["single_val"])


def test_caches_move_nothing(tmp_path: Path) -> None:
    options = FEW | {"protocol.denominator": "annotated"}
    caches: dict[str, dict[str, str]] = {
        "memory": {},
        "none": {},
        "disk": {"cache.dir": str(tmp_path / "cache")},
    }
    kept, streamed, on_disk = (
        run(tmp_path / cache, UnknownReader(), cache=cache, options=options | of_cache)
        for cache, of_cache in caches.items()
    )
    assert kept == streamed == on_disk


@pytest.mark.parametrize("protocol", ["lda", "netdissect"])
def test_no_protocol_sees_garbage(protocol: str, tmp_path: Path) -> None:
    one, other = (
        run(tmp_path / str(g), UnknownReader(garbage=g), protocol=protocol) for g in (0, 1)
    )
    assert one == other


def test_the_page_hatches_what_is_unknown(whole: tuple[Path, dict[str, str]]) -> None:
    page = (whole[0] / "out" / "report.html").read_text(encoding="utf-8")
    assert '["unknown",' in page.replace('"unknown", ', '"unknown",')
