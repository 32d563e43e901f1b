"""What every step of one layer's job needs, and how its banks are trained."""

from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Float64
from pytorch_lightning.callbacks import RichProgressBar
from torch import Tensor

from net2vec_pl.activations import BankCounts, MemoryCache
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import ConceptDataModule
from net2vec_pl.extensions import build
from net2vec_pl.functional import PixelPass
from net2vec_pl.pipeline.activations import LayerActivations
from net2vec_pl.pipeline.closed_form import ClosedFormFitter, SumFitter
from net2vec_pl.pipeline.fitter import Fitter, GradientFitter
from net2vec_pl.pipeline.moments import moments_of, stage_of
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.probes import ConceptBank, initial_rows
from net2vec_pl.probes.moments import Moments
from net2vec_pl.protocol import CLOSED_FORM, NET2VEC, SUM, Protocol
from net2vec_pl.runs.stages import Stages, Tensors
from net2vec_pl.tracking.log import JobLog
from net2vec_pl.training import SegmentationProbe, calibrate, score_bank
from net2vec_pl.version import __version__


@dataclass(frozen=True)
class LayerJob:
    """One layer of a run.

    Args:
        setup: What the layers of a run share.
        backbone: The network, frozen at the layer.
        stages: What of the layer's job is done.
        activations: What the network activations.
        log: What the fit of the main bank logs to.
    """

    setup: Setup
    backbone: FrozenBackbone
    stages: Stages
    activations: LayerActivations
    log: JobLog = field(default_factory=JobLog)

    @property
    def folder(self) -> Path:
        """Where the layer's results go."""
        return self.stages.folder

    @property
    def vocabulary(self) -> Vocabulary:
        """The probed concepts."""
        return self.setup.selection.vocabulary

    @property
    def alpha(self) -> Float[Tensor, "C"]:
        """Weight of the positive pixels of each concept, by size."""
        return torch.tensor([entry.alpha for entry in self.setup.selection.probed])

    @property
    def header(self) -> dict[str, Any]:
        """What a bank of this layer belongs to."""
        return header_of(self.setup, self.backbone)

    def initial_rows(self, seed: int) -> Float[Tensor, "C K"]:
        """Return the embeddings from which the training of a seed's bank starts."""
        numbers, filters = self.vocabulary.numbers.tolist(), self.backbone.shape[0]
        return initial_rows(numbers, filters, seed, self.backbone.module_path)

    def probe(self, bank: ConceptBank) -> SegmentationProbe:
        """Return a bank, or several, ready to be trained on the layer."""
        return self._probe(bank, self.setup.options.protocol, self.activations.scale)

    def probe_beside(self, bank: ConceptBank) -> SegmentationProbe:
        """Return a bank, or several, that reads what closed forms beside the run's probe read."""
        own = self.setup.options.protocol
        protocol = replace(own, input=self.beside_reads, bias=True, probe="lda")
        return self._probe(bank, protocol, self.beside_scale.float())

    @property
    def beside_reads(self) -> Literal["raw", "root"]:
        """What closed forms beside the run's probe read, as ``protocol.input`` names it."""
        return "raw" if self.setup.options.protocol.input == "raw" else "root"

    @cached_property
    def beside_scale(self) -> Float64[Tensor, "K"]:
        """What they divide each filter by: its spread."""
        if self.activations.scale is not None:
            return self.activations.scale.double().cpu()
        return self.moments(self.beside_reads).sums.spread

    @property
    def raw_stream(self) -> ConceptDataModule:
        """Batches from which activations can be had: those that are kept, else images."""
        source = self.activations.stream.source
        kept = isinstance(source, MemoryCache) and source.has_activations
        return self.activations.stream if kept else self.setup.stream

    @cached_property
    def pixels(self) -> PixelPass:
        """What upsamples maps of the layer's grid."""
        start = self.initial_rows(self.setup.seeds[0])
        return self.probe(ConceptBank(start)).to(self.setup.device).pixels

    def _probe(
        self, bank: ConceptBank, protocol: Protocol, scale: Float[Tensor, "K"] | None
    ) -> SegmentationProbe:
        options = self.setup.options
        compiled = options.compiled
        return SegmentationProbe(
            self.backbone,
            self.activations.thresholds,
            bank,
            self.alpha,
            self.setup.reader.mask_size,
            protocol,
            scale=scale,
            pairs_per_chunk=options.pairs_per_chunk,
            compiled=self.setup.device.type == "cuda" if compiled is None else compiled,
            stage_key=self.stages.key,
        )

    def fitter(self, **options: Any) -> GradientFitter:
        """Return what trains probes of the layer, with a bar if the run shows any.

        Args:
            options: Of :class:`GradientFitter`, where they differ from the run's.
        """
        run = self.setup.options
        bar = [RichProgressBar(console_kwargs={"stderr": True})]
        usual: dict[str, Any] = {
            "trainer": run.trainer,
            "epochs": run.protocol.epochs,
            "folder": self.folder,
            "callbacks": bar if self.setup.progress.enabled else (),
        }
        return GradientFitter(**(usual | options))

    @property
    def own_fitter(self) -> Fitter:
        """What fits banks by the run's protocol."""
        name = self.setup.options.protocol.probe
        if name == NET2VEC:
            return self.fitter()
        if name in CLOSED_FORM:
            return ClosedFormFitter(self.moments_of)
        if name == SUM:
            return SumFitter(self.fitter(), self.moments_of)
        return build(Fitter, name, {})  # type: ignore[type-abstract]

    def moments(self, reads: str) -> Moments:
        """Return the sums over the layer's train images, once.

        Args:
            reads: What probes read, as ``protocol.input`` names it.
        """
        setup = self.setup
        rows = setup.stream.train_rows
        return Moments.read(
            self.stages.once(
                stage_of(reads),
                lambda: moments_of(
                    setup, self.backbone, self.activations.thresholds, setup.stream, rows, reads
                ).tensors(),
            )
        )

    def moments_of(self, stream: ConceptDataModule) -> Moments:
        """Return the sums over the train images of the layer's stream, or of another one."""
        reads = self.setup.options.protocol.input
        if stream is self.activations.stream:
            return self.moments(reads)
        rows = stream.pair_rows["train"]
        thresholds = self.activations.thresholds
        return moments_of(self.setup, self.backbone, thresholds, stream, rows, reads)

    def trained(
        self, name: str, bank: ConceptBank, stream: ConceptDataModule | None = None
    ) -> SegmentationProbe:
        """Train banks once, as a stage: no log, no validation, no checkpoint.

        Where the protocol calibrates, thresholds are those of the train images of the fit.

        Args:
            name: Name of the stage.
            bank: The banks.
            stream: The images; those of the main bank if None.
        """
        probe = self.probe(bank)
        probe.tells_loss = False

        def learn() -> Tensors:
            images = stream or self.activations.stream
            self.own_fitter.fit(probe, images)
            if self.setup.options.protocol.calibrate != "none":
                self.calibrate_on_train(probe, images)
            return {key: value for key, value in probe.state_dict().items() if _is_own(key)}

        probe.load_state_dict(self.stages.once(name, learn), strict=False)
        return probe.to(self.setup.device)

    def calibrate_on_train(self, probe: SegmentationProbe, stream: ConceptDataModule) -> None:
        """Set the biases of a probe to where set IoU on the train images of a stream is largest."""
        track = self.setup.progress("thresholds of probes")
        calibrate(probe.to(self.setup.device), stream, stream.scored_rows["train"], track=track)

    def scored(self, name: str, probe: SegmentationProbe, split: str = "val") -> BankCounts:
        """Score banks, once.

        Args:
            name: Name of the stage.
            probe: The banks.
            split: On the images of ``train`` or ``val``.
        """
        stream = self.activations.stream
        track = self.setup.progress(name)
        probe = probe.to(self.setup.device)
        found = self.stages.once(
            name,
            lambda: vars(
                score_bank(probe, stream, stream.scored_rows[split], ap=False, track=track)[0]
            ),
        )
        return BankCounts(**found)


def key_of(setup: Setup, backbone: FrozenBackbone) -> dict[str, Any]:
    """Return everything that a layer's results depend on."""
    header = header_of(setup, backbone)
    del header["versions"]["torch"]  # a newer one may finish what an older one began
    concepts = [(e.concept.name, e.n_train, e.n_val) for e in setup.selection.probed]
    beside, groups = list(setup.options.beside), setup.reader.groups
    return header | {
        "concepts": concepts,
        "batch_size": setup.options.batch_size,
        **({"beside": beside} if beside else {}),
        **({} if groups is None else {"groups": groups.tolist()}),
    }


def header_of(setup: Setup, backbone: FrozenBackbone) -> dict[str, Any]:
    """Say what a bank belongs to: enough to rebuild its backbone and to compare runs."""
    protocol, reader = setup.options.protocol, setup.reader
    return {
        "model": dict(setup.subject.network.plain),
        "weights_digest": backbone.digest,
        "layer": backbone.layer,
        "module_path": backbone.module_path,
        "activation_shape": list(backbone.shape),
        "input_transform": vars(backbone.scaling) | {"image_size": list(reader.image_size)},
        "tau": protocol.tau,
        "protocol": protocol.plain(),
        "deviations": protocol.deviations(),
        "data": {
            "name": reader.name,
            "digest": setup.scan.digest,
            "mask_size": list(reader.mask_size),
            "readable": len(setup.scan.readable),
            "unreadable": len(setup.scan.unreadable),
        },
        **({} if backbone.units.are_filters else {"units": backbone.units.header}),
        "seed": setup.options.seed,
        "seeds": setup.options.seeds,
        "versions": {"net2vec_pl": __version__, "torch": _torch()},
    }


@cache
def _torch() -> str:
    """Return the version installed; importlib looks through every folder that packages are in."""
    return version("torch")


def _is_own(key: str) -> bool:
    return key.startswith("bank.") or key == "alpha"
