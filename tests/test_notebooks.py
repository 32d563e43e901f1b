"""The notebooks run from their beginning, and say what their text says."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
MACHINE = re.compile(
    r"/tmp/|/home/|/root/|/Users/|\bat 0x[0-9a-f]+|ipykernel|Traceback|UserWarning"
)


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "scripts" / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _printed(notebook: Any) -> str:
    """Return what the cells print and show as text."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    texts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in outputs]
    return "\n".join(texts)


def _pictures(notebook: Any) -> int:
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    return sum("image/png" in out.get("data", ()) for out in outputs)


@pytest.fixture
def run(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return lambda name: script.run(ROOT / "examples" / name, tmp_path)


def test_a_later_layer_of_a_network_finds_more(run: Any) -> None:
    notebook = run("own_network.ipynb")
    text = _printed(notebook)
    assert "Bank(10 concepts over 64 filters of SmallNet late)" in text
    gains = [float(value) for value in re.findall(r"late - early ([+-][\d.]+)", text)]
    assert len(gains) == 10
    assert sum(gains) > 0
    assert _pictures(notebook) == 2


def test_masks_of_ones_own_give_masks_of_a_new_image(run: Any) -> None:
    notebook = run("own_masks.ipynb")
    text = _printed(notebook)
    assert text.count("Warning:") == 1  # of unknown pixels, and of nothing else
    scores = [float(value) for value in re.findall(r"set IoU on val ([\d.]+)", text)]
    assert len(scores) == 4
    assert min(scores) > 0.3
    assert _pictures(notebook) == 2


def test_concepts_grow_while_a_network_learns(run: Any) -> None:
    notebook = run("follow_training.ipynb")
    text = _printed(notebook)
    logged = dict(re.findall(r"concepts/(\w+): ([\d.]+)", text))
    assert float(logged["set_iou"]) > 0.4
    assert float(logged["cosine"]) > 0.6
    assert _pictures(notebook) == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_it_ran(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    assert _pictures(notebook) > 0
    assert notebook.metadata.language_info == {"name": "python"}
    outputs = [out for cell in cells for out in cell.outputs]
    assert all(out.get("name") != "stderr" for out in outputs)
    assert not MACHINE.search(_printed(notebook))
    assert path.stat().st_size < 500_000


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["follow_training", "own_masks", "own_network"]
