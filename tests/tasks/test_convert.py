"""``task=convert``: the same bank from every format, and refusals."""

from pathlib import Path

import pytest
from support.cli import QUICK, run_cli
from support.references import content_of

SHAPES = ["data=shapes", "data.num_images=60", "data.image_size=32"]
COCO = [
    "data=coco", "data.annotations=[coco/train.json,coco/val.json]", "data.images=coco/images",
    "data.image_size=32", "data.mask_size=16",
]  # fmt: skip
BRODEN = ["data=broden", "data.root=broden"]
LEARN = [option for option in QUICK if not option.startswith("data.")]


def test_a_dataset_gives_the_same_bank_and_tables_in_every_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options in (
        ["task=convert", *SHAPES, "to=coco", "out=coco"],
        ["task=convert", *COCO, "to=broden", "out=broden"],
        [*SHAPES, *LEARN, "run.dir=runs/shapes"],
        [*COCO, *LEARN, "run.dir=runs/coco"],
        [*BRODEN, *LEARN, "run.dir=runs/broden"],
    ):
        assert run_cli(monkeypatch, tmp_path, *options) == 0
    drawn = content_of(tmp_path / "runs" / "shapes")
    assert {"concepts.csv", "bank.safetensors: weight"} <= {*drawn}
    assert content_of(tmp_path / "runs" / "coco") == drawn
    assert content_of(tmp_path / "runs" / "broden") == drawn


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["to=coc", "out=new"], "unknown format 'coc'. Did you mean 'coco'?"),
        (["out=new"], "the option to must be given"),
        (["to=coco"], "the option out must be given"),
        (["to=coco", "out=full"], "full exists and is not empty"),
        (["to=coco", "out=new", "+ot=1"], "unknown option 'ot'"),
        (["to=coco", "out=new", "data=coco"], "data=coco needs data.annotations=FILE"),
    ],
)
def test_what_cannot_be_done_ends_in_one_message_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    assert run_cli(monkeypatch, tmp_path, "task=convert", *options) == 1
    assert message in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["full", "mine.txt"]


def test_a_dataset_is_skipped_row_by_row_only_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    convert = ["task=convert", *SHAPES, "to=coco", "out=coco"]
    assert run_cli(monkeypatch, tmp_path, *convert) == 0
    (damaged,) = sorted((tmp_path / "coco" / "images").rglob("*.png"))[:1]
    damaged.write_bytes(b"")
    again = ["task=convert", *COCO, "to=broden", "out=broden"]
    assert run_cli(monkeypatch, tmp_path, *again) == 1
    assert f"{damaged.name} is empty" in capsys.readouterr().err
    assert run_cli(monkeypatch, tmp_path, *again, "data.on_error=skip") == 0
    index = (tmp_path / "broden" / "index.csv").read_text().splitlines()
    assert len(index) == 60
