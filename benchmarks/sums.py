"""What closed forms cost: sums, solutions, thresholds and scores, without the network."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.material import Material
from benchmarks.rows import Row, fit_seconds, seconds_of
from net2vec_pl.activations import MemorySink, survey
from net2vec_pl.activations.extract import on_device, respond
from net2vec_pl.activations.moments import NUM_FOLDS, MomentSums, folds_of, steps_of
from net2vec_pl.analysis.subsets import default_sizes, top_filters
from net2vec_pl.data import ConceptBatch, ConceptDataModule
from net2vec_pl.functional.inputs import INPUTS
from net2vec_pl.probes import ConceptBank
from net2vec_pl.probes.closed_form import Solution, solution
from net2vec_pl.probes.moments import Moments
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe, calibrate, score_bank

EPOCHS = 30
_LDA = Protocol(name="lda", probe="lda", input="root", bias=True, calibrate="train")


def sum_rows(m: Material) -> list[Row]:
    """Closed forms against thirty epochs, from activations in memory; sums of BRODEN's size."""
    stream = _with_activations(m)
    moments = _moments(m, stream)

    def lda() -> float:
        return seconds_of(lambda: _lda(m, stream, moments))

    def with_sums() -> float:
        return seconds_of(lambda: _lda(m, stream, _moments(m, stream)))

    def curves() -> float:
        return seconds_of(lambda: _curves(m, stream, moments))

    lda(), with_sums()
    epochs = [fit_seconds(m, EPOCHS) for _ in range(3)]
    mine, summed = zip(*((lda(), with_sums()) for _ in range(3)), strict=True)
    curve = [curves() for _ in range(3)]
    peaks, per_image = zip(*(_made_up(n) for n in (320, 3200)), strict=True)
    return [
        Row("LDA, thresholds, scores, after the pass: 30 epochs", mine, epochs, "s", 5),
        Row("the same with the sums, part of the network's pass", summed, epochs, "s", None),
        Row("curves of LDA over 12 numbers of filters: a plain fit", curve, epochs, "s", 1),
        Row("sums of 3,200 images of BRODEN's size against 320: memory", [peaks[1] / peaks[0]], (),
            "x", 1.1),
        Row("the same: peak memory", [peaks[1]], (), "GiB", None),
        Row("the same, an image", [per_image[1] * 1e3], (), "ms", None),
    ]  # fmt: skip


def _with_activations(m: Material) -> ConceptDataModule:
    kept = np.concatenate(list(m.stream.scored_rows.values()))
    sink = MemorySink([m.backbone.shape], m.reader.mask_size, torch.device("cpu"), dense_rows=kept)
    survey(
        [m.backbone],
        m.stream,
        Protocol().tau,
        threshold_rows=m.stream.all_rows,
        sink=sink,
        sink_rows=kept,
    )
    return m.stream.from_source(sink.caches()[0])


def _moments(m: Material, stream: ConceptDataModule) -> Moments:
    step = steps_of([m.backbone], m.stream, INPUTS["root"])[0]
    rows = stream.pair_rows["train"]
    fold = folds_of(rows, len(m.reader), NUM_FOLDS)
    sums = MomentSums(m.backbone.shape, len(m.selection.vocabulary), fold, step)
    for batch in on_device(stream.rows_dataloader(rows), m.backbone):
        sums.add(INPUTS["root"](respond(m.backbone, batch)), batch)
    return sums.moments(torch.device("cpu"))


def _probe(m: Material, scale: torch.Tensor, found: list[Solution]) -> SegmentationProbe:
    bank = ConceptBank(torch.cat([one.weight for one in found]).float(), bias=True)
    assert bank.bias is not None
    with torch.no_grad():
        bank.bias.copy_(torch.cat([one.bias for one in found]))
    plain = m.probe()
    alpha = plain.alpha[: len(m.selection.vocabulary)]
    return SegmentationProbe(
        m.backbone, m.thresholds, bank, alpha, m.reader.mask_size, _LDA, scale=scale.float()
    )


def _lda(m: Material, stream: ConceptDataModule, moments: Moments) -> None:
    scale = moments.sums.spread
    probe = _probe(m, scale, [solution("lda", moments, scale, _LDA.shrinkage)])
    calibrate(probe, stream, stream.scored_rows["train"])
    score_bank(probe, stream, stream.scored_rows["val"])


def _curves(m: Material, stream: ConceptDataModule, moments: Moments) -> None:
    scale = moments.sums.spread
    whole = solution("lda", moments, scale, _LDA.shrinkage)
    sizes = default_sizes(len(scale), "segmentation")[:-1]
    kept = torch.from_numpy(top_filters(whole.weight.numpy(), sizes))
    found = [solution("lda", moments, scale, _LDA.shrinkage, kept=some) for some in kept]
    probe = _probe(m, scale, [*found, whole])
    calibrate(probe, stream, stream.scored_rows["train"])
    score_bank(probe, stream, stream.scored_rows["val"], ap=False)


def _made_up(num_images: int) -> tuple[float, float]:
    """Sum drawn activations in a process of its own; return peak GiB and seconds an image."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sums", str(num_images)],
        capture_output=True,
        text=True,
        check=True,
    )
    peak, seconds = done.stdout.split()[-2:]
    return float(peak), float(seconds)


def _sum_made_up(num_images: int) -> None:
    """Sum drawn images: 1,197 concepts, 15 in an image, 512 filters on 14 x 14, masks of 112."""
    shape, concepts, pairs, size = (512, 14, 14), 1197, 15, 16
    generator = torch.Generator().manual_seed(0)
    fold = folds_of(np.arange(num_images), num_images, NUM_FOLDS)
    sums = MomentSums(shape, concepts, fold, torch.full((shape[0],), 2.0**-9).double())
    spent = 0.0
    for first in range(0, num_images, size):
        features = torch.randn(size, *shape, generator=generator).abs()
        batch = _Drawn(
            row=torch.arange(first, first + size),
            image=torch.arange(size).repeat_interleave(pairs),
            concept=torch.randint(concepts, (size * pairs,), generator=generator),
            all_masks=torch.rand(size * pairs, 112, 112, generator=generator) > 0.9,
        )
        spent += seconds_of(lambda batch=batch, x=features: sums.add(x, batch))  # type: ignore[misc]
    sums.moments(torch.device("cpu"))
    status = Path("/proc/self/status").read_text()
    sys.stdout.write(f"{int(status.split('VmHWM:')[1].split()[0]) / 2**20} {spent / num_images}\n")


@dataclass(frozen=True)
class _Drawn(ConceptBatch):
    """A batch whose masks are at hand."""

    all_masks: torch.Tensor

    def masks(self, pairs: slice) -> torch.Tensor:
        return self.all_masks[pairs]

    def extended(self, image: torch.Tensor, concept: torch.Tensor, known: torch.Tensor) -> "_Drawn":
        raise NotImplementedError


if __name__ == "__main__":
    _sum_made_up(int(sys.argv[1]))
