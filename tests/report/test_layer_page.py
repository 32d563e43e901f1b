"""The page of a layer holds what it was given, small, and nothing else."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from support.fake_data.pages import AWKWARD, layer_page

from net2vec_pl.report.columns import concept_columns, filter_columns
from net2vec_pl.report.layer_page import LayerPage, write_report
from net2vec_pl.report.packing import (
    mask_samples,
    pack_cosines,
    pack_mask,
    pack_number,
    pack_picture,
)


@pytest.fixture(scope="module")
def page() -> LayerPage:
    return layer_page()


@pytest.fixture(scope="module")
def html(page: LayerPage, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(path, page)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def content(html: str) -> Any:
    found = re.findall(r'<script type="application/json" id="content">(.*?)</script>', html)
    assert len(found) == 1
    return json.loads(found[0])


def test_names_never_end_a_script_or_begin_an_element(html: str) -> None:
    assert html.count("</script>") == html.count("<script") == 3
    assert "<b>sky" not in html
    assert "<real>" not in html


def test_every_name_and_number_is_there(page: LayerPage, content: Any) -> None:
    columns = [column["name"] for column in content["columns"]]
    assert set(columns) == set(page.concepts[0].row)
    rows = [dict(zip(columns, concept["row"], strict=True)) for concept in content["concepts"]]
    assert [row["name"] for row in rows][: len(AWKWARD)] == list(AWKWARD)
    for row, view in zip(rows, page.concepts, strict=True):
        expected = float(view.row["multi_val"])
        assert row["multi_val"] == (pytest.approx(expected, rel=1e-4) if expected > 0 else None)
    assert rows[-1]["multi_val"] is None
    assert len(content["filters"]) == len(page.filters)
    assert len(content["pictures"]) == len(page.pictures)


def test_statements_stand_below_their_question(html: str) -> None:
    findings = html[html.index('<h2 id="findings">') : html.index("<aside")]
    assert findings.count("<h3>") == 2
    places = [findings.index(text) for text in ("Are several", "By 0.3", "For 74%", "Is it")]
    assert places == sorted(places)


def test_how_it_was_made_is_text(html: str) -> None:
    made = html[html.index("<footer>") :]
    assert "model=madeupnet &#39;names=[a &amp; b]&#39;" in made
    assert "<li>tau 0.01</li><li>2 epochs</li>" in made
    assert "none" in made


@given(cosine=arrays(np.float64, (5, 5), elements=st.floats(-1, 1) | st.just(np.nan)))
def test_cosines_are_kept_to_four_digits(cosine: np.ndarray) -> None:
    kept = np.frombuffer(base64.b64decode(pack_cosines(cosine)), dtype="<i2")
    upper = cosine[np.triu_indices(5)]
    np.testing.assert_array_equal(kept == -32768, np.isnan(upper))
    known = ~np.isnan(upper)
    np.testing.assert_allclose(kept[known] / 32767, upper[known], atol=0.51 / 32767)


@given(mask=arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_a_small_mask_is_kept_as_it_is(mask: np.ndarray) -> None:
    height, width, text = pack_mask(mask)
    assert (height, width) == mask.shape
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
    np.testing.assert_array_equal(bits[: mask.size].reshape(mask.shape), mask)


@pytest.mark.parametrize("side", [1, 39, 40, 80, 100, 224])
def test_of_a_mask_the_middles_of_equal_stretches_are_kept(side: int) -> None:
    kept = min(side, 40)
    middles = [int((i + 0.5) * side / kept) for i in range(kept)]
    assert mask_samples(side).tolist() == middles
    assert middles[0] == {80: 1, 100: 1, 224: 2}.get(side, 0)


def test_a_large_mask_keeps_its_place() -> None:
    mask = np.zeros((160, 80), dtype=np.bool_)
    mask[80:, :20] = True
    height, width, text = pack_mask(mask)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8)).reshape(height, width)
    assert bits.shape == (40, 40)
    np.testing.assert_array_equal(bits, np.pad(np.ones((20, 10)), ((20, 0), (0, 30))))


@pytest.mark.parametrize(("size", "kept"), [((224, 336), (112, 75)), ((40, 20), (20, 40))])
def test_a_picture_becomes_small_and_stays_itself(
    size: tuple[int, int], kept: tuple[int, int]
) -> None:
    picture = np.zeros((3, *size), dtype=np.uint8)
    picture[0, :, : size[1] // 2] = 200
    kind, text = pack_picture(picture).split(",")
    assert kind.startswith("data:image/")
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        assert image.size == kept
        middle = np.asarray(image)[kept[1] // 2]
    np.testing.assert_allclose(middle[kept[0] // 5], (200, 0, 0), atol=30)
    np.testing.assert_allclose(middle[kept[0] * 4 // 5], 0, atol=30)


def test_what_is_not_finite_is_none() -> None:
    assert [pack_number(v) for v in (np.nan, np.inf, True, np.int64(3), np.float32(0.5))] == [
        None,
        None,
        "True",
        3,
        0.5,
    ]


def test_columns_that_tell_most_come_first_and_unknown_ones_last() -> None:
    row: dict[str, Any] = {"strange_one": 1.0, "status": "ok", "multi_val": 0.5, "name": "sky"}
    columns = concept_columns(row)
    assert [column["name"] for column in columns] == ["name", "multi_val", "status", "strange_one"]
    assert [column["main"] for column in columns] == [True, True, True, False]
    assert columns[-1]["label"] == "strange one"
    assert filter_columns({"strange_one": 1.0, "filter": 0})[0]["link"] == "filter"
