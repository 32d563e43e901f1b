"""The page of a layer in headless Chromium, from disk."""

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from support.browsing import fitting_page
from support.fake_data.pages import AWKWARD, CATEGORIES, SPACES, embeddings, layer_page, left_out

from net2vec_pl.analysis.space import analogy, nearest
from net2vec_pl.report.layer_page import Example, LayerPage, Space, write_report

pytestmark = pytest.mark.browser
CONCEPTS, FILTERS = 30, 16
NAMES = [*AWKWARD, *(f"concept {i}" for i in range(len(AWKWARD), CONCEPTS))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    return write(folder, layer_page(CONCEPTS, FILTERS))


def write(folder: Path, page: LayerPage) -> str:
    path = folder / f"{len(list(folder.iterdir()))}.html"
    write_report(path, page)
    return path.as_uri()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that must say nothing on its console and ask nothing of a network."""
    with browser.new_page(viewport={"width": 1280, "height": 900}) as page:
        told: list[str] = []
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: told.append(request.url))
        page.set_default_timeout(5000)
        yield page
        assert [text for text in told if not text.startswith(("file://", "data:image/"))] == []


def shown(page: Any, table: str = "concept") -> list[str]:
    rows = page.locator(f"#{table}-table tbody tr:visible td:first-child")
    return [str(text) for text in rows.all_text_contents()]


def title(page: Any) -> str:
    page.locator("dialog[open]").wait_for()
    heading = page.locator("#view-title")
    return str(heading.evaluate("heading => heading.firstChild.textContent"))


def test_the_table_is_searched_filtered_and_sorted(page: Any, address: str) -> None:
    page.goto(address)
    assert sorted(shown(page)) == sorted(NAMES)
    page.locator("#concept-search").fill("Concept 2")
    assert set(shown(page)) == {name for name in NAMES if "concept 2" in name}
    page.locator("#concept-category").select_option("part")
    kept = {n for c, n in enumerate(NAMES) if "concept 2" in n and CATEGORIES[c % 6] == "part"}
    assert set(shown(page)) == kept
    assert page.locator("#concept-count").text_content() == f"{len(kept)} of {CONCEPTS}"
    page.locator("#concept-search").fill("")
    page.locator("#concept-category").select_option("")
    page.locator("#concept-kind").select_option("without scores")
    assert shown(page) == NAMES[-3:]
    page.locator("#concept-kind").select_option("")
    page.get_by_role("button", name="val images").click()
    assert shown(page) == NAMES[::-1]


@pytest.mark.parametrize("c", range(len(AWKWARD)))
def test_any_name_opens_by_mouse_keyboard_and_address(page: Any, address: str, c: int) -> None:
    page.goto(address)
    row = page.locator(f"#concept-table tr[data-at='{c}']")
    row.locator("td").nth(1).click()
    assert title(page) == NAMES[c]
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="hidden")
    assert not page.url.partition("#")[2]
    row.locator("a").first.focus()
    page.keyboard.press("Enter")
    assert title(page) == NAMES[c]
    page.goto("about:blank")
    page.goto(f"{address}#concept={quote(NAMES[c], safe='')}")
    assert title(page) == NAMES[c]


def test_the_first_screen_shows_masks_from_the_best_found_to_the_worst(
    page: Any, address: str
) -> None:
    page.goto(address)
    page.locator("#overview canvas:not([aria-busy])").nth(5).wait_for()
    captions = page.locator("#overview figcaption").all_text_contents()
    values = [float(caption.split()[-1]) for caption in captions]
    assert len(values) == 6
    assert values == sorted(values, reverse=True)
    first = page.locator("#overview a").first
    name = first.text_content()
    assert name == shown(page)[0]
    first.click()
    assert title(page) == name


def test_back_returns_to_what_was_open(page: Any, address: str) -> None:
    page.goto(address)
    page.locator("#concept-table a", has_text="concept 7").click()
    page.locator("#view .bars a[href^='#filter']").first.click()
    page.wait_for_function("document.getElementById('view-title').textContent.startsWith('Filter')")
    assert title(page).startswith("Filter ")
    page.locator("#view .bars a[href^='#concept']").first.click()
    page.go_back()
    page.go_back()
    page.wait_for_function("document.getElementById('view-title').textContent.includes('7')")
    assert title(page) == "concept 7"
    page.go_back()
    page.locator("dialog").wait_for(state="hidden")
    page.goto(f"{address}#concept=conept%207")
    assert "Did you mean 'concept 7'" in page.locator("#view").text_content()
    page.goto(f"{address}#concept=%E0%A4%A")
    assert title(page) == "Not found"


def test_a_mask_dims_what_lies_outside_it(page: Any, folder: Path) -> None:
    made = layer_page(concepts=2, filters=8, names=())
    left, top = (np.zeros((112, 112), dtype=np.bool_) for _ in range(2))
    left[:, :56], top[:56] = True, True
    planted = Example(0, {"ground truth": top, "embedding": left}, "a caption")
    white = np.full((3, 112, 112), 255, dtype=np.uint8)
    concepts = [replace(made.concepts[0], examples=[planted]), *made.concepts[1:]]
    address = write(folder, replace(made, concepts=concepts, pictures=[white] * 12))
    page.goto(f"{address}#concept=concept%200")
    canvas = page.locator(".example canvas:not([aria-busy])")
    canvas.nth(2).wait_for()
    plain, truth, found = (pixels(canvas.nth(i)) for i in range(3))
    for drawn, expected in (
        (plain, (255, 255, 255)),
        (truth, (255, 255, 51)),
        (found, (255, 51, 255)),
    ):
        values = [drawn[y, x].mean() for x, y in ((50, 50), (170, 50), (50, 170))]
        np.testing.assert_allclose(values, expected, atol=4)
        np.testing.assert_allclose(drawn[112, 40], (240, 228, 66), atol=8)  # outline of the truth
    assert "a caption" in canvas.nth(1).get_attribute("aria-label")


def pixels(canvas: Any) -> Any:
    """Return what a canvas shows, at its own size."""
    with Image.open(io.BytesIO(canvas.screenshot())) as image:
        return np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.NEAREST)) * 1.0


def ask(page: Any, expression: str) -> tuple[list[str], list[float], str]:
    page.locator("#sum-text").fill(expression)
    page.locator("#sum-text").press("Enter")
    answer = page.locator("#sum-answer")
    values = [float(text) for text in answer.locator(".value").all_text_contents()]
    return answer.locator("a").all_text_contents(), values, answer.text_content()


@pytest.mark.parametrize("space", SPACES)
def test_arithmetic_answers_as_the_analysis_does(page: Any, address: str, space: str) -> None:
    weight = embeddings(CONCEPTS, FILTERS, SPACES.index(space))
    page.goto(address)
    page.get_by_label(space).check()
    for expression in (
        NAMES[0],
        f"{NAMES[0]} + {NAMES[1]}",
        f"{NAMES[2]} + {NAMES[3]} - {NAMES[4]}",
        "concept 9 - concept 10 - concept 11",
        "concept 9 + concept 9 - concept 10",
        "'concept 9' − \"concept 10\"",
    ):
        expected = analogy(expression, NAMES, weight, k=8)
        names, values, _ = ask(page, expression)
        assert names == [NAMES[c] for c in expected.index]
        np.testing.assert_allclose(values, expected.cosine, atol=0.0006)


def test_arithmetic_says_what_it_cannot_answer(page: Any, address: str) -> None:
    page.goto(address)
    assert "Did you mean 'concept 9'" in ask(page, "concpt 9 + concept 10")[2]
    assert "cancel" in ask(page, "concept 9 - concept 9")[2]
    assert f"{NAMES[-1]}: no embedding" in ask(page, f"concept 9 + {NAMES[-1]}")[2]
    assert "with the spaces" in ask(page, "concept 9+concept 10")[2]
    assert ask(page, " ")[2] == ""
    page.locator("#sum-text").fill("concept 9 - Öl")
    completed = page.locator("#sum-names option").evaluate_all("all => all.map(o => o.value)")
    assert completed == [f"concept 9 - {NAMES[3]}"]


def test_nearest_concepts_are_those_of_the_analysis(page: Any, address: str) -> None:
    page.goto(f"{address}#concept=concept%207")
    for space in SPACES:
        found = nearest(embeddings(CONCEPTS, FILTERS, SPACES.index(space)), k=8)
        section = page.locator("#view section", has_text=f"Nearest concepts, {space}")
        assert section.locator("a").all_text_contents() == [NAMES[c] for c in found.index[7]]


def test_the_map_is_walked_by_keyboard_and_searched(page: Any, address: str) -> None:
    page.goto(address)
    points = page.locator("#map a")
    assert points.count() == CONCEPTS - 3
    stop = page.locator("#map a[tabindex='0']")
    assert stop.count() == 1
    stop.focus()
    visited = set()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        name = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert name.startswith(page.locator("#map text.told").text_content())
        visited.add(name)
    assert len(visited) >= 2
    assert stop.count() == 1
    page.keyboard.press("Enter")
    assert name.startswith(title(page))
    page.keyboard.press("Escape")
    page.locator("#map-search").fill("concept 9")
    hits = page.locator("#map a.hit")
    assert hits.evaluate_all("all => all.map(a => a.ariaLabel)") == ["concept 9, color"]
    assert page.locator("#map g text").all_text_contents() == ["concept 9"]
    page.locator("#map-search").fill("")
    page.get_by_role("button", name="color").click()
    assert hits.count() == sum(c % 6 == 3 for c in range(CONCEPTS - 3))
    points.first.hover()
    assert page.locator("#map text.told").count() == 1


def test_filters_are_found_and_opened(page: Any, address: str) -> None:
    page.goto(address)
    page.locator("#filter-search").fill("1")
    assert set(shown(page, "filter")) == {str(k) for k in range(FILTERS) if str(k)[0] == "1"}
    page.locator("#filter-table a", has_text="12").first.click()
    assert title(page) == "Filter 12"
    weight = embeddings(CONCEPTS, FILTERS, 0)[:, 12]
    first = NAMES[int(np.nanargmax(weight))]
    assert page.locator("#view .bars a").first.text_content() == first
    assert page.locator("#view .strip img").count() == 6
    page.goto(f"{address}#filter=99")
    assert "no filter 99" in page.locator("#view").text_content()


def test_what_is_not_there_is_said(page: Any, folder: Path) -> None:
    nothing = Space(np.full((1, 1), np.nan), np.full((1, 2), np.nan), "Too few concepts.")
    empty = LayerPage("a <layer>", [], {}, [left_out(0, "sky")], [], [], {"x": nothing}, {}, [], "")
    page.goto(write(folder, empty))
    assert "no analysis" in page.locator("body").text_content()
    assert "There is no map. Too few concepts." in page.locator("body").text_content()
    assert "no embedding" in ask(page, "sky")[2]
    page.locator("#concept-table a").click()
    for words in ("No example", "No scores", "analysis=all", "no weights", "no embedding"):
        assert words in page.locator("#view").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(
    browser: Any, address: str, width: int, scheme: str
) -> None:
    with fitting_page(browser, address, width, scheme) as page:
        page.locator("#concept-table a").first.click()
        page.locator("dialog[open]").wait_for()
        box = page.locator("dialog").evaluate("d => [d.scrollWidth - d.clientWidth, d.clientWidth]")
        assert box[0] == 0
        assert box[1] <= width


def test_paper_has_the_findings_the_first_rows_and_the_map(page: Any, folder: Path) -> None:
    page.goto(write(folder, layer_page(concepts=90, filters=8, names=())))
    page.evaluate("addEventListener('afterprint', () => { window.printed = true; })")
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert page.evaluate("window.printed")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.get_by_text("For 74% [60%, 84%].").is_visible()
    assert len(shown(page)) == 40
    assert page.locator("#map svg").is_visible()
    assert not page.locator("#concept-search").is_visible()


def test_a_large_page_is_small_and_quick(page: Any, folder: Path) -> None:
    address = write(folder, layer_page(concepts=1200, filters=512, pictures=400, examples=4))
    size = Path(address.removeprefix("file://")).stat().st_size
    assert size < 12e6
    begin = time.perf_counter()
    page.goto(address)
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    assert time.perf_counter() - begin < 3
    assert len(shown(page)) == 1200
