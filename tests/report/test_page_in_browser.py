"""The page of a comparison in headless Chromium, from disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browsing import fitting_page
from support.cli import run_cli
from support.fake_data.runs import write_run

pytestmark = pytest.mark.browser
NAMES = [f"a concept with a rather long name, number {i}" for i in range(60)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("page")
    for i, layer in enumerate(("conv3", "conv4", "conv5")):
        scores = {name: (7 * c % 60 + i) / 100 for c, name in enumerate(NAMES)}
        write_run(folder / "runs" / layer, scores, layer=layer, seed=i)
    write_run(folder / "runs" / "other", dict.fromkeys(NAMES, 0.5), digest="other")
    (folder / "runs" / "begun" / ".hydra").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, "task=compare", "runs=runs", "run.dir=out") == 0
    return (folder / "out" / "comparison.html").as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    with browser.new_page(viewport={"width": 1280, "height": 900}) as page:
        page.set_default_timeout(5000)
        page.goto(address)
        yield page


def concepts(page: Any) -> Any:
    """The table of the first group's concepts."""
    return page.locator("section:has(h3:text-is('Concepts by setting'))").first


def column(page: Any, place: int) -> list[str]:
    cells = concepts(page).locator(f"tbody tr:visible td:nth-child({place})")
    return [str(text) for text in cells.all_text_contents()]


def test_nothing_is_asked_of_a_network_and_nothing_fails(browser: Any, address: str) -> None:
    with browser.new_page() as page:
        told: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_role("button", name="concept", exact=True).first.click()
        assert [url for url in asked if not url.startswith("data:image/")] == [address]
        assert not told
        images = page.locator("img")
        assert images.count() >= 4
        assert all(images.evaluate_all("all => all.map(image => image.naturalWidth > 0)"))


def test_a_column_sorts_by_mouse_and_by_keyboard(page: Any) -> None:
    head = concepts(page).locator("th").filter(has_text="conv4")
    before, left = column(page, 4), column(page, 3)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, 4) == sorted(before, key=float, reverse=True) != before
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, 4) == sorted(before, key=float)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert concepts(page).locator("th[aria-sort]").all_text_contents() == ["conv3"]
    assert column(page, 3) == sorted(left, key=float, reverse=True)


def test_a_search_leaves_the_rows_that_have_the_words(page: Any) -> None:
    concepts(page).locator("input").fill("Number 5")
    assert set(column(page, 1)) == {n for n in NAMES if "number 5" in n}
    assert concepts(page).locator("output").text_content() == "11"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 640, 1280])
def test_nothing_is_wider_than_the_window(
    browser: Any, address: str, width: int, scheme: str
) -> None:
    with fitting_page(browser, address, width, scheme):
        pass
