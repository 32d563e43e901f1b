"""Change a layer in every way that is asked, and note what follows from it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from net2vec_pl.analysis.erasure import steered
from net2vec_pl.analysis.filter_space import Change, centred_quarter
from net2vec_pl.backbones.continued import Answer, Continuation, Continued
from net2vec_pl.functional.shares import cell_shares
from net2vec_pl.runs.stages import Tensors
from net2vec_pl.studies.causal_directions import Directions
from net2vec_pl.studies.causal_images import Samples, Seen
from net2vec_pl.studies.causal_readouts import Readout

Track = Callable[[Iterable[Seen]], Iterable[Seen]]
Note = Callable[[int, str, Tensor], None]


@dataclass(frozen=True)
class Measured:
    """What was measured at one readout; NaN where a concept is not to be read in an image.

    Effects are the change of what is related to a concept, of all else, and the size of the latter.

    Args:
        ablated: By erasure, as :meth:`Directions.erasures` has them, image and concept read.
        ablated_random: By as much change as the pattern makes, along random directions.
        sizes: How far each erasure goes in each image: the length of the change.
        fell: Mean change of every target by LEACE of a concept, over the images that have it.
        steered: By direction of each concept, kind by kind, and by dose; on images whose middle is
            free of the concept, read in the middle.
        steered_random: By random direction, at the middle dose.
        rose: Mean change of every target by direction, at the middle dose.
        slopes: What is related to a concept rises so much by a direction added everywhere, in
            images that have the concept.
        free_slopes: The same in images whose middle is free of it.
    """

    ablated: Float64[np.ndarray, "E n J 3"]
    ablated_random: Float64[np.ndarray, "R n J 3"]
    sizes: Float64[np.ndarray, "E n"]
    fell: Float64[np.ndarray, "J T"]
    steered: Float64[np.ndarray, "V J doses m 3"]
    steered_random: Float64[np.ndarray, "R m J 3"]
    rose: Float64[np.ndarray, "V J T"]
    slopes: Float64[np.ndarray, "D n J"]
    free_slopes: Float64[np.ndarray, "D m J"]

    @classmethod
    def read(cls, tensors: Tensors, number: int) -> "Measured":
        """Return what :meth:`Intervention.measure` found at a readout."""
        return cls(**{f.name: tensors[f"{number}-{f.name}"].double().numpy() for f in fields(cls)})


class _Look:
    """A few images, what is read in them and where.

    Args:
        run: What follows the layer on these images.
        wanted: Which concepts are read in an image.
        readouts: Where effects are read.
        masks: Where each concept is read.
    """

    def __init__(
        self,
        run: Continued,
        wanted: Bool[Tensor, "N J"],
        readouts: Sequence[Readout],
        masks: Bool[Tensor, "N J sh sw"],
    ) -> None:
        self.run, self.wanted, self.masks, self._readouts = run, wanted, masks, readouts
        self._places = [_shares(masks, r.grid) for r in readouts]
        self.before = self.values(run.unchanged)

    def only(self, rows: Int64[Tensor, "n"]) -> "_Look":
        """Return the same of some of the images."""
        if len(rows) == len(self.wanted):
            return self
        return _Look(self.run.only(rows), self.wanted[rows], self._readouts, self.masks[rows])

    def values(self, answer: Answer) -> list[Float[Tensor, "N _ T"]]:
        """Read an answer at every readout."""
        pairs = zip(self._readouts, self._places, strict=True)
        return [readout.values(answer, places) for readout, places in pairs]

    @torch.no_grad()
    def changes(self, change: Change) -> list[Float[Tensor, "N _ T"]]:
        """Return by how much what is read changes."""
        after = self.values(self.run(change))
        return [new - old for new, old in zip(after, self.before, strict=True)]


@dataclass(frozen=True)
class Intervention:
    """Everything that is done to a layer.

    Args:
        continuation: What follows the layer.
        directions: The directions.
        readouts: Where effects are read.
        samples: The images.
        doses: In standard deviations of one filter.
    """

    continuation: Continuation
    directions: Directions
    readouts: Sequence[Readout]
    samples: Samples
    doses: Sequence[float]

    def measure(self, track: Callable[[str], Track]) -> Tensors:
        """Return the fields of :class:`Measured` for each readout, by ``NUMBER-FIELD``.

        Args:
            track: Wraps what takes long in a bar.
        """
        parts: dict[str, list[Tensor]] = {}

        def note(number: int, name: str, values: Tensor) -> None:
            parts.setdefault(f"{number}-{name}", []).append(values.cpu())

        for seen in track("causal: out")(self.samples.batches(self.samples.having)):
            look = _Look(self.continuation.of(seen.images), seen.present, self.readouts, seen.masks)
            self._ablate(look, note)
            self._slopes(look, lambda i, values: note(i, "slopes", values))
        for seen in track("causal: in")(self.samples.batches(self.samples.free)):
            middle = seen.middle.expand_as(seen.masks)
            look = _Look(self.continuation.of(seen.images), seen.free, self.readouts, middle)
            self._steer(look, note)
            self._slopes(look, lambda i, values: note(i, "free_slopes", values))
        return {name: _joined(name, some) for name, some in parts.items()}

    def _ablate(self, look: _Look, note: Note) -> None:
        """Take directions out."""
        erasures, here = self.directions.erasures(), look.wanted
        z = self.directions.space.of(look.run.activation)
        sizes = torch.stack([erasure.size(z) for erasure in erasures])
        first_leace = len(erasures) - here.shape[1]
        effects: list[list[Tensor]] = [[] for _ in self.readouts]
        fell: list[list[Tensor]] = [[] for _ in self.readouts]
        for e, erasure in enumerate(erasures):
            for i, change in enumerate(look.changes(self.directions.space.changed(erasure))):
                effects[i].append(_only(self.readouts[i].effects(change), here))
                if (c := e - first_leace) >= 0:
                    fell[i].append(_only(_at(change, c), here[:, c]))
        for i in range(len(self.readouts)):
            note(i, "ablated", torch.stack(effects[i]))
            note(i, "fell", torch.stack(fell[i]))
            note(i, "sizes", sizes)
        self._displace(look, note)

    def _displace(self, look: _Look, note: Note) -> None:
        """Change as much as patterns' erasures do, and where, along random directions."""
        here, number = look.wanted, len(self.directions.random)
        found = [torch.full((number, *here.shape, 3), torch.nan) for _ in self.readouts]
        for c in here.any(0).nonzero().flatten().tolist():
            rows = here[:, c].nonzero().flatten()
            some, where = look.only(rows), rows.cpu()
            for r, erasure in enumerate(self.directions.random_erasures(c)):
                for i, change in enumerate(some.changes(self.directions.space.changed(erasure))):
                    found[i][r, where, c] = self.readouts[i].effects(change)[:, c].cpu()
        for i, effects in enumerate(found):
            note(i, "ablated_random", effects)

    def _steer(self, look: _Look, note: Note) -> None:
        """Put directions in: those of concepts at every dose, random ones at the middle one.

        A concept's are put only into images that are free of it; of others nothing is noted.
        """
        own, middle = self.directions.own, len(self.doses) // 2
        shape = *own.shape[:2], len(self.doses), len(look.wanted)
        steps = torch.tensor(self.doses, dtype=own.dtype)[:, None] * own[:, :, None].cpu()
        found = [torch.full((*shape, 3), torch.nan) for _ in self.readouts]
        rose = [
            torch.full((*shape[:2], shape[3], len(r.targets)), torch.nan) for r in self.readouts
        ]
        for c in range(shape[1]):
            rows = look.wanted[:, c].nonzero().flatten()
            if not len(rows):
                continue
            some, here = look.only(rows), rows.cpu()
            for v, d in product(range(shape[0]), range(shape[2])):
                for i, change in enumerate(self._added(some, steps[v, c, d])):
                    found[i][v, c, d, here] = self.readouts[i].effects(change)[:, c].cpu()
                    if d == middle:
                        rose[i][v, c, here] = _at(change, c).cpu()
        random = [self._added(look, self.doses[middle] * row) for row in self.directions.random]
        for i, readout in enumerate(self.readouts):
            note(i, "steered", found[i])
            note(i, "rose", rose[i])
            effects = [_only(readout.effects(change[i]), look.wanted) for change in random]
            note(i, "steered_random", torch.stack(effects))

    def _added(self, look: _Look, step: Float64[Tensor, "K"]) -> list[Float[Tensor, "N _ T"]]:
        """Put a step into the middle, and return by how much what is read changes."""
        height, width = look.run.activation.shape[2:]
        region = centred_quarter((height, width)).to(look.run.activation.device)
        return look.changes(self.directions.space.changed(lambda z: steered(z, step, region)))

    def _slopes(self, look: _Look, note: Callable[[int, Tensor], None]) -> None:
        """Note the slope of every concept along every direction: one gradient per concept."""
        added = torch.zeros_like(look.run.activation, requires_grad=True)
        with torch.enable_grad():
            values = look.values(look.run(lambda x: x + added))
            read = [r.own(v) for r, v in zip(self.readouts, values, strict=True)]
        directions = self.directions.all.to(added.device)
        spread, wanted = self.directions.space.spread.to(added.device), look.wanted
        for i, of_concepts in enumerate(read):
            slopes = torch.full((len(directions), *wanted.shape), torch.nan)
            for c in range(wanted.shape[1]):
                here = wanted[:, c] & of_concepts[:, c].isfinite()
                if not here.any():
                    continue
                total = of_concepts[:, c][here].sum()
                (gradient,) = torch.autograd.grad(total, added, retain_graph=True)
                along = gradient.sum((2, 3)).double() * spread @ directions.T
                slopes[:, :, c] = _only(along.float(), here).T.cpu()
            note(i, slopes)


def _shares(masks: Bool[Tensor, "N J sh sw"], grid: tuple[int, int]) -> Float64[Tensor, "N J h w"]:
    return cell_shares(masks.flatten(0, 1), grid).view(*masks.shape[:2], *grid)


def _at(values: Float[Tensor, "N _ T"], concept: int) -> Float[Tensor, "N T"]:
    """Return what is read at the place of a concept; a class has no place."""
    return values[:, min(concept, values.shape[1] - 1)]


def _only(values: Float[Tensor, "N *S"], wanted: Bool[Tensor, "N *_"]) -> Float[Tensor, "N *S"]:
    """Put NaN where an image is not wanted."""
    shape = wanted.shape + (1,) * (values.ndim - wanted.ndim)
    return torch.where(wanted.view(shape), values, torch.nan)


_IMAGES = {
    "ablated": 1,
    "ablated_random": 1,
    "sizes": 1,
    "steered": 3,
    "steered_random": 1,
    "slopes": 1,
    "free_slopes": 1,
}
_OVER_IMAGES = {"fell": 1, "rose": 2}


def _joined(name: str, parts: Sequence[Tensor]) -> Tensor:
    """Put batches together: images beside each other, or their mean."""
    field = name.partition("-")[2]
    if field in _IMAGES:
        return torch.cat(list(parts), _IMAGES[field])
    return torch.cat(list(parts), _OVER_IMAGES[field]).nanmean(_OVER_IMAGES[field])
