"""The reports of real runs in headless Chromium, from disk: drawn pictures and photographs."""

from pathlib import Path
from typing import Any

import pytest
from support.cli import read_table, run_cli

import net2vec_pl

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=["shapes", "photographs"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run: the default job with fewer pictures, or a few epochs on real images."""
    options = ["data.num_images=200", "data.image_size=64"]
    if request.param == "photographs":
        shared = request.getfixturevalue("shared")
        weights = (shared / "weights" / "mobilenet_v2_imagenet_plain_fp16.pth").resolve()
        root = (shared / "data" / "camvid_broden_224").resolve()
        options = ["data=broden", f"data.root={root}", "model=mobilenet_v2"]
        options += [f"model.weights={weights}", "layer=features.14.conv.0"]
    quick = ["protocol.epochs=3", "trainer=cpu", "loader.workers=0", "callbacks.progress=false"]
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *options, *quick, "run.dir=out") == 0
    return folder / "out"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_of_a_run_does_all_it_promises(run: Path, browser: Any, width: int) -> None:
    scored = [row for row in read_table(run / "concepts.csv") if row["status"] == "ok"]
    bank = net2vec_pl.load_bank(run)
    told: list[str] = []
    with browser.new_page(viewport={"width": width, "height": 900}) as page:
        page.set_default_timeout(10_000)
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: told.append(request.url))
        page.goto((run / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width

        def shown() -> list[str]:
            rows = page.locator("#concept-table tbody tr:visible td:first-child")
            return [str(text) for text in rows.all_text_contents()]

        by_score = sorted(scored, key=lambda row: -float(row["multi_val"]))
        assert shown()[:5] == [row["name"] for row in by_score[:5]]
        page.get_by_role("button", name="gain", exact=True).click()
        by_gain = sorted(scored, key=lambda row: float(row["single_val"]) - float(row["multi_val"]))
        assert shown()[0] == by_gain[0]["name"]
        page.locator("#concept-search").fill("road")
        assert shown() == [name for name in shown() if "road" in name] != []
        page.locator("#concept-table a", has_text="road").first.click()
        page.locator("dialog[open] canvas:not([aria-busy])").first.wait_for()
        nearest = page.locator("#view a[href^='#concept=']").all_text_contents()
        assert bank.nearest("road", 1)[0].name in nearest
        page.keyboard.press("Escape")
        page.locator("dialog").wait_for(state="hidden")
        page.locator("#sum-text").fill("road + sky")
        page.keyboard.press("Enter")
        answers = page.locator("#sum-answer li a").all_text_contents()
        assert answers[:3] == [answer.name for answer in bank.arithmetic("road + sky", 3)]
    assert [text for text in told if not text.startswith(("file://", "data:image/"))] == []
