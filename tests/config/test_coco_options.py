from pathlib import Path

import pytest
from support.cli import composed
from support.fake_data.coco import image, write_json

from net2vec_pl.config.coco import open_coco
from net2vec_pl.config.plan import Plan
from net2vec_pl.config.values import plain
from net2vec_pl.datasets import CocoReader
from net2vec_pl.errors import ConfigError


def opened(*options: str) -> CocoReader:
    return open_coco(plain(composed("data=coco", *options).data), lambda: (224, 224))


def test_the_options_say_how_a_dataset_is_opened(tmp_path: Path) -> None:
    path = write_json(tmp_path / "one" / "a.json", [image(1), image(2), image(3), image(4)], [])
    (tmp_path / "a.json").write_text(path.read_text())
    reader = opened(
        f"data.annotations={tmp_path / 'a.json'}",
        f"data.images={tmp_path / 'one'}",
        "data.image_size=[32,40]",
        "data.mask_size=16",
        "data.resize=letterbox",
        "data.split=0.5",
    )
    assert (reader.image_size, reader.mask_size) == ((32, 40), (16, 16))
    assert reader.is_train.sum() == 2
    assert (reader[0].label_maps < 0).any()  # the edges of the letterbox


def test_a_plan_opens_it(tmp_path: Path) -> None:
    train = write_json(tmp_path / "train.json", [image(1)], [])
    val = write_json(tmp_path / "val.json", [image(2)], [])
    reader = Plan(composed("data=coco", f"data.annotations=[{train},{val}]")).reader
    assert reader.is_train.tolist() == [True, False]
    assert (reader.image_size, reader.mask_size) == ((96, 96), (48, 48))  # shapesnet's


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data.annotations=null", "needs data.annotations=FILE"),
        ("data.split=2", "data.split=2 must be the share of val images, between 0 and 1"),
        ("data.image_size=0", "data.image_size=0 must be"),
        ("data.mask_size=[1,2,3]", "data.mask_size"),
        ("data.resize=squeeze", "unknown value of data.resize 'squeeze'"),
        ("data.seed=-1", "data.seed=-1"),
        ("data.images={a:b}", "data.images"),
    ],
)
def test_an_option_out_of_range_is_refused(option: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opened("data.annotations=a.json", option)
    assert message in str(caught.value)
