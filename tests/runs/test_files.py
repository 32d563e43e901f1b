"""A file is there whole or not at all."""

from pathlib import Path

import pytest

from net2vec_pl.runs.files import whole


def test_a_file_is_replaced_once_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with whole(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_what_is_interrupted_leaves_the_file_as_it_was(
    tmp_path: Path, fault: type[BaseException]
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def interrupted() -> None:
        with whole(path) as part:
            part.write_text("half")
            raise fault

    with pytest.raises(fault):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
