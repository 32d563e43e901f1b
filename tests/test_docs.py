"""The pages of docs/: commands compose, snippets run, links lead somewhere, no page is lost."""

import re
import shlex
import subprocess
import sys
from configparser import ConfigParser
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.cli import QUICK, composed, run_cli

import net2vec_pl
from net2vec_pl import learn
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.formats.broden_writer import write_broden
from net2vec_pl.records.kinds import KINDS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)
FENCE = re.compile(r"^```([\w{}-]*)[^\n]*\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
COMMAND = re.compile(
    r"^(?:srun |torchrun .*)?(?:python )?train\.py ?(.*?)(?:\s+#.*)?$", re.MULTILINE
)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")
NOT_INTERFACES = {
    "tasks", "doctor", "config", "page", "compare", "predict", "studies", "pipeline", "tracking",
}  # fmt: skip


def _name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def _fences(page: Path, *languages: str) -> list[str]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


TEXTS = [text for page in PAGES for text in _fences(page, "", "bash")]
COMMANDS = sorted({c for text in TEXTS for c in COMMAND.findall(text.replace("\\\n", " "))})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_a_page_composes(command: str) -> None:
    words = shlex.split(command)
    assert all("=" in word for word in words if word not in ("-m", "…"))
    given = [w for w in words if "=" in w and not w.startswith("hydra")]
    swept = [w for w in given if "-m" in words and "," in w and "[" not in w and "{" not in w]
    fixed = [w for w in given if w not in swept and not _is_any_model(w)]
    composed(*fixed)
    for override in swept:
        name, _, values = override.partition("=")
        for choice in (f"{name}={value}" for value in values.split(",")):
            composed(*fixed, *([] if _is_any_model(choice) else [choice]))


def _is_any_model(override: str) -> bool:
    """Any network by name is a choice of model=; the command line makes its configuration."""
    name, _, value = override.partition("=")
    return name == "model" and not (ROOT / "conf" / "model" / f"{value}.yaml").exists()


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) > 30


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {"index"}
    for page in PAGES:
        for text in _fences(page, "{toctree}"):
            for line in text.splitlines():
                entry = re.sub(r".*<(.*)>", r"\1", line)
                found = page.parent.glob(f"{entry}.*") if line[:1] not in ("", ":") else []
                listed |= {p.relative_to(DOCS).with_suffix("").as_posix() for p in found}
                listed |= {entry} if entry.startswith("notebooks/") else set()
    pages = [*PAGES, *(DOCS / "api").glob("*.rst")]
    notebooks = {f"notebooks/{p.stem}" for p in (ROOT / "examples").glob("*.ipynb")}
    assert {p.relative_to(DOCS).with_suffix("").as_posix() for p in pages} | notebooks == listed


def test_every_room_is_in_the_python_reference() -> None:
    rooms = {p.parent.name for p in (ROOT / "net2vec_pl").glob("*/__init__.py")} - NOT_INTERFACES
    for room in sorted(rooms):
        page = (DOCS / "api" / f"{room}.rst").read_text(encoding="utf-8")
        if "__all__" in (ROOT / "net2vec_pl" / room / "__init__.py").read_text(encoding="utf-8"):
            assert f"automodule:: net2vec_pl.{room}\n" in page
            continue
        for file in (ROOT / "net2vec_pl" / room).glob("[!_]*.py"):
            assert f"automodule:: net2vec_pl.{room}.{file.stem}\n" in page


TASKS = "\n".join(p.read_text(encoding="utf-8") for p in sorted((DOCS / "api").glob("*.md")))


def test_every_name_and_every_member_of_a_bank_is_on_the_page_of_a_task() -> None:
    documented = set(re.findall(r"^\.\. auto\w+:: net2vec_pl\.([\w.]+)$", TASKS, re.MULTILINE))
    assert {*net2vec_pl.__all__} - {"__version__"} <= documented
    members = {name for name in vars(net2vec_pl.Bank) if not name.startswith("_")}
    assert {f"Bank.{name}" for name in members} <= documented


def test_every_table_has_its_row_in_the_reference() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| \{py:class\}`~([\w.]+)` \|$", TASKS, re.MULTILINE))
    assert listed == {name: f"{row.__module__}.{row.__name__}" for name, row in KINDS.items()}


def test_the_floors_of_the_architecture_are_those_of_the_contract() -> None:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    layers = parser["importlinter:contract:rooms"]["layers"].split("\n")
    contract = [set(re.split(r" *\| *", layer.strip())) for layer in layers if layer.strip()]
    shown: dict[int, set[str]] = {}
    text = (DOCS / "architecture.md").read_text(encoding="utf-8").replace("−", "-")
    for floor, rooms in re.findall(r"^\| (-?\d+) \| ([^|]+) \|", text, re.MULTILINE):
        shown.setdefault(int(floor), set()).update(re.findall(r"`(\w+)(?:/|\.py)`", rooms))
    assert [shown[floor] for floor in sorted(shown, reverse=True)] == contract
    assert len({*shown}) == max(shown) - min(shown) + 1


CONCEPTS = "sky,road,tree,crown,wood,person,torso,house,wall,roof,green-c"
SIZES = ["data.num_images=160", "data.image_size=64", f"data.names=[{CONCEPTS}]"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that snippets name: a run, photographs, masks and a dataset."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("photos", "masks", "bridges"):
        (folder / name).mkdir()
    drawn = np.random.default_rng(0)
    for i in range(12):
        photo = drawn.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(photo).save(folder / "photos" / f"{i}.jpg")
        Image.fromarray(drawn.integers(0, 3, (60, 80), dtype=np.uint8)).save(
            folder / "masks" / f"{i}.png"
        )
    Image.fromarray(photo).save(folder / "photo.jpg")
    road = ShapesReader(num_images=12, image_size=64)
    write_broden(road, folder / "data" / "road")
    for name in road.image_names[:8]:
        mask = drawn.integers(0, 2, (32, 32), dtype=np.uint8) * 255
        Image.fromarray(mask).save(folder / "bridges" / f"{Path(name).stem}.png")
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run_cli(monkeypatch, folder, *QUICK, *SIZES, "run.dir=runs/NAME") == 0
    return folder


_ALL = [ROOT / "README.md", ROOT / "data" / "README.md", *PAGES]
SNIPPETS = [page for page in _ALL if _fences(page, "python")]


def _learn_in_small(network: Any, layer: Any = None, **given: Any) -> Any:
    """Learn as a page says, on fewer and smaller images, with a network that is at hand."""
    signature(learn).bind(network, layer, **given)
    if isinstance(network, str):
        network, layer = "shapesnet", None
    if given.get("data", "shapes") == "shapes":
        few = {"data.num_images": 160, "data.image_size": 64, "protocol.epochs": 3}
        given["options"] = few
        given["names"] = CONCEPTS.split(",")
    return learn(network, layer, **given)


@pytest.mark.parametrize("page", SNIPPETS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_python_snippet_of_a_page_runs(
    page: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(net2vec_pl, "learn", _learn_in_small, raising=False)
    names: dict[str, object] = {"__name__": "snippet"}
    for number, text in enumerate(_fences(page, "python"), start=1):
        exec(compile(text.replace("runs/…", "runs/NAME"), f"{page.name}:{number}", "exec"), names)


def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="the site needs pip install 'net2vec_pl[docs]'")
    pytest.importorskip("myst_nb", reason="the site needs pip install 'net2vec_pl[docs]'")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    fetched = re.compile(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=\"(?:https?:)?//[^>]*>")
    for page in tmp_path.rglob("*.html"):
        assert not fetched.findall(page.read_text(encoding="utf-8")), page
    for sheet in tmp_path.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)[^;)]*https?:", sheet.read_text(encoding="utf-8"))
    assert (tmp_path / "method.html").read_text(encoding="utf-8").count("<math") > 20
    assert (tmp_path / "tutorial.html").read_text(encoding="utf-8").count("sd-tab-label") == 12
    for path in (ROOT / "examples").glob("*.ipynb"):
        shown = (tmp_path / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        assert len(re.findall(r'<img[^>]*src="\.\./_images/[0-9a-f]+\.png"', shown)) > 0
        assert 'href="../howto/use_a_bank.html"' in shown or 'href="../howto/own_' in shown
