"""The fit's work on pixels: upsample, compare with the mask, and bring the gradient back down.

Pairs go through in chunks, so that memory is bounded whatever the batch, and so that on a CPU a
chunk stays in the cache of the processor. Every chunk works in the same few buffers.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from net2vec_pl.functional.losses import PairLoss, signed_weights
from net2vec_pl.functional.resize import bilinear_matrix, upsample

_log = logging.getLogger(__name__)

# 64 maps of 112 x 112 in two float32 buffers are 6 MB, which a processor's outer cache holds;
# smaller chunks spend more on calls than they save. A GPU wants enough to do at once.
PAIRS_PER_CHUNK = {"cpu": 64, "cuda": 1024}

Masks = Callable[[slice], Bool[Tensor, "p sh sw"]]
Known = Callable[[slice], Bool[Tensor, "p sh sw"] | None]


def everything(_: slice) -> None:
    """Say of any pairs that all their pixels are known."""


@dataclass(frozen=True)
class Compared:
    """Upsampled logits of some pairs in one bank, beside the truth.

    Args:
        bank: Which bank.
        pairs: Which pairs.
        logits: Valid until the next come.
        mask: Where the concept is.
        known: The pixels that count; all if None.
    """

    bank: int
    pairs: slice
    logits: Float[Tensor, "p sh sw"]
    mask: Bool[Tensor, "p sh sw"]
    known: Bool[Tensor, "p sh sw"] | None


class PixelPass(nn.Module):
    """Everything that happens at mask resolution.

    Args:
        grid: (h, w) of the logits.
        mask: (sh, sw) of the masks.
        loss: One of :data:`net2vec_pl.functional.losses.LOSSES`.
        align_corners: Whether bilinear upsampling aligns the corner samples.
        pairs_per_chunk: Pairs at mask resolution at a time; by device if None.
        compiled: Whether to make one kernel of a chunk's steps by ``torch.compile``, where that
            can be had. On a CPU it gains nothing over working in place.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        mask: tuple[int, int],
        loss: PairLoss,
        *,
        align_corners: bool,
        pairs_per_chunk: int | None = None,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        for name, size_in, size_out in zip(("rows", "columns"), grid, mask, strict=True):
            matrix = bilinear_matrix(size_in, size_out, align_corners=align_corners)
            self.register_buffer(f"_{name}", matrix, persistent=False)
        self._rows: Tensor
        self._columns: Tensor
        self._same_size = grid == mask  # both matrices are the identity then
        self._loss = loss
        self._pairs_per_chunk = pairs_per_chunk
        self._compiled = compiled
        self._kernel: Callable[..., tuple[Tensor | None, Tensor]] | None = None
        self._room: dict[str, Tensor] = {}

    def descend(
        self,
        logits: Float[Tensor, "G P h w"],
        masks: Masks,
        alpha: Float[Tensor, "G P"],
        *,
        known: Known = everything,
        wanted: bool = True,
    ) -> tuple[Float[Tensor, "G P"] | None, Float[Tensor, "G P h w"]]:
        """Return each pair's loss in each of G banks, and its gradient on the grid.

        Args:
            logits: On the grid.
            masks: Gives the ground truth of some of the pairs.
            alpha: Weight of the positive pixels, one per bank and pair.
            known: Gives the pixels of some of the pairs that count.
            wanted: Whether the loss is; gradients alone cost less.
        """
        loss, gradient = torch.empty_like(alpha), torch.empty_like(logits)
        alike = len(alpha) == 1 or bool((alpha == alpha[:1]).all())
        for pairs in self._chunks(logits.shape[1]):
            bits = masks(pairs)
            mask = self._buffer("mask", bits.shape).copy_(bits.view(torch.uint8))
            counted = known(pairs)
            outside = _outside(mask, counted) if wanted else None
            for group in range(len(logits)):
                if group == 0 or not alike:
                    room = self._buffer("signed", mask.shape)
                    signed = signed_weights(mask, alpha[group, pairs], out=room)
                    if counted is not None:
                        signed.mul_(counted)  # no weight, so neither loss nor gradient
                work = self._by_kernel if self._compiled else self._descend_chunk
                value, gradient[group, pairs] = work(logits[group, pairs], signed, wanted)
                if value is not None and outside is not None:
                    weight = alpha[group, pairs]
                    loss[group, pairs] = value + self._loss.rest(weight, outside)
        return loss if wanted else None, gradient

    def against(
        self, logits: Float[Tensor, "G P h w"], masks: Masks, known: Known = everything
    ) -> Iterator[Compared]:
        """Yield upsampled logits beside their masks, chunk by chunk in every bank.

        Args:
            logits: On the grid, in each of G banks.
            masks: Gives the ground truth of some of the pairs.
            known: Gives the pixels of some of the pairs that count.
        """
        for pairs in self._chunks(logits.shape[1]):
            mask, counted = masks(pairs), known(pairs)
            for group in range(len(logits)):
                yield Compared(group, pairs, self._upsample(logits[group, pairs]), mask, counted)

    def enlarge(self, maps: Float[Tensor, "P h w"]) -> Float[Tensor, "P sh sw"]:
        """Upsample maps, into memory of their own."""
        return upsample(maps, self._rows, self._columns)

    @property
    def chunk_size(self) -> int:
        """Pairs at mask resolution at a time."""
        return self._pairs_per_chunk or PAIRS_PER_CHUNK.get(self._rows.device.type, 64)

    def _by_kernel(
        self, logits: Float[Tensor, "p h w"], signed: Float[Tensor, "p sh sw"], wanted: bool
    ) -> tuple[Float[Tensor, "p"] | None, Float[Tensor, "p h w"]]:
        """Do a chunk by the compiled kernel; go on without one if it cannot be compiled."""
        size, missing = len(logits), self.chunk_size - len(logits)
        # One shape, so that it compiles once.
        full = [pad(x, (0, 0, 0, 0, 0, missing)) for x in (logits, signed)]
        try:
            self._kernel = self._kernel or torch.compile(self._descend_chunk, dynamic=False)
            loss, gradient = self._kernel(*full, wanted)
        except Exception as error:  # whatever a compiler that is absent or broken raises
            _log.warning("the fit continues without compilation: %s", repr(error).split("\\n")[0])
            self._compiled = False
            return self._descend_chunk(logits, signed, wanted)
        return None if loss is None else loss[:size], gradient[:size]

    def _descend_chunk(
        self, logits: Float[Tensor, "p h w"], signed: Float[Tensor, "p sh sw"], wanted: bool
    ) -> tuple[Float[Tensor, "p"] | None, Float[Tensor, "p h w"]]:
        maps = self._upsample(logits)
        loss = self._loss.descend_(maps, signed, self._buffer("scratch", maps.shape), wanted)
        if self._same_size:
            return loss, maps
        down = torch.matmul(
            self._rows.T, maps, out=self._buffer("down", (len(maps), *self._narrow))
        )
        return loss, down @ self._columns

    @property
    def _narrow(self) -> tuple[int, int]:
        return self._rows.shape[1], self._columns.shape[0]

    def _upsample(self, logits: Float[Tensor, "p h w"]) -> Float[Tensor, "p sh sw"]:
        shape = (len(logits), self._rows.shape[0], self._columns.shape[0])
        if self._same_size:
            return self._buffer("maps", shape).copy_(logits)
        return upsample(
            logits,
            self._rows,
            self._columns,
            wide=self._buffer("wide", (len(logits), *self._narrow)),
            out=self._buffer("maps", shape),
        )

    def _buffer(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return room of a shape, the same memory every time; a compiler makes its own."""
        if self._compiled:
            return self._rows.new_empty(shape)
        room = self._room.get(name)
        if room is None or room.device != self._rows.device or len(room) < shape[0]:
            size = (max(self.chunk_size, shape[0]), *shape[1:])
            room = self._room[name] = self._rows.new_empty(size)
        return room[: shape[0]]

    def _chunks(self, num_pairs: int) -> list[slice]:
        size = self.chunk_size
        return [slice(i, i + size) for i in range(0, num_pairs, size)]


def _outside(
    mask: Float[Tensor, "p sh sw"], known: Bool[Tensor, "p sh sw"] | None
) -> Float[Tensor, "p"]:
    """Count the pixels outside each mask that count."""
    inside = mask.flatten(1).sum(1)
    if known is None:
        return mask[0].numel() - inside
    return known.flatten(1).sum(1) - inside
