"""What the causal question leaves of one readout: tables, findings, and figures of numbers."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64

from net2vec_pl.analysis.causal import image_means, over_images
from net2vec_pl.analysis.chance import p_text
from net2vec_pl.analysis.jackknife import LEAST_IMAGES
from net2vec_pl.data.groups import over_images as spoken
from net2vec_pl.figures.causal import dose_curves, effect_matrix
from net2vec_pl.records import Estimate
from net2vec_pl.records.causal import CausalDoseRow, CausalMatrixRow, CausalRow
from net2vec_pl.studies.causal_directions import LDA, PATTERN
from net2vec_pl.studies.causal_effects import (
    ABLATE,
    FREE_SLOPE,
    LEACE,
    PER_DOSE,
    SLOPE,
    STEER,
    Array,
    Effect,
    effects_of,
)
from net2vec_pl.studies.causal_head import CLASSES
from net2vec_pl.studies.causal_images import Samples
from net2vec_pl.studies.causal_measure import Measured
from net2vec_pl.studies.causal_readouts import Readout
from net2vec_pl.studies.study import Study, interval

QUESTION = "Does the network use it?"
_RARE = 0.05
_LISTED = 10  # names, at most
_log = logging.getLogger(__name__)
_DONE = {
    ABLATE: "With a concept taken out by projection,",
    LEACE: "With a concept taken out by LEACE, which hides it from every linear probe,",
    STEER: "With {dose:g} standard deviations of a filter put into the middle of images that is "
    "free of the concept,",
    PER_DOSE: "With every dose put in there,",
    SLOPE: "By the first derivative in images that have the concept,",
    FREE_SLOPE: "By the first derivative in images whose middle is free of it,",
}
_WORDS = {LDA: "LDA vector"}


@dataclass(frozen=True)
class Told:
    """What is known of one readout.

    Args:
        study: The layer.
        readout: Where effects were read.
        kinds: What the vectors of a concept are called.
        concepts: Rows of the vocabulary.
        doses: Of steering.
        samples: The images.
    """

    study: Study
    readout: Readout
    kinds: Sequence[str]
    concepts: Sequence[int]
    doses: Sequence[float]
    samples: Samples

    @cached_property
    def read(self) -> list[int]:
        """Which of the concepts have something related to them."""
        return [c for c, row in enumerate(self.readout.related.cpu()) if row.any()]

    @property
    def where(self) -> str:
        """Where it is read, in words."""
        at_head = self.readout.name == CLASSES
        return "the network's classes" if at_head else str(self.readout.name)

    @property
    def what(self) -> str:
        """What has to do with a concept, and changes."""
        if self.readout.name == CLASSES:
            return "classes related to it change"
        return f"its own score at {self.readout.name} changes"

    def name(self, concept: int) -> str:
        """Return what one of the concepts is called."""
        return str(self.study.job.vocabulary.names[self.concepts[concept]])

    def over(self, values: Float64[Array, "n J"], *, free: bool = False) -> Float64[Array, "3"]:
        """Average over images, then concepts, with an interval over images, or groups of them.

        Args:
            values: Of each image and concept.
            free: Whether the images are those that are free of concepts.
        """
        return over_images(values, self._groups(free)).array()

    def estimate(self, values: Float64[Array, "n"], *, free: bool = False) -> Estimate:
        """Average over images, with an interval."""
        return Estimate(*self.over(values[:, None], free=free).tolist())

    def over_what(self, *, free: bool) -> str:
        """What an interval is over, in words."""
        groups = self._groups(free)
        return spoken(None if groups is None else len(np.unique(groups)))

    def _groups(self, free: bool) -> Int64[Array, "n"] | None:
        groups = self.study.job.setup.reader.groups
        return (
            None if groups is None else groups[self.samples.free if free else self.samples.having]
        )


def tell(told: Told, measured: Measured) -> None:
    """Write the tables of a readout, say what is in them, and draw it.

    Args:
        told: What is known of it.
        measured: What was measured.
    """
    study, by_name = told.study, defaultdict(list)
    for effect in effects_of(measured, told.kinds, told.doses):
        rows = [_row(told, effect, c) for c in told.read]
        by_name[effect.intervention].append((effect, rows))
    for intervention, found in by_name.items():
        _find(told, intervention, found)
    rows = [row for found in by_name.values() for _, mine in found for row in mine]
    doses, matrix = _doses(told, measured), _matrix(told, measured)
    study.write([*study.tables.get("causal", ()), *rows], "causal")
    study.write([*study.tables.get("causal_doses", ()), *doses], "causal_doses")
    study.write([*study.tables.get("causal_matrix", ()), *matrix], "causal_matrix")
    _draw(told, measured, doses, matrix)


def _row(told: Told, effect: Effect, c: int) -> CausalRow:
    study, row, parts = told.study, told.concepts[c], effect.parts[:, c]
    (share, share_p), free = effect.positive(c), effect.on_free
    most = ""
    if effect.most is not None and np.isfinite(effect.most[c]).all():
        most = told.readout.targets[int((effect.sign * effect.most[c]).argmax())]
    return CausalRow(
        told.name(c),
        study.categories[row],
        told.readout.name,
        effect.intervention,
        effect.direction,
        int(np.isfinite(parts[:, 0]).sum()),
        told.estimate(parts[:, 0], free=free),
        told.estimate(parts[:, 1], free=free),
        told.estimate(effect.counted[:, c], free=free),
        float(image_means(parts[None, :, 2])[0]),
        effect.p(c),
        len(effect.random),
        float(effect.random[:, c].mean()) if len(effect.random) else float("nan"),
        effect.others_above(c),
        share,
        share_p,
        most,
        float(study.segmented.scores[0].val[row]),
    )


def _find(
    told: Told, intervention: str, found: Sequence[tuple[Effect, Sequence[CausalRow]]]
) -> None:
    """Say what an intervention does along each kind of vector, over concepts with enough images."""
    first = next((pair for pair in found if pair[0].direction == PATTERN), found[0])
    enough = [i for i, row in enumerate(first[1]) if row.n >= LEAST_IMAGES]
    if not enough:
        _log.info("%s: no concept has %d images at %s", intervention, LEAST_IMAGES, told.where)
        return
    read, free = [told.read[i] for i in enough], first[0].on_free
    dose = told.doses[len(told.doses) // 2]
    words = [
        f"by {interval(told.over(effect.parts[:, read, 0], free=free))}"
        + (f" along its {_WORDS.get(effect.direction, effect.direction)}" if found[1:] else "")
        for effect, _ in [first, *(pair for pair in found if pair is not first)]
    ]
    text = f"{_DONE[intervention].format(dose=dose)} {told.what} {'; '.join(words)} (standard "
    text += (
        f"deviations; mean over {len(read)} concept{'s' * (len(read) > 1)}, intervals "
        f"{told.over_what(free=free)})."
    )
    others = first[0].parts[:, read, 1]
    along = f" along the {PATTERN}" if found[1:] else ""
    if np.isfinite(others).any():
        text += f" All else changes by {interval(told.over(others, free=free))}{along}."
    if len(first[0].random):
        text += _placed(first[0], [first[1][i] for i in enough], along)
    text += told.study.if_few
    name = f"{intervention}, {told.readout.name}"
    change = told.over(first[0].parts[:, read, 0], free=free)
    told.study.find(QUESTION, name, change, len(read), text)


def _placed(effect: Effect, rows: Sequence[CausalRow], along: str) -> str:
    """Say for how many concepts an effect stands out among random and others' vectors."""
    number = len(effect.random)
    rare = [f"{row.name}, {p_text(row.p, number)}" for row in rows if row.p <= _RARE]
    listed = f" ({'; '.join(rare)})" if 0 < len(rare) <= _LISTED else ""
    way = "from 0" if effect.is_slope else "down" if effect.sign < 0 else "up"
    level = int(_RARE * (number + 1)) / (number + 1)  # p comes in steps
    text = (
        f" It goes further {way}{along} than along all but 5 % of {number} random directions for "
        f"{len(rare)} of {len(rows)} concepts{listed}; by chance it would for "
        f"{level * len(rows):.1f}."
    )
    if np.isfinite([row.others_above for row in rows]).all() and len(rows) > 1:
        alone = sum(row.others_above == 0 for row in rows)
        text += f" No other concept's vector goes as far for {alone} of them."
    return text


def _doses(told: Told, measured: Measured) -> list[CausalDoseRow]:
    return [
        CausalDoseRow(
            told.name(c),
            told.readout.name,
            kind,
            float(dose),
            int(np.isfinite(parts[:, 0]).sum()),
            told.estimate(parts[:, 0], free=True),
            told.estimate(parts[:, 1], free=True),
            float(image_means(parts[None, :, 2])[0]),
        )
        for c in told.read
        for v, kind in enumerate(told.kinds)
        for dose, parts in zip(told.doses, measured.steered[v, c], strict=True)
    ]


def _matrix(told: Told, measured: Measured) -> list[CausalMatrixRow]:
    by_leace = measured.ablated[len(measured.ablated) - len(told.concepts) :, :, :, 0]
    return [
        CausalMatrixRow(
            told.readout.name,
            LEACE,
            told.name(out),
            told.name(c),
            int(np.isfinite(by_leace[out, :, c]).sum()),
            told.estimate(by_leace[out, :, c]),
        )
        for out in range(len(told.concepts))
        for c in told.read
    ]


def _draw(
    told: Told,
    measured: Measured,
    doses: Sequence[CausalDoseRow],
    matrix: Sequence[CausalMatrixRow],
) -> None:
    suffix = "".join(c if c.isalnum() else "_" for c in told.readout.name)
    title = f"read at {told.where}"
    curves, others = {}, {}
    for name in dict.fromkeys(row.name for row in doses if row.n):
        mine = [row for row in doses if row.name == name and row.direction == PATTERN]
        changes = [row.change for row in mine]
        curves[name] = np.array([[e.value, e.low, e.high] for e in changes]).T
        others[name] = np.array([row.moved for row in mine])
    random = measured.steered_random[..., 0]
    means = np.array([image_means(random[:, :, c]) for c in told.read]).flatten()
    means = means[np.isfinite(means)]
    low, high = np.quantile(means, [0.025, 0.975]).tolist() if len(means) else (np.nan, np.nan)
    middle = float(told.doses[len(told.doses) // 2])
    study = told.study
    study.draw(
        f"causal_doses_{suffix}",
        dose_curves,
        list(told.doses),
        curves,
        others,
        (middle, low, high),
        f"patterns put in, {title}",
    )
    out = list(dict.fromkeys(row.out for row in matrix))
    read = list(dict.fromkeys(row.target for row in matrix))
    value = np.array([row.change.value for row in matrix]).reshape(len(out), len(read))
    study.draw(f"causal_matrix_{suffix}", effect_matrix, out, read, value, title)
