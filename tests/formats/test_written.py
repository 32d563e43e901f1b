from pathlib import Path

import numpy as np
import pytest

from net2vec_pl.errors import DataError
from net2vec_pl.formats.written import check_free, new_folder, png_paths, save_png


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "out") as part:
        (part / "x.txt").touch()
        assert not (tmp_path / "a" / "out").exists()
    assert [p.name for p in (tmp_path / "a" / "out").iterdir()] == ["x.txt"]
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "b") as part:
        (part / "none" / "x.txt").touch()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_or_file_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(DataError, match="not empty"):
            check_free(path)
    check_free(tmp_path / "new")


def test_images_keep_their_names_but_for_the_suffix(tmp_path: Path) -> None:
    assert [str(path) for path in png_paths(["a/b.c.jpg", "d"], "X's")] == ["a/b.c.png", "d.png"]
    with pytest.raises(DataError, match=r"X's layout cannot hold .*: /a, \.\./b, c;d"):
        png_paths(["/a", "../b", "c;d", "e"], "X's")


def test_an_image_is_written_once(tmp_path: Path) -> None:
    save_png(np.zeros((2, 3, 3), dtype=np.uint8), tmp_path / "a" / "b.png")
    with pytest.raises(DataError, match=r"both become b\.png"):
        save_png(np.zeros((2, 3, 3), dtype=np.uint8), tmp_path / "a" / "b.png")
