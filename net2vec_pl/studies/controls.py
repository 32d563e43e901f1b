"""Would the numbers look like this anyway? The same job on what can hold no answer."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from net2vec_pl.activations import BankCounts, MemoryCache
from net2vec_pl.analysis.intervals import MeanScores, SetIouIntervals
from net2vec_pl.pipeline.activations import find_activations
from net2vec_pl.pipeline.layer import LayerJob, key_of
from net2vec_pl.pipeline.segmentation import chosen_counts, single_filters
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.pipeline.units import with_fitted_units
from net2vec_pl.probes import ConceptBank
from net2vec_pl.records import Estimate
from net2vec_pl.records.studies import ControlMeansRow, ControlRow
from net2vec_pl.report.card import CONTROLS as QUESTION
from net2vec_pl.runs.folder import layer_folder
from net2vec_pl.runs.stages import Stages
from net2vec_pl.studies.question import Question
from net2vec_pl.studies.study import Study, estimate, interval

_log = logging.getLogger(__name__)
_SHUFFLED = "shuffled_masks"
_SELECTIVITY = " This lead is the probe's selectivity (Hewitt & Liang, 2019)."
_RANDOM_NETWORK = "random network"  # in what layers share


@dataclass(frozen=True)
class Control:
    """Val pixels of something that should do worse than the trained bank.

    Args:
        name: For tables.
        text: For statements; or why it was left out.
        counts: Counts of every val pair; None if it was left out.
    """

    name: str
    text: str
    counts: BankCounts | None


@dataclass(frozen=True)
class Controls(Question):
    """Leaves ``controls.csv`` by concept and ``control_means.csv``."""

    name: ClassVar[str] = "controls"
    needs: ClassVar[tuple[str, ...]] = ("segmentation",)

    def prepare(self, jobs: Sequence[LayerJob]) -> None:
        """Ask a network with random weights about all layers in one pass over the images."""
        if not jobs[0].setup.subject.units.is_trained:
            share_random_network(jobs[0])

    def run(self, study: Study) -> None:
        """Do the same job on what can hold no answer."""
        segmented = study.segmented
        found = [
            Control(
                "single", "the best single filter", chosen_counts(study.job, segmented.baseline)
            ),
            _random_vector(study),
            *_shuffled(study),
            *_random_network(study),
        ]
        scores: dict[str, list[float]] = {}
        means: dict[str, MeanScores] = {}
        for control in found:
            if control.counts is None:
                _log.info("control %s is left out: %s", control.name, control.text)
                continue
            counts = segmented.beside(control.counts)
            beside = SetIouIntervals(counts)
            scores["multi"] = beside.multi.value.tolist()
            scores[control.name] = beside.single.value.tolist()
            means[control.name] = beside.means()
            if control.name != "single":
                _tell_lead(study, control, means[control.name])
        study.write(
            [
                ControlRow(c.name, c.category, **{name: of[at] for name, of in scores.items()})
                for at, c in enumerate(study.job.vocabulary)
            ],
            "controls",
        )
        study.write([_row(control, means.get(control.name)) for control in found], "control_means")
        _tell_gain(study, found)


def _row(control: Control, means: MeanScores | None) -> ControlMeansRow:
    if means is None:
        none = Estimate(math.nan)
        return ControlMeansRow(control.name, 0, none, none, 0, control.text)
    return ControlMeansRow(
        control.name,
        means.n_concepts,
        mean=estimate(means.single),
        lead=estimate(means.gain),
        n_above=means.n_won,
        status="ok",
    )


def _tell_lead(study: Study, control: Control, means: MeanScores) -> None:
    """Say how far the trained bank is ahead of a control."""
    study.find(
        QUESTION,
        f"lead over {control.name}",
        means.gain.array(),
        means.n_concepts,
        f"Against {control.text} ({means.single.value:.3f} in mean val set IoU) the trained "
        f"bank leads by {interval(means.gain.array())} and is ahead for {means.n_won} of "
        f"{means.n_concepts} concepts"
        f"{study.by_groups}." + (_SELECTIVITY if control.name == _SHUFFLED else ""),
    )


def _start(job: LayerJob) -> ConceptBank:
    """Return a bank as training starts from it."""
    return ConceptBank(job.initial_rows(job.setup.seeds[0]), bias=job.setup.options.protocol.bias)


def _random_vector(study: Study) -> Control:
    job = study.job
    counts = job.scored("random-vector", job.probe(_start(job)))
    return Control("random_vector", "random vectors", counts)


def _shuffled(study: Study) -> list[Control]:
    """Train on masks of other images of the same concept, and score on the true ones."""
    job = study.job
    stream = job.activations.stream
    if not isinstance(stream.source, MemoryCache):
        text = "needs activations kept in memory: cache=memory or device"
        return [Control(_SHUFFLED, text, None)]
    rows, groups = stream.pair_rows["train"], job.setup.reader.groups
    mixed = stream.from_source(stream.source.shuffled(rows, study.seed, groups))
    probe = job.trained("shuffled", _start(job), mixed)
    counts = job.scored("shuffled-scores", probe)
    text = "a bank trained on masks shuffled between images of each concept"
    return [Control(_SHUFFLED, text, counts)]


def _random_network(study: Study) -> list[Control]:
    """Do the whole job once more on the same architecture with random weights."""
    job = study.job
    if job.setup.subject.units.is_trained:
        text = "units=sae belong to the network they were trained on"
        return [Control("random_network", text, None)]
    other: LayerJob = job.setup.shared[_RANDOM_NETWORK][job.backbone.module_path]
    if other.backbone.digest == job.backbone.digest:
        return [Control("random_network", "the network brings its own weights", None)]
    baseline = single_filters(other)
    probe = other.trained("bank", _start(other))
    counts = other.scored("scores", probe)
    single = chosen_counts(other, baseline)
    name = f"{job.backbone.model} with random weights"
    return [
        Control("random_network_multi", f"combinations of filters of {name}", counts),
        Control("random_network_single", f"the best single filter of {name}", single),
    ]


def share_random_network(job: LayerJob) -> None:
    """Ask the same architecture with random weights about all layers, in one pass over the images.

    Args:
        job: Any layer of the network itself; all find the activations in what they share.
    """
    job.setup.shared[_RANDOM_NETWORK] = _random_jobs(job)


def _random_jobs(job: LayerJob) -> dict[str, LayerJob]:
    """Return the jobs of all layers of a network with random weights, by module path."""
    network = job.setup.subject.network
    # Of another draw than the network itself, which may be random too.
    blank = network.with_random_weights((network.seed + 1) % 2**32)
    backbones = job.setup.subject.frozen(job.setup.options, blank)
    for backbone in backbones:
        backbone.to(job.setup.device)
    # What it answers serves nobody later: no cache on disk.
    options = replace(job.setup.options, cache="memory")
    setup = replace(job.setup, backbones=backbones, options=options)
    setup = with_fitted_units(setup, _random_stages(setup))
    stages = _random_stages(setup)
    found = zip(setup.backbones, stages, find_activations(setup, stages), strict=True)
    return {b.module_path: LayerJob(setup, b, stage, a) for b, stage, a in found}


def _random_stages(setup: Setup) -> list[Stages]:
    """Return the stages of every layer of a network with random weights."""
    return [
        Stages(
            layer_folder(setup.folder, backbone.layer, len(setup.backbones))
            / "state"
            / "random_network",
            key_of(setup, backbone) | {"control": "random network"},
        )
        for backbone in setup.backbones
    ]


def _tell_gain(study: Study, found: list[Control]) -> None:
    """Say how much of the gain of combinations over single filters remains on a random network."""
    by_name = {control.name: control.counts for control in found}
    multi, single = (by_name.get(f"random_network_{which}") for which in ("multi", "single"))
    if multi is None or single is None:
        return
    counts = study.segmented.beside(single, multi)
    means = SetIouIntervals(counts).means()
    study.find(
        QUESTION,
        "gain on a random network",
        means.gain.array(),
        means.n_concepts,
        f"On the network with random weights combinations gain {interval(means.gain.array())} "
        f"over single filters and score higher for {means.n_won} of {means.n_concepts} concepts"
        f"{study.by_groups}: so much of such a gain needs no training of the network.",
    )
