"""The oracle itself: hand-made cases, other libraries, numerical gradients, known identities."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import average_precision_score
from support import oracles
from support.oracles import BoolArray, Broden, Float64Array, IntArray, Loss

SHARED = Path(
    os.environ.get("NET2VEC_SHARED", str(Path(__file__).resolve().parents[1].parent / "shared"))
)
CAMVID = SHARED / "data" / "camvid_broden_224"
needs_camvid = pytest.mark.skipif(
    not CAMVID.is_dir(),
    reason="set NET2VEC_SHARED to the folder that holds data/camvid_broden_224 to run this",
)
CONVENTIONS = pytest.mark.parametrize("align_corners", [True, False])
LOSSES = pytest.mark.parametrize("loss", ["agreement", "bce"])


def random_problem(
    seed: int, images: int = 3, filters: int = 5, density: float = 0.3
) -> tuple[BoolArray, BoolArray, Float64Array]:
    """Return bits (N, K, 4, 3), masks (N, 11, 9) and an embedding (K,)."""
    rng = np.random.default_rng(seed)
    bits = rng.random((images, filters, 4, 3)) < density
    masks = rng.random((images, 11, 9)) < density
    return bits, masks, rng.normal(size=filters)


# -------------------- reading


def write_map(path: Path, numbers: NDArray[np.int64]) -> None:
    """Write label numbers as R + 256 G."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = np.stack([numbers % 256, numbers // 256, np.zeros_like(numbers)], axis=-1)
    Image.fromarray(channels.astype(np.uint8)).save(path)


@pytest.fixture
def small_broden(tmp_path: Path) -> Broden:
    """Three annotated images and an empty one; numbers above 255, layers, mixed and empty cells."""
    (tmp_path / "index.csv").write_text(
        "image,split,ih,iw,sh,sw,color,object,part,texture\n"
        "a/1.jpg,train,4,4,2,2,,a/1_object.png,a/1_part_1.png;a/1_part_2.png,\n"
        "a/2.jpg,val,4,4,2,2,,;;,a/2_part.png;5,300;301;\n"
        "a/3.jpg,train,4,4,2,2,,,,\n"
        "a/4.jpg,train,4,4,2,2,,,,300\n"
    )
    (tmp_path / "category.csv").write_text(
        "name,first,last,count,frequency\n"
        "part,5,700,2,3\ncolor,1,1,1,1\ntexture,300,301,2,3\nobject,5,256,2,2\n"
    )
    (tmp_path / "label.csv").write_text(
        "number,name,category,frequency,coverage,syns\n"
        "1,red-c,color(1),1,0.5,\n"
        '5,wheel,part(2);object(1),3,1.5,"tyre;wheels, all"\n'
        "256,car,object(1),1,0.5,auto\n"
        "300,dotted,texture(2),2,2.0,\n301,lined,texture(1),1,1.0,\n"
        "700,lid,part(1),1,0.25,\n"
    )
    header = "code,number,name,frequency,coverage\n"
    (tmp_path / "c_color.csv").write_text(header + "1,1,red-c,1,0.5\n")
    (tmp_path / "c_object.csv").write_text(header + "1,256,car,1,0.5\n2,5,wheel,1,0.25\n")
    (tmp_path / "c_part.csv").write_text(header + "1,5,wheel,2,0.25\n2,700,lid,1,0.25\n")
    (tmp_path / "c_texture.csv").write_text(header + "1,300,dotted,2,2.0\n2,301,lined,1,1.0\n")
    images = tmp_path / "images" / "a"
    write_map(images / "1_object.png", np.array([[256, 256], [5, 0]]))
    write_map(images / "1_part_1.png", np.array([[5, 0], [0, 0]]))
    write_map(images / "1_part_2.png", np.array([[700, 0], [0, 0]]))
    write_map(images / "2_part.png", np.array([[0, 0], [0, 0]]))
    return oracles.read_broden(tmp_path)


def test_reader_keeps_annotated_rows_and_mixed_cells(small_broden: Broden) -> None:
    assert [row["image"] for row in small_broden["rows"]] == ["a/1.jpg", "a/2.jpg", "a/4.jpg"]
    cells = small_broden["rows"][1]["cells"]
    folder = small_broden["rows"][1]["path"].parents[1]
    assert cells["part"] == [folder / "a/2_part.png", 5]
    assert cells["texture"] == [300, 301]
    assert cells["object"] == []


def test_reader_keeps_label_records(small_broden: Broden) -> None:
    wheel = small_broden["labels"][5]
    assert wheel["categories"] == [("part", 2), ("object", 1)]
    assert wheel["syns"] == ["tyre", "wheels, all"]
    assert small_broden["labels"][0]["name"] == ""
    assert small_broden["codes"]["object"][5]["code"] == 2
    order = [category["name"] for category in small_broden["categories"]]
    assert order == ["color", "part", "object", "texture"]


def test_mask_is_the_union_over_layers_and_categories(small_broden: Broden) -> None:
    first, second, third = small_broden["rows"]
    assert oracles.label_mask(first, 256).tolist() == [[True, True], [False, False]]
    assert oracles.label_mask(first, 5).tolist() == [[True, False], [True, False]]
    assert oracles.label_mask(first, 700).tolist() == [[True, False], [False, False]]
    assert oracles.label_mask(second, 5).all()
    assert oracles.label_mask(third, 300).all()
    assert not oracles.label_mask(third, 5).any()
    with pytest.raises(ValueError, match="label 0 is no concept"):
        oracles.label_mask(first, 0)


def test_presence_follows_the_masks(small_broden: Broden) -> None:
    table = oracles.present(small_broden)
    assert table.shape == (3, 701)
    assert [np.flatnonzero(line).tolist() for line in table] == [
        [5, 256, 700],
        [5, 300, 301],
        [300],
    ]
    for i, row in enumerate(small_broden["rows"]):
        assert all(oracles.present_in(row, n) == table[i, n] for n in (1, 5, 256, 300, 301, 700))
    assert oracles.concept_images(small_broden, table, "train", 300) == [2]
    assert oracles.concept_images(small_broden, table, "val", 5) == [1]


def test_primary_category_has_the_largest_coverage_and_ties_go_up(small_broden: Broden) -> None:
    names = [category["name"] for category in small_broden["categories"]]
    assert names[oracles.primary_category(small_broden, 256)] == "object"
    assert names[oracles.primary_category(small_broden, 5)] == "object"
    assert names[oracles.primary_category(small_broden, 700)] == "part"
    assert oracles.primary_category(small_broden, 0) == -1
    assert oracles.pixel_concepts(small_broden) == [1, 5, 256, 700]


@pytest.fixture(scope="module")
def camvid() -> Broden:
    return oracles.read_broden(CAMVID)


@pytest.fixture(scope="module")
def camvid_present(camvid: Broden) -> BoolArray:
    return oracles.present(camvid)


@needs_camvid
def test_camvid_has_its_rows_and_labels(camvid: Broden) -> None:
    splits = [row["split"] for row in camvid["rows"]]
    assert (len(splits), splits.count("train"), splits.count("val")) == (501, 367, 134)
    assert {(row["sh"], row["sw"]) for row in camvid["rows"]} == {(112, 112)}
    assert sorted(camvid["labels"]) == list(range(26))
    assert oracles.pixel_concepts(camvid) == list(range(1, 22))
    assert [oracles.primary_category(camvid, n) for n in (1, 2, 19, 21, 22)] == [0, 1, 0, 1, 2]


@needs_camvid
def test_camvid_presence_agrees_with_its_table(camvid: Broden, camvid_present: BoolArray) -> None:
    """The table counted larger maps, so a pixel concept may have vanished from a few images."""
    for number in range(1, 26):
        found = int(camvid_present[:, number].sum())
        listed = camvid["labels"][number]["frequency"]
        if number in oracles.pixel_concepts(camvid):
            assert 0.8 * listed < found <= listed
        else:
            assert found == listed


@needs_camvid
@pytest.mark.parametrize(("number", "tolerance"), [(12, 0.05), (15, 0.05), (20, 0.05), (24, 0.0)])
def test_camvid_masks_are_filled_where_present_and_cover_as_its_table_says(
    camvid: Broden, camvid_present: BoolArray, number: int, tolerance: float
) -> None:
    covered = 0.0
    for i, row in enumerate(camvid["rows"]):
        mask = oracles.label_mask(row, number)
        assert mask.any() == camvid_present[i, number]
        covered += float(mask.mean())
    assert covered == pytest.approx(camvid["labels"][number]["coverage"], abs=tolerance)


# -------------------- thresholds


@pytest.mark.parametrize("tau", [0.0, 0.005, 0.1, 0.37, 1.0])
def test_threshold_is_numpys_linear_quantile(tau: float) -> None:
    values = np.random.default_rng(0).normal(size=(7, 41))
    expected = np.quantile(values, 1 - tau)
    assert oracles.exact_threshold(values, tau) == pytest.approx(expected, abs=1e-12)


def test_rank_error_of_an_exact_threshold_is_below_one_rank() -> None:
    values = np.random.default_rng(1).normal(size=1000)
    threshold = oracles.exact_threshold(values, 0.005)
    assert oracles.rank_error(values, threshold, 0.005) == 0.0
    assert oracles.rank_error(values, float(np.sort(values)[-26]), 0.005) == pytest.approx(0.02)
    assert oracles.rank_error(values, float(values.max()) + 1, 0.005) == pytest.approx(0.005)


def test_rank_error_is_fair_to_ties_and_dead_filters_never_fire() -> None:
    values = np.zeros((1, 1, 10, 100))
    values[0, 0, 0, 0] = 1.0
    threshold = oracles.exact_threshold(values, 0.005)
    assert threshold == 0.0
    assert oracles.rank_error(values, threshold, 0.005) == 0.0
    assert oracles.rank_error(values, -1.0, 0.005) == pytest.approx(0.995)
    assert oracles.binarise(values, [threshold]).sum() == 1
    assert not oracles.binarise(np.zeros((1, 1, 2, 2)), [0.0]).any()


# -------------------- upsampling

SIZES = pytest.mark.parametrize(
    ("source", "target"),
    [((3, 4), (10, 7)), ((2, 2), (3, 5)), ((1, 3), (4, 1)), ((5, 4), (2, 3)), ((4, 4), (4, 4))],
)


@CONVENTIONS
@SIZES
def test_both_upsamplings_agree_with_torch(
    source: tuple[int, int], target: tuple[int, int], align_corners: bool
) -> None:
    grid = np.random.default_rng(2).normal(size=source)
    looped = oracles.upsample_loops(grid, *target, align_corners=align_corners)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(grid)[None, None], target, mode="bilinear", align_corners=align_corners
    )
    np.testing.assert_allclose(looped, expected[0, 0].numpy(), atol=1e-12)
    product = oracles.upsample(grid, *target, align_corners=align_corners)
    np.testing.assert_allclose(product, looped, atol=1e-12)


@CONVENTIONS
@pytest.mark.parametrize(("size", "target"), [(14, 112), (13, 113), (7, 112)])
def test_stacks_at_the_papers_sizes_agree_with_torch(
    size: int, target: int, align_corners: bool
) -> None:
    grids = np.random.default_rng(3).normal(size=(2, 3, size, size))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(grids), (target, target), mode="bilinear", align_corners=align_corners
    )
    product = oracles.upsample(grids, target, target, align_corners=align_corners)
    np.testing.assert_allclose(product, expected.numpy(), atol=1e-12)
    looped = oracles.upsample_loops(grids[1, 2], target, target, align_corners=align_corners)
    np.testing.assert_allclose(product[1, 2], looped, atol=1e-12)


@CONVENTIONS
def test_upsampling_keeps_a_constant(align_corners: bool) -> None:
    weights, scale = oracles.integer_weights(13, 113, align_corners)
    assert (weights.sum(axis=1) == scale).all()


# -------------------- single filters


@CONVENTIONS
def test_single_filter_counts_match_pixel_loops(align_corners: bool) -> None:
    bits, masks, _ = random_problem(4, images=1)
    inter, union = oracles.single_filter_counts(bits[0], masks[0], align_corners)
    for k, grid in enumerate(bits[0]):
        up = oracles.upsample_loops(grid, 11, 9, align_corners)
        fires = up > 0.5 + 1e-9  # a rounded tie stays a tie
        pairs = list(zip(fires.ravel().tolist(), masks[0].ravel().tolist(), strict=True))
        assert inter[k] == sum(a and b for a, b in pairs)
        assert union[k] == sum(a or b for a, b in pairs)


def test_exactly_one_half_does_not_fire() -> None:
    fires = oracles.single_filter_maps(np.array([[[True, False, True]]]), 1, 5)
    assert fires.tolist() == [[[True, False, False, False, True]]]


def test_set_iou_is_nan_on_an_empty_union() -> None:
    np.testing.assert_array_equal(oracles.set_iou([3, 0, 0], [4, 5, 0]), [0.75, 0.0, np.nan])


def test_set_iou_of_two_disjoint_image_sets_is_the_ratio_of_summed_counts() -> None:
    """Check (d) of the specification."""
    bits, masks, _ = random_problem(5, images=6)
    counts = np.array(
        [oracles.single_filter_counts(b, m) for b, m in zip(bits, masks, strict=True)]
    )
    whole = oracles.set_iou(counts[:, 0].sum(axis=0), counts[:, 1].sum(axis=0))
    maps = np.stack([oracles.single_filter_maps(b, 11, 9) for b in bits], axis=1)
    for k in range(maps.shape[0]):
        expected = (maps[k] & masks).sum() / (maps[k] | masks).sum()
        assert whole[k] == pytest.approx(expected, abs=1e-15)
    one, two = counts[:2].sum(axis=0), counts[2:].sum(axis=0)
    np.testing.assert_array_equal(oracles.set_iou(one[0] + two[0], one[1] + two[1]), whole)


@pytest.mark.parametrize(
    ("inter", "union", "best"),
    [
        ([1, 2, 2], [4, 5, 5], 1),
        ([1, 2, 3], [3, 6, 9], 0),
        ([0, 0], [3, 4], -1),
        ([0, 0], [0, 0], -1),
        ([0, 1], [0, 9], 1),
        ([], [], -1),
    ],
)
def test_best_filter_takes_the_lowest_of_equals(
    inter: list[int], union: list[int], best: int
) -> None:
    assert oracles.best_filter(inter, union) == best


# -------------------- the loss


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.9])
def test_losses_match_their_sums_pixel_by_pixel(weight: float) -> None:
    rng = np.random.default_rng(6)
    logits, masks = rng.normal(size=(2, 3, 4)), rng.random((2, 3, 4)) < 0.5
    linear = logarithmic = 0.0
    for u, truth in zip(logits.ravel().tolist(), masks.ravel().tolist(), strict=True):
        m = 1 / (1 + np.exp(-u))
        linear -= (weight * truth * m + (1 - weight) * (1 - truth) * (1 - m)) / 2
        logarithmic -= (weight * truth * np.log(m) + (1 - weight) * (1 - truth) * np.log(1 - m)) / 2
    assert oracles.agreement_loss(logits, masks, weight) == pytest.approx(linear, abs=1e-12)
    assert oracles.bce_loss(logits, masks, weight) == pytest.approx(logarithmic, abs=1e-12)


def test_losses_survive_large_logits() -> None:
    logits, truth = np.array([[[2000.0, -2000.0]]]), np.array([[[False, True]]])
    assert oracles.agreement_loss(logits, truth, 0.5) == 0.0
    assert oracles.bce_loss(logits, truth, 0.5) == 2000.0
    assert oracles.agreement_loss(-logits, truth, 0.5) == -1.0
    assert oracles.bce_loss(-logits, truth, 0.5) == 0.0


def test_loss_at_zero_is_half_of_its_infimum() -> None:
    """Check (a) of the specification."""
    bits, masks, w = random_problem(7)
    weight = oracles.alpha(masks)
    on, off = masks.sum(axis=(1, 2)), (~masks).sum(axis=(1, 2))
    expected = np.mean(-0.5 * (weight * on + (1 - weight) * off))
    value, _ = oracles.loss_and_gradient(np.zeros_like(w), bits, masks, weight)
    assert value == pytest.approx(expected, abs=1e-12)
    perfect = oracles.agreement_loss(np.where(masks, 1e3, -1e3), masks, weight)
    assert value == pytest.approx(perfect / 2, abs=1e-12)


def test_loss_at_zero_matches_the_published_number_for_person() -> None:
    """The specification prints -1363 per image for person at 113 x 113, alpha 0.878480."""
    mask = np.arange(113 * 113).reshape(1, 113, 113) < 1552
    weight = oracles.alpha(mask)
    assert weight == pytest.approx(0.878480, abs=5e-5)
    assert oracles.agreement_loss(np.zeros((1, 113, 113)), mask, weight) == pytest.approx(
        -1363, abs=1
    )


def test_alpha_gives_both_classes_the_same_total_weight() -> None:
    """Check (c) of the specification."""
    _, masks, _ = random_problem(8, images=9)
    weight = oracles.alpha(masks)
    assert weight * masks.sum() == pytest.approx((1 - weight) * (~masks).sum(), rel=1e-12)
    assert oracles.alpha(np.ones((2, 3, 3), dtype=bool)) == 0.0
    with pytest.raises(ValueError, match="there are none"):
        oracles.alpha(masks[:0])


@LOSSES
@CONVENTIONS
def test_gradient_matches_central_differences(loss: Loss, align_corners: bool) -> None:
    bits, masks, w = random_problem(9)
    _, gradient = oracles.loss_and_gradient(w, bits, masks, 0.7, loss, align_corners)
    for k in range(len(w)):
        step = np.zeros_like(w)
        step[k] = 1e-5
        above, _ = oracles.loss_and_gradient(w + step, bits, masks, 0.7, loss, align_corners)
        below, _ = oracles.loss_and_gradient(w - step, bits, masks, 0.7, loss, align_corners)
        assert gradient[k] == pytest.approx((above - below) / 2e-5, rel=1e-6, abs=1e-7)


def test_gradient_refuses_an_unknown_loss() -> None:
    bits, masks, w = random_problem(9)
    with pytest.raises(ValueError, match="unknown loss 'mse'"):
        oracles.loss_and_gradient(w, bits, masks, 0.7, "mse")  # type: ignore[arg-type]


# -------------------- training


def train_with_torch(
    bits: BoolArray,
    masks: BoolArray,
    weight: float,
    w0: Float64Array,
    orders: list[IntArray],
    loss: Loss,
) -> NDArray[np.float64]:
    """Train with torch's own convolution, upsampling, derivative and SGD; batch 4, lr 1e-2."""
    w = torch.tensor(w0, requires_grad=True)
    optimiser = torch.optim.SGD([w], lr=1e-2, momentum=0.9)
    for order in orders:
        for start in range(0, len(order), 4):
            batch = order[start : start + 4]
            x = torch.from_numpy(bits[batch]).double()
            truth = torch.from_numpy(masks[batch]).double()[:, None]
            logits = torch.nn.functional.interpolate(
                torch.nn.functional.conv2d(x, w[None, :, None, None]),
                masks.shape[1:],
                mode="bilinear",
                align_corners=True,
            )
            on, off = logits.sigmoid(), (-logits).sigmoid()
            if loss == "bce":
                on, off = on.log(), off.log()
            value = -(weight * truth * on + (1 - weight) * (1 - truth) * off).sum() / len(batch)
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return w.detach().numpy()


@LOSSES
def test_training_matches_torch_with_a_short_last_batch(loss: Loss) -> None:
    bits, masks, w0 = random_problem(10, images=11)
    rng = np.random.default_rng(11)
    orders = [rng.permutation(11) for _ in range(4)]
    trained = oracles.train_one_concept(bits, masks, 0.7, w0, orders, lr=1e-2, batch=4, loss=loss)
    expected = train_with_torch(bits, masks, 0.7, w0, orders, loss)
    assert np.abs(trained - w0).max() > 0.05
    np.testing.assert_allclose(trained, expected, atol=1e-11)
    single = oracles.train_one_concept(
        bits, masks, 0.7, w0, orders, lr=1e-2, batch=4, loss=loss, dtype=np.float32
    )
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=1e-4)


def test_training_descends_to_a_planted_filter() -> None:
    rng = np.random.default_rng(12)
    bits = rng.random((20, 4, 4, 4)) < 0.3
    masks = np.stack([oracles.upsample(image[2], 16, 16) > 0 for image in bits])
    weight = oracles.alpha(masks)
    w0, orders = np.zeros(4), [list(range(20))] * 60
    w = oracles.train_one_concept(bits, masks, weight, w0, orders, lr=1e-2, batch=5)
    before, _ = oracles.loss_and_gradient(w0, bits, masks, weight)
    after, _ = oracles.loss_and_gradient(w.astype(np.float64), bits, masks, weight)
    assert after < before
    assert int(np.argmax(w)) == 2
    counts = [oracles.multi_filter_counts(w, b, m) for b, m in zip(bits, masks, strict=True)]
    inter, union = np.sum(counts, axis=0)
    assert inter / union > 0.9


# -------------------- many filters


@CONVENTIONS
def test_multi_filter_counts_match_pixel_loops(align_corners: bool) -> None:
    bits, masks, w = random_problem(13)
    for image, mask in zip(bits, masks, strict=True):
        z = sum(w[k] * image[k] for k in range(len(w)))
        fires = oracles.upsample_loops(z, 11, 9, align_corners) > 0
        expected = (int((fires & mask).sum()), int((fires | mask).sum()))
        assert oracles.multi_filter_counts(w, image, mask, align_corners) == expected


def test_one_filter_with_a_positive_weight_gives_a_superset_of_its_single_map() -> None:
    """Check (b) of the specification."""
    bits, _, _ = random_problem(14, filters=1)
    for image in bits:
        narrow = oracles.single_filter_maps(image, 11, 9)[0]
        wide = oracles.upsample(image[0], 11, 9) > 0
        assert (wide >= narrow).all()
        assert wide.sum() > narrow.sum()
        nothing = np.zeros_like(wide)
        assert oracles.multi_filter_counts(np.array([0.3]), image, wide) == (wide.sum(),) * 2
        assert oracles.multi_filter_counts(np.array([0.3]), image, nothing) == (0, wide.sum())
        assert oracles.multi_filter_counts(np.array([-0.3]), image, wide) == (0, wide.sum())
        assert oracles.multi_filter_counts(np.array([0.0]), image, nothing) == (0, 0)


# -------------------- ranking


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_average_precision_is_scikit_learns(levels: int) -> None:
    rng = np.random.default_rng(levels)
    for positives in (0.05, 0.5, 1.1):
        scores = rng.integers(levels, size=200) / levels
        truth = rng.random(200) < positives
        truth[0] = True
        expected = average_precision_score(truth, scores)
        assert oracles.average_precision(scores, truth) == pytest.approx(expected, abs=1e-12)


def test_average_precision_without_a_positive_is_nan() -> None:
    assert np.isnan(oracles.average_precision([0.2, 0.1], [False, False]))
