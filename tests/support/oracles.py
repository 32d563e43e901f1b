"""Slow and literal Net2Vec: the paper's formulas in NumPy, to test the fast code against.

Nothing here knows the package or an automatic gradient. Where the paper sums over images or pixels,
this file loops or sums in that order; derivatives are written out by hand. Only training uses
matrix products throughout, so that a whole data set is trained in minutes. Letters as in Fong &
Vedaldi, *Net2Vec*, CVPR 2018, https://arxiv.org/abs/1801.03454: N images, K filters on an h x w
grid, masks L_c of sh x sw pixels, thresholds tau_k, split s, embedding w.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Float64Array = NDArray[np.float64]
FloatArray = NDArray[np.floating[Any]]
Loss = Literal["agreement", "bce"]

PIXEL_CATEGORIES = ("color", "object", "part", "material")


# -------------------- reading BRODEN's layout


class Category(TypedDict):
    """One line of category.csv."""

    name: str
    first: int
    last: int
    count: int
    frequency: int


class Label(TypedDict):
    """One line of label.csv; ``categories`` keeps the order of its cell."""

    number: int
    name: str
    categories: list[tuple[str, int]]
    frequency: int
    coverage: float
    syns: list[str]


class Code(TypedDict):
    """One line of c_<category>.csv."""

    code: int
    number: int
    name: str
    frequency: int
    coverage: float


class Row(TypedDict):
    """One line of index.csv; a cell holds label numbers (int) and files of pixel maps (Path)."""

    image: str
    path: Path
    split: str
    ih: int
    iw: int
    sh: int
    sw: int
    cells: dict[str, list[int | Path]]


class Broden(TypedDict):
    """A data set; ``categories`` by ascending ``first``, ``labels`` by number with an empty 0."""

    rows: list[Row]
    labels: dict[int, Label]
    categories: list[Category]
    codes: dict[str, dict[int, Code]]


def read_broden(root: str | Path) -> Broden:
    """Read a folder in BRODEN's layout; rows without any annotation are left out."""
    root = Path(root)
    categories = _read_categories(root / "category.csv")
    names = [category["name"] for category in categories]
    rows = [_parse_row(line, root / "images", names) for line in _lines(root / "index.csv")]
    return {
        "rows": [row for row in rows if any(row["cells"].values())],
        "labels": _read_labels(root / "label.csv"),
        "categories": categories,
        "codes": {name: _read_codes(root / f"c_{name}.csv") for name in names},
    }


def _lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _read_categories(path: Path) -> list[Category]:
    found: list[Category] = [
        {
            "name": line["name"],
            "first": int(line["first"]),
            "last": int(line["last"]),
            "count": int(line["count"]),
            "frequency": int(line["frequency"]),
        }
        for line in _lines(path)
    ]
    return sorted(found, key=lambda category: category["first"])


def _read_labels(path: Path) -> dict[int, Label]:
    nothing: Label = {
        "number": 0,
        "name": "",
        "categories": [],
        "frequency": 0,
        "coverage": 0.0,
        "syns": [],
    }
    labels = {0: nothing}
    for line in _lines(path):
        number = int(line["number"])
        memberships = re.findall(r"([^;()]+)\(([0-9]+)\)", line["category"])
        labels[number] = {
            "number": number,
            "name": line["name"],
            "categories": [(name, int(count)) for name, count in memberships],
            "frequency": int(line["frequency"]),
            "coverage": float(line["coverage"]),
            "syns": [word for word in line["syns"].split(";") if word],
        }
    return labels


def _read_codes(path: Path) -> dict[int, Code]:
    codes: dict[int, Code] = {}
    for line in _lines(path):
        number = int(line["number"])
        codes[number] = {
            "code": int(line["code"]),
            "number": number,
            "name": line["name"],
            "frequency": int(line["frequency"]),
            "coverage": float(line["coverage"]),
        }
    return codes


def _parse_row(line: dict[str, str], images: Path, categories: Sequence[str]) -> Row:
    return {
        "image": line["image"],
        "path": images / line["image"],
        "split": line["split"],
        "ih": int(line["ih"]),
        "iw": int(line["iw"]),
        "sh": int(line["sh"]),
        "sw": int(line["sw"]),
        "cells": {name: _parse_cell(line[name], images) for name in categories},
    }


def _parse_cell(cell: str, images: Path) -> list[int | Path]:
    """Split at ``;``: all digits is a label number, all else a pixel map, the empty is dropped."""
    elements: list[int | Path] = []
    for element in cell.split(";"):
        if element:
            is_number = re.fullmatch(r"[0-9]+", element) is not None
            elements.append(int(element) if is_number else images / element)
    return elements


def decode_map(path: Path) -> IntArray:
    """Decode a PNG into label numbers R + 256 G, cast before multiplying; blue is unused."""
    with Image.open(path) as image:
        channels = np.asarray(image.convert("RGB")).astype(np.int64)
    numbers: IntArray = channels[:, :, 0] + 256 * channels[:, :, 1]
    return numbers


def label_mask(row: Row, number: int) -> BoolArray:
    """Return L_c(x), (sh, sw): any layer of any category is c; all ones if image-level."""
    if number < 1:
        raise ValueError(f"label {number} is no concept; they are numbered from 1")
    mask = np.zeros((row["sh"], row["sw"]), dtype=bool)
    for elements in row["cells"].values():
        for element in elements:
            if isinstance(element, Path):
                mask = mask | (decode_map(element) == number)
            elif element == number:
                mask = np.ones_like(mask)
    return mask


def present_in(row: Row, number: int) -> bool:
    """Say whether any category of the image lists c or shows it at one pixel or more."""
    return bool(label_mask(row, number).any())


def present(data: Broden) -> BoolArray:
    """Return present[i, j], (N, L): :func:`present_in` for all images; column 0 stays False."""
    table = np.zeros((len(data["rows"]), max(data["labels"]) + 1), dtype=bool)
    for i, row in enumerate(data["rows"]):
        for elements in row["cells"].values():
            for element in elements:
                seen = np.unique(decode_map(element)) if isinstance(element, Path) else element
                table[i, seen] = True
    table[:, 0] = False
    return table


def concept_images(data: Broden, table: BoolArray, split: str, number: int) -> list[int]:
    """Return X_{s,c}: the rows of the split in which ``table`` (see :func:`present`) has c."""
    return [i for i, row in enumerate(data["rows"]) if row["split"] == split and table[i, number]]


def primary_category(data: Broden, number: int) -> int:
    """Return the category index of largest coverage, ties to the larger; label 0 gives -1.

    A category that does not list the label counts as coverage 0.
    """
    if number == 0:
        return -1
    best, best_coverage = -1, -1.0
    for index, category in enumerate(data["categories"]):
        codes = data["codes"][category["name"]]
        coverage = codes[number]["coverage"] if number in codes else 0.0
        if coverage >= best_coverage:
            best, best_coverage = index, coverage
    return best


def pixel_concepts(data: Broden) -> list[int]:
    """Return seg_idx: the labels whose primary category is color, object, part or material."""
    names = [category["name"] for category in data["categories"]]
    numbers = sorted(number for number in data["labels"] if number > 0)
    return [n for n in numbers if names[primary_category(data, n)] in PIXEL_CATEGORIES]


# -------------------- thresholds


def exact_threshold(values: ArrayLike, tau: float) -> float:
    """Return tau_k with P(A_k > tau_k) = tau: the 1 - tau quantile, linear between values."""
    ordered = np.sort(np.asarray(values, dtype=np.float64).ravel())
    position = (ordered.size - 1) * (1.0 - tau)
    below = int(np.floor(position))
    above = min(below + 1, ordered.size - 1)
    low, high = float(ordered[below]), float(ordered[above])
    return low + (position - below) * (high - low)


def rank_error(values: ArrayLike, threshold: float, tau: float) -> float:
    """Return how far tau lies outside [P(v > T), P(v >= T)]; 0 inside, so that ties are fair."""
    sample = np.asarray(values).ravel()
    over = float(np.count_nonzero(sample > threshold)) / sample.size
    at_least = float(np.count_nonzero(sample >= threshold)) / sample.size
    if over <= tau <= at_least:
        return 0.0
    return min(abs(tau - over), abs(tau - at_least))


def binarise(activation: ArrayLike, thresholds: ArrayLike) -> BoolArray:
    """Return [A_k > tau_k] strictly, for activations (..., K, h, w), thresholds (K,)."""
    bits: BoolArray = np.asarray(activation) > np.asarray(thresholds)[:, None, None]
    return bits


# -------------------- upsampling


def upsample_loops(grid: ArrayLike, sh: int, sw: int, align_corners: bool = True) -> Float64Array:
    """Return up(map), (h, w) to (sh, sw), bilinear, pixel by pixel: the formula of the definition.

    With ``align_corners`` pixel i of n reads position i (h - 1) / (n - 1); without, it reads
    (i + 1/2) h / n - 1/2. Positions and neighbours outside the map are moved to its edge.
    """
    source = np.asarray(grid, dtype=np.float64)
    h, w = source.shape
    out = np.zeros((sh, sw))
    for i in range(sh):
        y = _position(i, h, sh, align_corners)
        top = int(np.floor(y))
        bottom = min(top + 1, h - 1)
        dy = y - top
        for j in range(sw):
            x = _position(j, w, sw, align_corners)
            left = int(np.floor(x))
            right = min(left + 1, w - 1)
            dx = x - left
            out[i, j] = (
                (1 - dy) * (1 - dx) * source[top, left]
                + (1 - dy) * dx * source[top, right]
                + dy * (1 - dx) * source[bottom, left]
                + dy * dx * source[bottom, right]
            )
    return out


def _position(i: int, n_in: int, n_out: int, align_corners: bool) -> float:
    if align_corners:
        return i * (n_in - 1) / (n_out - 1) if n_out > 1 else 0.0
    return min(max((i + 0.5) * n_in / n_out - 0.5, 0.0), n_in - 1.0)


def integer_weights(n_in: int, n_out: int, align_corners: bool = True) -> tuple[Float64Array, int]:
    """Return W (n_out, n_in) and d, both whole numbers, such that W / d upsamples along one axis.

    W[i, j] = max(0, d - |p_i - j d|), a hat around source pixel j, where p_i / d is the position
    that output pixel i reads. So the upsampling of a 0/1 map is exact, ties with 1/2 included.
    """
    pixel = np.arange(n_out)
    if align_corners:
        denominator = max(n_out - 1, 1)
        position = pixel * (n_in - 1) if n_out > 1 else np.zeros(1, dtype=np.int64)
    else:
        denominator = 2 * n_out
        position = (2 * pixel + 1) * n_in - n_out
        position = np.clip(position, 0, (n_in - 1) * denominator)
    distance = np.abs(position[:, None] - denominator * np.arange(n_in)[None, :])
    return np.maximum(0, denominator - distance).astype(np.float64), denominator


def upsample(grid: ArrayLike, sh: int, sw: int, align_corners: bool = True) -> Float64Array:
    """Return up(map), (..., h, w) to (..., sh, sw), bilinear, as R map C^T."""
    source = np.asarray(grid, dtype=np.float64)
    rows, row_scale = integer_weights(source.shape[-2], sh, align_corners)
    cols, col_scale = integer_weights(source.shape[-1], sw, align_corners)
    out: Float64Array = rows @ source @ cols.T / (row_scale * col_scale)
    return out


# -------------------- single filters


def single_filter_maps(bits: BoolArray, sh: int, sw: int, align_corners: bool = True) -> BoolArray:
    """Return M_k(x) = [up([A_k > tau_k]) > 1/2], bits (K, h, w) to (K, sh, sw), exactly."""
    rows, row_scale = integer_weights(bits.shape[-2], sh, align_corners)
    cols, col_scale = integer_weights(bits.shape[-1], sw, align_corners)
    scaled = rows @ bits.astype(np.float64) @ cols.T
    maps: BoolArray = 2 * scaled > row_scale * col_scale
    return maps


def overlap_counts(maps: BoolArray, mask: BoolArray) -> tuple[IntArray, IntArray]:
    """Return |M_k AND L| and |M_k OR L|, (K,), for maps (K, sh, sw) and a mask (sh, sw)."""
    intersection = np.zeros(len(maps), dtype=np.int64)
    union = np.zeros(len(maps), dtype=np.int64)
    for k in range(len(maps)):
        intersection[k] = np.count_nonzero(maps[k] & mask)
        union[k] = np.count_nonzero(maps[k] | mask)
    return intersection, union


def single_filter_counts(
    bits: BoolArray, mask: BoolArray, align_corners: bool = True
) -> tuple[IntArray, IntArray]:
    """Return |M_k AND L| and |M_k OR L|, (K,), of one image with bits (K, h, w)."""
    maps = single_filter_maps(bits, mask.shape[0], mask.shape[1], align_corners)
    return overlap_counts(maps, mask)


def set_iou(intersection: ArrayLike, union: ArrayLike) -> Float64Array:
    """Return IoU_set = summed intersections / summed unions, NaN where the union is empty."""
    inter = np.asarray(intersection, dtype=np.float64)
    both = np.asarray(union, dtype=np.float64)
    ratio: Float64Array = np.full(both.shape, np.nan)
    np.divide(inter, both, out=ratio, where=both > 0)
    return ratio


def best_filter(inter_train: ArrayLike, union_train: ArrayLike) -> int:
    """Return k* = argmax_k IoU_set(c, k, train), ties to the lowest, -1 if all are zero or empty.

    Both are summed over X_{train,c} and have shape (K,). Fractions are compared by cross products.
    """
    best, best_inter, best_union = -1, 0, 1
    counts = zip(np.asarray(inter_train).tolist(), np.asarray(union_train).tolist(), strict=True)
    for k, (inter, union) in enumerate(counts):
        if union > 0 and inter * best_union > best_inter * union:
            best, best_inter, best_union = k, inter, union
    return best


# -------------------- many filters: the loss


def alpha(masks: BoolArray) -> float:
    """Return alpha_c = 1 - mean_x |L_c(x)| / (sh sw) over the masks (N, sh, sw) of X_{train,c}."""
    if len(masks) == 0:
        raise ValueError("alpha is a mean over training images, and there are none")
    fractions = [float(np.count_nonzero(mask)) / mask.size for mask in masks]
    return 1.0 - float(np.mean(fractions))


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-u)), without overflow on either side."""
    decay = np.exp(-np.abs(logits))
    out: FloatArray = np.where(logits >= 0, 1 / (1 + decay), decay / (1 + decay))
    return out


def agreement_loss(logits_up: ArrayLike, mask: BoolArray, alpha: float) -> float:
    """Return -(1/B) sum_x sum_pixels [alpha L M + (1 - alpha)(1 - L)(1 - M)].

    M = sigmoid(logits_up); both arrays are (B, sh, sw). There is no logarithm; pixels are
    summed, images are averaged.
    """
    logits = np.asarray(logits_up, dtype=np.float64)
    total = 0.0
    for u, truth in zip(logits, mask, strict=True):
        m = sigmoid(u)
        total += float(np.sum(np.where(truth, alpha * m, (1 - alpha) * (1 - m))))
    return -total / len(logits)


def bce_loss(logits_up: ArrayLike, mask: BoolArray, alpha: float) -> float:
    """Return -(1/B) sum_x sum_pixels [alpha L log M + (1 - alpha)(1 - L) log(1 - M)], no clamping.

    Both arrays are (B, sh, sw); log M = min(u, 0) - log(1 + exp(-|u|)), and log(1 - M) = log M - u.
    """
    logits = np.asarray(logits_up, dtype=np.float64)
    total = 0.0
    for u, truth in zip(logits, mask, strict=True):
        softplus = np.log1p(np.exp(-np.abs(u)))
        log_m, log_not_m = np.minimum(u, 0) - softplus, np.minimum(-u, 0) - softplus
        total += float(np.sum(np.where(truth, alpha * log_m, (1 - alpha) * log_not_m)))
    return -total / len(logits)


def logit_gradient(logits_up: FloatArray, masks: BoolArray, alpha: float, loss: Loss) -> FloatArray:
    """Return d loss / d u for upsampled logits u (B, sh, sw), in the precision of u.

    agreement: -(1/B) [alpha L - (1 - alpha)(1 - L)] M (1 - M).
    bce: -(1/B) [alpha L (1 - M) - (1 - alpha)(1 - L) M].
    """
    dtype, images = logits_up.dtype.type, len(logits_up)
    on, off = dtype(-alpha / images), dtype((1 - alpha) / images)
    if loss == "agreement":
        decay = np.exp(-np.abs(logits_up))
        slope = decay / (1 + decay) ** 2
        gradient: FloatArray = np.where(masks, on, off) * slope
        return gradient
    if loss == "bce":
        m = sigmoid(logits_up)
        return np.where(masks, on * (1 - m), off * m)
    raise ValueError(f"unknown loss {loss!r}. Known: agreement, bce")


def loss_and_gradient(
    w: FloatArray,
    bits: NDArray[Any],
    masks: BoolArray,
    alpha: float,
    loss: Loss = "agreement",
    align_corners: bool = True,
) -> tuple[float, FloatArray]:
    """Return the loss of w (K,) on bits (B, K, h, w) and masks (B, sh, sw), and d loss / d w.

    z = sum_k w_k bits_k, u = up(z) = R z C^T, M = sigmoid(u); backwards dz = R^T du C and
    dw_k = sum_x <bits_k, dz>. The gradient has the precision of w.
    """
    rows, cols = _axis_matrices(bits, masks, align_corners, w.dtype)
    logits = _upsampled_logits(w, bits, rows, cols)
    value = agreement_loss if loss == "agreement" else bce_loss
    gradient = _weight_gradient(logit_gradient(logits, masks, alpha, loss), bits, rows, cols)
    return value(logits, masks, alpha), gradient


def _axis_matrices(
    bits: NDArray[Any], masks: BoolArray, align_corners: bool, dtype: np.dtype[Any]
) -> tuple[FloatArray, FloatArray]:
    rows, row_scale = integer_weights(bits.shape[-2], masks.shape[-2], align_corners)
    cols, col_scale = integer_weights(bits.shape[-1], masks.shape[-1], align_corners)
    return (rows / row_scale).astype(dtype), (cols / col_scale).astype(dtype)


def _upsampled_logits(
    w: FloatArray, bits: NDArray[Any], rows: FloatArray, cols: FloatArray
) -> FloatArray:
    images, filters, height, width = bits.shape
    flat = bits.reshape(images, filters, height * width).astype(w.dtype, copy=False)
    z = np.matmul(w, flat).reshape(images, height, width)
    out: FloatArray = rows @ z @ cols.T
    return out


def _weight_gradient(
    logit_grad: FloatArray, bits: NDArray[Any], rows: FloatArray, cols: FloatArray
) -> FloatArray:
    images, filters, height, width = bits.shape
    flat = bits.reshape(images, filters, height * width).astype(rows.dtype, copy=False)
    dz = (rows.T @ logit_grad @ cols).reshape(images, height * width, 1)
    out: FloatArray = np.matmul(flat, dz)[:, :, 0].sum(axis=0)
    return out


# -------------------- many filters: training


def train_one_concept(
    bits: BoolArray,
    masks: BoolArray,
    alpha: float,
    w0: FloatArray,
    orders: Sequence[Sequence[int] | IntArray],
    *,
    lr: float = 1e-4,
    momentum: float = 0.9,
    batch: int = 64,
    loss: Loss = "agreement",
    align_corners: bool = True,
    dtype: type[np.float64] | type[np.float32] = np.float64,
) -> FloatArray:
    """Train one embedding as the paper does and return w (K,) after the last epoch.

    Args:
        bits: [A_k > tau_k] of the images of X_{train,c}, (N, K, h, w).
        masks: L_c of the same images, (N, sh, sw).
        alpha: The weight of the concept's pixels, from :func:`alpha`.
        w0: The initial embedding, (K,).
        orders: One order of image indices per epoch, cut into consecutive batches; the last may be
            short and is averaged over its own size.
        lr: Step size of w -= lr buffer, constant.
        momentum: Of buffer = momentum buffer + gradient; the first buffer is the gradient itself.
        batch: Images in a batch.
        loss: "agreement" (the paper's) or "bce".
        align_corners: Convention of the upsampling.
        dtype: Precision of everything.
    """
    w: FloatArray = np.array(w0, dtype=dtype)
    rows, cols = _axis_matrices(bits, masks, align_corners, w.dtype)
    step, decay = dtype(lr), dtype(momentum)
    buffer: FloatArray | None = None
    for order in orders:
        indices = np.asarray(order, dtype=np.int64)
        for start in range(0, len(indices), batch):
            chosen = indices[start : start + batch]
            some = bits[chosen].astype(dtype)
            logits = _upsampled_logits(w, some, rows, cols)
            slope = logit_gradient(logits, masks[chosen], alpha, loss)
            gradient = _weight_gradient(slope, some, rows, cols)
            buffer = gradient if buffer is None else decay * buffer + gradient
            w = w - step * buffer
    return w


def multi_filter_counts(
    w: FloatArray, bits: BoolArray, mask: BoolArray, align_corners: bool = True
) -> tuple[int, int]:
    """Return the intersection and union of {up(sum_k w_k bits_k) > 0} with the mask, for one image.

    Bits are (K, h, w). Without a bias the sigmoid exceeds 1/2 exactly where its argument exceeds 0.
    """
    z = np.zeros(bits.shape[1:])
    for k in range(len(bits)):
        z[bits[k]] += float(w[k])
    fires = upsample(z, mask.shape[0], mask.shape[1], align_corners) > 0
    return int(np.count_nonzero(fires & mask)), int(np.count_nonzero(fires | mask))


# -------------------- ranking


def average_precision(scores: ArrayLike, truth: ArrayLike) -> float:
    """Return sum_n (R_n - R_{n-1}) P_n over distinct scores, falling; NaN without a positive.

    Equal scores enter together. This is scikit-learn's definition, but for the last case, where
    that warns and gives 0.
    """
    ranked = sorted(
        zip(np.ravel(scores).tolist(), np.ravel(truth).tolist(), strict=True), key=lambda p: -p[0]
    )
    positives = sum(1 for _, true in ranked if true)
    if positives == 0:
        return float("nan")
    area, hits, previous_recall = 0.0, 0, 0.0
    for n, (score, true) in enumerate(ranked, start=1):
        hits += bool(true)
        if n < len(ranked) and ranked[n][0] == score:
            continue
        recall = hits / positives
        area += (recall - previous_recall) * (hits / n)
        previous_recall = recall
    return area
