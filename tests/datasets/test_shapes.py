import itertools
import pickle
from hashlib import blake2b

import numpy as np
import pytest
import torch

from net2vec_pl.data.reader import Sample
from net2vec_pl.datasets.shapes import reader as shapes
from net2vec_pl.datasets.shapes.paints import Paint
from net2vec_pl.datasets.shapes.patterns import TEXTURES, compose_texture
from net2vec_pl.datasets.shapes.picture import Picture, Region
from net2vec_pl.datasets.shapes.reader import ShapesReader
from net2vec_pl.datasets.shapes.vocabulary import COLORS, NUMBERS
from net2vec_pl.errors import ConfigError


@pytest.fixture(scope="module")
def reader() -> ShapesReader:
    return ShapesReader(num_images=160)


def layers(sample: Sample, category: str) -> list[torch.Tensor]:
    pairs = zip(sample.map_categories, sample.label_maps, strict=True)
    return [labels for name, labels in pairs if name == category]


def number(reader: ShapesReader, name: str) -> int:
    return int(reader.vocabulary[reader.vocabulary.row(name)].number)


def assert_same(one: Sample, other: Sample) -> None:
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.label_maps, other.label_maps)
    assert one.map_categories == other.map_categories
    assert one.image_labels == other.image_labels


def test_the_same_seed_draws_the_same_pixels(reader: ShapesReader) -> None:
    again = ShapesReader(num_images=160)
    for row in range(20):
        assert_same(reader[row], again[row])
        assert reader.fingerprint(row) == again.fingerprint(row)


def test_another_seed_draws_other_pixels(reader: ShapesReader) -> None:
    other = ShapesReader(num_images=10, seed=1)
    assert not torch.equal(reader[0].image, other[0].image)
    assert reader.fingerprint(0) != other.fingerprint(0)


def test_the_first_images_do_not_depend_on_how_many_follow() -> None:
    few, many = ShapesReader(num_images=10), ShapesReader(num_images=20)
    assert few.image_names == many.image_names[:10]
    assert np.array_equal(few.is_train, many.is_train[:10])
    assert np.array_equal(few.annotated, many.annotated[:10])
    for row in range(10):
        assert_same(few[row], many[row])


def test_a_picture_drawn_twice_is_no_shared_memory() -> None:
    reader = ShapesReader(num_images=1)
    kept = reader[0].image.clone()
    reader[0].image.zero_()
    assert torch.equal(reader[0].image, kept)


def test_the_cache_stays_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "_CACHE_BYTES", 3 * 7 * 32**2)
    reader = ShapesReader(num_images=5, image_size=32)
    for row in range(5):
        reader[row]
    assert len(reader._cache) == 3


@pytest.mark.parametrize("size", [32, 97])
def test_masks_have_half_the_size_of_the_images(size: int) -> None:
    reader = ShapesReader(num_images=8, image_size=size)
    for row in range(8):
        assert reader[row].image.shape == (3, size, size)
        assert reader[row].label_maps.shape[1:] == reader.mask_size == (size // 2, size // 2)


@pytest.mark.parametrize("size", [32, 97])
def test_masks_of_another_size_are_of_the_same_scene(size: int) -> None:
    reader = ShapesReader(num_images=8, image_size=size)
    finest, half = reader.at_mask_size(None), size // 2
    assert finest.mask_size == (4 * half, 4 * half)
    assert reader.at_mask_size((half, half)) is reader
    assert len(reader._cache) == 0
    for row in range(8):
        sample, fine = reader[row], finest[row]
        assert torch.equal(sample.image, fine.image)
        assert sample.image_labels == fine.image_labels
        nested = len(sample.label_maps)  # a part of a part may be too small for a smaller mask
        assert sample.map_categories == fine.map_categories[:nested]
        assert torch.equal(sample.label_maps, fine.label_maps[:nested, ::4, ::4])
        wide = reader.at_mask_size((half, 2 * half))[row].label_maps
        assert torch.equal(wide[:nested], fine.label_maps[:nested, ::4, ::2])
    assert reader[3].label_maps.shape[1:] == (half, half)  # kept apart from those of the others


@pytest.mark.parametrize("size", [(129, 8), (8, 129), (0, 8)])
def test_masks_finer_than_the_drawing_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=r"drawn in 128x128 dots.*a larger data\.image_size"):
        ShapesReader(num_images=2, image_size=64).at_mask_size(size)


def test_a_source_annotates_what_its_pictures_carry(reader: ShapesReader) -> None:
    for row, (annotated, name) in enumerate(zip(reader.annotated, reader.image_names, strict=True)):
        sample = reader[row]
        labelled = {*sample.map_categories, *(category for category, _ in sample.image_labels)}
        expected = {c.name for c, known in zip(reader.categories, annotated, strict=True) if known}
        assert labelled == expected
        source = name.split("/")[0]
        only = {"scene": "scene", "surface": "material", "texture": "texture"}[source]
        assert only in labelled
        assert len({"scene", "material", "texture"} & labelled) == 1
        assert len(sample.map_categories) <= 4


def test_some_scenes_have_no_parts(reader: ShapesReader) -> None:
    place = [category.name for category in reader.categories]
    scenes = reader.annotated[:, place.index("scene")]
    parts = reader.annotated[:, place.index("part")]
    assert 0 < parts.sum() < scenes.sum()


def test_colors_cover_every_pixel(reader: ShapesReader) -> None:
    known = torch.tensor([number(reader, name) for name in COLORS])
    for row in range(len(reader)):
        (colors,) = layers(reader[row], "color")
        assert torch.isin(colors, known).all()


def test_every_label_belongs_to_its_category(reader: ShapesReader) -> None:
    members = {
        category.name: {c.number for c in reader.vocabulary if category.name in c.categories}
        for category in reader.categories
    }
    for row in range(len(reader)):
        sample = reader[row]
        for category, labels in zip(sample.map_categories, sample.label_maps, strict=True):
            assert set(np.unique(labels).tolist()) - {0} <= members[category]
        assert all(label in members[category] for category, label in sample.image_labels)


def test_every_concept_is_seen_and_some_are_rare(reader: ShapesReader) -> None:
    count = dict.fromkeys(reader.vocabulary.numbers.tolist(), 0)
    reader = ShapesReader(num_images=400, image_size=64)
    for sample in map(reader.__getitem__, range(len(reader))):
        seen = {
            *np.unique(sample.label_maps).tolist(),
            *(label for _, label in sample.image_labels),
        }
        for label in seen - {0}:
            count[label] += 1
    assert min(count.values()) > 0
    assert min(count.values()) < 0.02 * len(reader) < 0.5 * len(reader) < max(count.values())


@pytest.mark.parametrize("name", ["red-c", "green-c", "blue-c", "black-c", "white-c", "yellow-c"])
def test_pixels_labelled_with_a_color_have_it(reader: ShapesReader, name: str) -> None:
    pixels = [
        reader[row].image[:, ::2, ::2][:, layers(reader[row], "color")[0] == number(reader, name)]
        for row in range(len(reader))
    ]
    mean = torch.cat(pixels, dim=1).float().mean(dim=1)
    distance = {c: (mean - torch.tensor(rgb)).norm().item() for c, rgb in COLORS.items()}
    assert min(distance, key=distance.__getitem__) == name


def test_parts_lie_within_the_objects_that_have_them(reader: ShapesReader) -> None:
    wholes = {"roof": {"house"}, "crown": {"tree"}, "sail": {"boat"}, "hull": {"boat", "rocket"}}
    for row, (name, owners) in itertools.product(range(len(reader)), wholes.items()):
        parts = layers(reader[row], "part")
        if parts:
            (objects,) = layers(reader[row], "object")
            beneath = np.unique(objects[parts[0] == number(reader, name)]).tolist()
            assert set(beneath) <= {number(reader, owner) for owner in owners}


def test_parts_of_parts_lie_within_the_parts(reader: ShapesReader) -> None:
    wheel, hub = number(reader, "wheel"), number(reader, "hub")
    found = 0
    for row in range(len(reader)):
        parts = layers(reader[row], "part")
        if len(parts) == 2:
            hubs = parts[1] == hub
            found += int(hubs.sum())
            assert (parts[0][hubs] == wheel).all()
    assert found > 0


def test_a_wheel_is_a_part_and_an_object_of_one_number(reader: ShapesReader) -> None:
    concept = reader.vocabulary[reader.vocabulary.row("wheel")]
    assert concept.categories == ("part", "object")
    pixels = {
        category: sum(
            int((labels == concept.number).sum())
            for row in range(len(reader))
            for labels in layers(reader[row], category)
        )
        for category in concept.categories
    }
    assert pixels["part"] > pixels["object"] > 0


def test_the_vocabulary_has_numbers_in_order_and_no_name_twice(reader: ShapesReader) -> None:
    assert reader.vocabulary.numbers.tolist() == list(range(1, len(reader.vocabulary) + 1))
    assert 45 <= len(reader.vocabulary) <= 65
    assert {c.name for c in reader.vocabulary if not c.pixels} == {
        c.name for c in reader.vocabulary if c.category in ("scene", "texture")
    }


def test_both_splits_hold_their_share() -> None:
    assert abs(ShapesReader(num_images=600).is_train.sum() - 420) <= 2
    assert ShapesReader(num_images=9, train_fraction=1.0).is_train.all()
    assert not ShapesReader(num_images=9, train_fraction=0.0).is_train.any()


def test_a_pickled_reader_draws_the_same_and_carries_no_pictures(reader: ShapesReader) -> None:
    reader[0]
    data = pickle.dumps(reader)
    assert len(data) < 100_000
    assert_same(pickle.loads(data)[0], reader[0])


def test_a_row_beyond_the_last_is_an_index_error(reader: ShapesReader) -> None:
    assert_same(reader[-1], reader[len(reader) - 1])
    with pytest.raises(IndexError, match="row 160 of 160"):
        reader[160]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_images", 0),
        ("image_size", 31),
        ("image_size", 1025),
        ("seed", -1),
        ("train_fraction", 1.1),
    ],
)
def test_an_argument_out_of_range_is_named_with_what_is_allowed(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{name} .* is {value}; it must be"):
        ShapesReader(**{name: value})  # type: ignore[arg-type]


# -------------------- what the shipped network and its data's digest rely on


def test_a_fingerprint_names_seed_row_size_and_split() -> None:
    reader = ShapesReader(num_images=4, image_size=48, seed=7)
    splits = ["train" if train else "val" for train in reader.is_train]
    expected = [f"shapes 1 7 {row} 48 {splits[row]}".encode() for row in range(4)]
    assert [reader.fingerprint(row) for row in range(4)] == expected
    assert len({*splits}) == 2


def test_splits_fall_evenly_from_a_turn_that_the_seed_draws() -> None:
    for seed in (0, 5):
        turn = np.random.default_rng(seed).random()
        expected = [(turn + row * (5**0.5 - 1) / 2) % 1 < 0.7 for row in range(80)]
        assert ShapesReader(num_images=80, seed=seed).is_train.tolist() == expected


def test_sources_and_kinds_have_their_shares() -> None:
    reader = ShapesReader(num_images=4000, image_size=32)
    place = [category.name for category in reader.categories]
    shares = {name: reader.annotated[:, place.index(name)].mean() for name in place}
    expected = {
        "color": 1,
        "object": 0.60,
        "part": 0.54,
        "material": 0.24,
        "scene": 0.60,
        "texture": 0.16,
    }
    assert shares == pytest.approx(expected, abs=0.03)
    sources = [name.split("/")[0] for name in reader.image_names]
    found = {source: sources.count(source) / 4000 for source in set(sources)}
    assert found == pytest.approx({"scene": 0.60, "surface": 0.24, "texture": 0.16}, abs=0.03)


def test_every_second_pixel_of_a_picture_is_labelled() -> None:
    table = (
        Region(Paint("red-c", (200, 0, 0)), "house", "wall"),
        Region(Paint("blue-c", (0, 0, 200)), "house", "door", "knob", "wood"),
    )
    regions = np.zeros((16, 16), dtype=np.uint8)
    regions[4:8, 8:] = 1  # in dots, of which a pixel has two by two
    light = np.ones((8, 8), dtype=np.float32)
    light[:, :4] = 0.5
    picture = Picture(regions, table, light, ())
    labelled = {
        "color": ("red-c", "blue-c"),
        "object": ("house", "house"),
        "part": ("wall", "door"),
        "nested": ("", "knob"),
        "material": ("", "wood"),
    }
    for layer, (around, inside) in labelled.items():
        expected = np.full((4, 4), NUMBERS[around])
        expected[1, 2:] = NUMBERS[inside]
        assert picture.label_map(layer, (4, 4)).tolist() == expected.tolist(), layer
        dots = np.kron(expected, np.ones((4, 4)))
        assert picture.label_map(layer, (16, 16)).tolist() == dots.tolist(), layer
        assert picture.label_map(layer, (2, 8)).tolist() == dots[::8, ::2].tolist(), layer
    plain = picture.render(np.random.default_rng(0), noise=0.0)
    assert plain[:, 0, 0].tolist() == [100, 0, 0]
    assert plain[:, 0, 7].tolist() == [200, 0, 0]
    assert plain[:, 2, 7].tolist() == [0, 0, 200]
    grey = Picture(regions * 0, (Region(Paint("grey-c", (128, 128, 128))),), light * 0 + 1, ())
    noisy = grey.render(np.random.default_rng(0), noise=4.0).astype(float)
    assert (noisy == noisy[0]).all()  # grey noise
    many = [grey.render(np.random.default_rng(n), noise=4.0).astype(float) for n in range(40)]
    assert abs(np.mean(many) - 127.5) < 0.5  # half a level less, by truncation
    assert abs(np.std(many) - 4) < 0.3


def test_the_dominant_texture_of_two_comes_first() -> None:
    reader = ShapesReader(num_images=200, image_size=32)
    pairs = 0
    for row, name in enumerate(reader.image_names):
        if name.startswith("texture"):
            rng = np.random.default_rng([0, row])
            picture = compose_texture(32, rng)
            assert 1 <= len(picture.image_labels) <= 2
            if len(picture.image_labels) == 2:
                pairs += 1
                areas = np.bincount(picture.regions.ravel() // 2, minlength=2)
                first, second = (label for _, label in reader[row].image_labels)
                names = texture_names(row)
                expected = [names[patch] for patch in np.argsort(-areas, kind="stable")]
                assert [first, second] == [NUMBERS[name] for name in expected]
    assert pairs > 3


def texture_names(row: int) -> list[str]:
    """Return the textures of a picture in the order in which its patches are drawn."""
    rng = np.random.default_rng([0, row])
    names, weights = zip(*((name, w) for name, (_, w) in TEXTURES.items()), strict=True)
    count = 1 + int(rng.random() < 0.3)
    shares = np.array(weights) / sum(weights)
    chosen: list[int] = rng.choice(len(names), count, replace=False, p=shares).tolist()
    return [names[index] for index in chosen]


def test_labels_of_the_pictures_move_only_with_the_format_version(reader: ShapesReader) -> None:
    """The shipped network was trained on these; a change of them needs another one."""
    digest = blake2b(digest_size=8)
    for row in range(len(reader)):
        sample = reader[row]
        digest.update(sample.label_maps.numpy().astype("<i4").tobytes())
        digest.update(repr((sample.map_categories, sample.image_labels)).encode())
    assert {1: "2620789db2bc859b"}[shapes.FORMAT_VERSION] == digest.hexdigest(), (
        "labels of data=shapes moved: raise FORMAT_VERSION, and `make shapesnet`"
    )


def test_pixels_of_the_pictures_are_as_bright_as_ever(reader: ShapesReader) -> None:
    images = np.stack([reader[row].image.numpy() for row in range(len(reader))]).astype(float)
    assert images.mean((0, 2, 3)).tolist() == pytest.approx([134.0, 114.8, 107.9], abs=0.1)
    assert images.std((0, 2, 3)).tolist() == pytest.approx([78.3, 64.6, 75.3], abs=0.1)
