"""Sum what a layer gives over train images, exactly: no order, batch or process changes a bit.

What a filter gives is rounded to a whole multiple of a step of its own, a power of two some 4,000
times smaller than its largest value in a few images; a mask's share of a cell is a multiple of
1/256. So all sums are whole numbers in float64 (below 2^53 for BRODEN's 12 million positions), and
sums of whole numbers do not depend on their order.
"""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.activations.extract import device_of
from net2vec_pl.backbones import FrozenBackbone, read_layers
from net2vec_pl.data import ConceptBatch, ConceptDataModule, ImageBatch
from net2vec_pl.functional import DensePairScores
from net2vec_pl.functional.shares import cell_shares
from net2vec_pl.probes.moments import Moments

Features = Callable[[Float[Tensor, "N K h w"]], Float[Tensor, "N K h w"]]
NUM_FOLDS = 20
_MOST_BYTES = 2**30  # of the squares of all layers; fewer folds, if they would take more
_STEPS = 12  # bits: the largest value of the sample is 2^11 to 2^12 steps
_SAMPLE = 32  # images that set the steps
_EXACT = 2.0**53
_PAIRS_PER_CHUNK = 64
_VALUES = 2**24  # activations at a time, in float64
_LEFT_OUT = -1
_log = logging.getLogger(__name__)


def folds_of(
    train_rows: npt.NDArray[np.int64],
    num_rows: int,
    num_folds: int,
    groups: npt.NDArray[np.int64] | None = None,
) -> Int64[Tensor, "rows"]:
    """Give every train image a fold: stretches of neighbours, as frames of a film mostly are.

    Args:
        train_rows: The train images, rising.
        num_rows: Rows of the dataset.
        num_folds: F.
        groups: The group of each row of the dataset; a group is in one fold. None if each image
            is its own.

    Returns:
        The fold of each row of the dataset; -1 for those that are not train images.

    Example:
        >>> folds_of(np.array([0, 1, 2, 4]), 5, 2).tolist()
        [0, 0, 1, -1, 1]
        >>> folds_of(np.array([0, 1, 2, 4]), 5, 2, np.array([0, 0, 0, 1, 1])).tolist()
        [0, 0, 0, -1, 1]
    """
    fold = torch.full((num_rows,), -1)
    place = np.arange(len(train_rows))
    if groups is None:
        of_train = place * num_folds // max(len(place), 1)
    else:
        of_train = _folds_of_groups(groups[train_rows], num_folds)
    fold[torch.from_numpy(train_rows)] = torch.from_numpy(of_train)
    return fold


def _folds_of_groups(group: npt.NDArray[np.int64], num_folds: int) -> npt.NDArray[np.int64]:
    """Give whole groups a fold, in the order of their first images, by the images before them.

    No fold stays empty if there are enough groups, however large one of them is.
    """
    _, first, number, size = np.unique(
        group, return_index=True, return_inverse=True, return_counts=True
    )
    order, count = np.argsort(first), len(first)
    before = (size[order].cumsum() - size[order]) * num_folds // max(len(group), 1)
    of_group = np.arange(count) * num_folds // max(count, 1)
    if count >= num_folds:
        last = -1
        for place in range(count):
            least = max(last, num_folds - count + place)  # the others fill the folds behind
            last = of_group[place] = min(max(before[place], least), last + 1)
    fold = np.empty(count, dtype=np.int64)
    fold[order] = of_group
    return fold[number]


def num_folds_for(num_filters: Sequence[int]) -> int:
    """Return into how many folds the sums of some layers are cut, so that memory holds them.

    Example:
        >>> num_folds_for([512]), num_folds_for([2048, 2048])
        (20, 16)
    """
    return max(1, min(NUM_FOLDS, _MOST_BYTES // (8 * sum(k * k for k in num_filters))))


def steps_of(
    backbones: Sequence[FrozenBackbone], stream: ConceptDataModule, features: Features
) -> list[Float64[Tensor, "_"]]:
    """Return the step of every filter of some layers, from a few train images.

    Args:
        backbones: One network, frozen at each layer.
        stream: The images.
        features: What a probe makes of activations.
    """
    rows = stream.train_rows
    some = rows[np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).round().astype(np.int64)]
    batch = stream.source.collate([stream.source[row] for row in some.tolist()])
    assert isinstance(batch, ImageBatch)
    device = device_of(backbones[0])
    images = batch.images.to(device)
    steps = []
    for activation in read_layers(backbones, images):
        largest = features(activation).abs().amax((0, 2, 3)).double()
        largest = torch.where(largest > 0, largest, largest.max().clamp(min=1e-30))
        steps.append(2.0 ** (largest.log2().ceil() - _STEPS))
    # A process unpacks what another one sends on the sender's own device.
    shared = processes.from_first(lambda: [step.cpu() for step in steps])
    return [step.to(device) for step in shared]


class MomentSums:
    """Collects the sums of one layer; see :class:`~net2vec_pl.probes.moments.Moments`.

    Args:
        shape: (K, h, w) of the layer.
        num_concepts: C.
        fold: The fold of every row of the dataset, -1 where it is no train image.
        step: Of each filter.
        own: Whether to keep a square of every concept.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        num_concepts: int,
        fold: Int64[Tensor, "rows"],
        step: Float64[Tensor, "K"],
        *,
        own: bool = False,
    ) -> None:
        k, h, w = shape
        f, c, device = int(fold.max()) + 1, num_concepts, step.device
        self._step, self._device = step, device
        self._fold, self._waiting = fold, fold >= 0

        def zeros(*size: int) -> Tensor:
            return torch.zeros(*size, dtype=torch.float64, device=device)

        self._sums = {
            "count": zeros(f),
            "total": zeros(f, k),
            "square": zeros(f, k, k),
            "inside": zeros(f, c),
            "inside_total": zeros(f, c, k),
            "own_count": zeros(f, c),
            "own_total": zeros(f, c, k),
            "place": zeros(c, h, w),
            "own_place": zeros(c, h, w),
            "own_square": zeros(2, c if own else 0, k, k),
        }

    def add(self, features: Float[Tensor, "N K h w"], batch: ConceptBatch) -> None:
        """Take in a batch; an image that came before, or is no train image, is passed over.

        Args:
            features: What a probe reads of each image.
            batch: Which images these are, and their pairs.
        """
        rows = batch.row.cpu()
        fresh = self._waiting[rows].to(self._device)
        self._waiting[rows] = False
        fold = torch.where(fresh, self._fold[rows].to(self._device), _LEFT_OUT)
        ends = [0, *(pairs.stop for pairs in batch.pairs_by_image())]
        size = max(1, _VALUES // features[0].numel()) if len(features) else 1
        for first in range(0, len(features), size):
            last = min(first + size, len(features))
            x = (features[first:last].double() / self._step[:, None, None]).round_()
            self._add_images(x, fold[first:last])
            for start in range(ends[first], ends[last], _PAIRS_PER_CHUNK):
                pairs = slice(start, min(start + _PAIRS_PER_CHUNK, ends[last]))
                self._add_pairs(x, fold[first:last], batch, pairs, first)

    def _add_images(self, x: Float64[Tensor, "n K h w"], fold: Int64[Tensor, "n"]) -> None:
        """Add images to the sums over all positions."""
        for number in torch.unique(fold).tolist():
            if number != _LEFT_OUT:
                flat = x[fold == number].transpose(0, 1).flatten(1)
                self._sums["count"][number] += flat.shape[1]
                self._sums["total"][number] += flat.sum(1)
                self._sums["square"][number] += flat @ flat.T

    def _add_pairs(
        self,
        x: Float64[Tensor, "n K h w"],
        fold: Int64[Tensor, "n"],
        batch: ConceptBatch,
        pairs: slice,
        first: int,
    ) -> None:
        """Add some pairs of images, which begin at image ``first`` of the batch."""
        image, concept = batch.image[pairs] - first, batch.concept[pairs]
        wanted = fold[image] != _LEFT_OUT
        if not wanted.any():
            return
        grid, known = (x.shape[2], x.shape[3]), batch.known(pairs)
        shares = cell_shares(batch.masks(pairs)[wanted], grid)
        counted = None if known is None else cell_shares(known[wanted], grid)
        image, concept, sums = image[wanted], concept[wanted], self._sums
        place = fold[image] * sums["inside"].shape[1] + concept
        here, at = torch.unique(image, return_inverse=True)  # only the images of these pairs
        maps = x[here]
        scores = DensePairScores(maps, at, concept)
        sums["inside"].view(-1).index_add_(0, place, shares.sum((1, 2)))
        sums["inside_total"].flatten(0, 1).index_add_(0, place, scores.weight_gradients(shares))
        sums["place"].index_add_(0, concept, shares)
        # What a concept's own positions weigh: 1, or the share of their pixels that is known.
        weight = torch.ones_like(shares) if counted is None else counted
        total = maps.sum((2, 3))[at] if counted is None else scores.weight_gradients(counted)
        sums["own_count"].view(-1).index_add_(0, place, weight.sum((1, 2)))
        sums["own_total"].flatten(0, 1).index_add_(0, place, total)
        sums["own_place"].index_add_(0, concept, weight)
        if sums["own_square"].shape[1]:
            halves = (fold[here] >= len(sums["count"]) // 2).tolist()
            for one, (half, flat) in enumerate(zip(halves, maps.flatten(2), strict=True)):
                mine = at == one
                self._add_squares(
                    int(half),
                    flat,
                    concept[mine],
                    None if counted is None else counted[mine].flatten(1),
                )

    def _add_squares(
        self,
        half: int,
        x: Float64[Tensor, "K positions"],
        concept: Int64[Tensor, "q"],
        weight: Float64[Tensor, "q positions"] | None,
    ) -> None:
        """Add one image to the squares of its concepts, each position by its weight, or by 1."""
        squares = self._sums["own_square"][half]
        if weight is None:
            square = x @ x.T
            for c in concept.tolist():
                squares[c] += square
        else:
            for c, of_position in zip(concept.tolist(), weight, strict=True):
                squares[c] += (x * of_position) @ x.T

    def moments(self, device: torch.device) -> Moments:
        """Return the sums over all processes, in the units of the features.

        Args:
            device: Where processes exchange tensors.
        """
        for values in self._sums.values():
            values.copy_(processes.sum_over(values.to(device)).to(self._device))
        if max(float(v.abs().amax()) for v in self._sums.values() if v.numel()) >= _EXACT:
            _log.warning("sums of activations exceed 2^53: their last bits depend on the order")
        step, sums = self._step, dict(self._sums)
        for name in ("total", "inside_total", "own_total"):
            sums[name] = sums[name] * step
        for name in ("square", "own_square"):
            sums[name] = sums[name] * step * step[:, None]
        return Moments(**{name: values.cpu() for name, values in sums.items()})
