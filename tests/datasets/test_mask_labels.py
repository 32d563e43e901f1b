"""Names of labels are read from every form that tools write, and mean the right numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.files.mask_labels import labels_from
from net2vec_pl.errors import ConfigError, DataError

FILES: dict[str, tuple[str, dict[int, str], bool]] = {
    "lines.txt": ("cat\nsofa, red\n\n", {1: "cat", 2: "sofa, red"}, True),
    "background.txt": ("Background\ncat\nsofa\n", {1: "cat", 2: "sofa"}, True),
    "a.csv": ("\ufeffname,number\ncat,7\nsofa,300\n", {7: "cat", 300: "sofa"}, False),
    "b.csv": ("id,name\n0,road\n1,sky\n", {0: "road", 1: "sky"}, False),
    "c.csv": ("name,r,g,b\nVoid,0,0,0\ncat,1,2,3\n", {1: "Void", 2: "cat"}, True),
    "tabs.txt": ("Idx\tRatio\tName\n1\t0.2\twall\n2\t0.1\tbuilding;edifice\n",
                 {1: "wall", 2: "building;edifice"}, False),
    "camvid.txt": ("0 0 0\tVoid\n64 128 64\tAnimal\n", {1: "Void", 2: "Animal"}, True),
    "labelmap.txt": ("# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:9,8,7::\n",
                     {1: "cat"}, True),
    "list.json": (json.dumps(["background", "cat"]), {1: "cat"}, True),
    "numbers.json": (json.dumps({"0": "background", "2": "cat"}), {2: "cat"}, False),
    "names.yaml": ("cat: 4\nsofa: 2\n", {4: "cat", 2: "sofa"}, False),
    "lines.yml": ("- {id: 3, name: cat, color: [1, 2, 3]}\n", {3: "cat"}, False),
}  # fmt: skip


@pytest.mark.parametrize("name", [*FILES])
def test_files_of_names_are_read(tmp_path: Path, name: str) -> None:
    text, names, complete = FILES[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = labels_from(str(tmp_path / name))
    assert (dict(found.names), found.complete) == (names, complete)


def test_colours_come_along(tmp_path: Path) -> None:
    for name in ("labelmap.txt", "camvid.txt", "lines.yml", "c.csv"):
        (tmp_path / name).write_text(FILES[name][0])
    assert labels_from(tmp_path / "labelmap.txt").colours == {(0, 0, 0): 0, (9, 8, 7): 1}
    assert labels_from(tmp_path / "camvid.txt").colours == {(0, 0, 0): 1, (64, 128, 64): 2}
    assert labels_from(tmp_path / "lines.yml").colours == {(1, 2, 3): 3}
    assert labels_from(tmp_path / "c.csv").colours == {(0, 0, 0): 1, (1, 2, 3): 2}
    assert labels_from({"cat": [5, 6, 7]}).colours == {(5, 6, 7): 1}


def test_a_label_0_that_is_a_concept_moves_all_numbers_by_one() -> None:
    labels = labels_from({0: "road", 1: "sky"})
    assert [(c.number, c.name) for c in labels.vocabulary] == [(1, "road"), (2, "sky")]
    numbers = np.array([[0, 1], [-1, 7]], dtype=np.int32)
    assert labels.named(numbers, "it").tolist() == [[1, 2], [-1, 0]]


def test_a_label_without_a_name_is_a_mistake_where_all_have_one() -> None:
    numbers = np.array([[0, 1, 2, 9]], dtype=np.int32)
    with pytest.raises(UnreadableRowError, match=r"^it holds label 2, 9, which has no name; there"):
        labels_from(["cat"]).named(numbers, "it")
    assert labels_from({1: "cat"}).named(numbers, "it").tolist() == [[0, 1, 0, 0]]


@pytest.mark.parametrize("given", [None, 3, [], {}, {"a": "b"}, {-1: "x"}])
def test_what_names_nothing_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"docs/datasets\.md#names-of-labels"):
        labels_from(given)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{", "cannot be read"),
        ("a.yaml", "a: [", "cannot be read"),
        ("a.txt", "\n\n", "names nothing"),
        ("a.csv", "x,y\n1,2\n", "has no column of names; it has x, y"),
        ("b.csv", "number,name\none,cat\n", "has a line without a number or a colour"),
    ],
)
def test_a_file_that_names_nothing_is_told(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        labels_from(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read"):
        labels_from(tmp_path / "none.txt")
