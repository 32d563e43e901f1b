"""What ``learn`` gives back: a bank with everything that its run found."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from torch import Tensor

from net2vec_pl.data.batch import collate
from net2vec_pl.inference import Bank
from net2vec_pl.inference.plots import Plots
from net2vec_pl.inference.results import Results, Source, Tables
from net2vec_pl.job import LayerResult
from net2vec_pl.page.layer import leave_report
from net2vec_pl.pipeline.setup import skipped_rows
from net2vec_pl.probes import BankFile
from net2vec_pl.records import Table
from net2vec_pl.report import LayerTables
from net2vec_pl.runs import BANK, CLASSIFIERS
from net2vec_pl.studies.study import Study

_LOOKED_AT = 50  # val images with a concept, among which one is chosen to be shown


@dataclass(frozen=True)
class _Run(Source):
    """A run that is done, as long as its network and its images are at hand.

    Args:
        study: Its layer, without the activations that it kept.
        tables: The tables of the layer.
    """

    study: Study
    tables: LayerTables

    def report(self, path: Path) -> None:
        """Write the page."""
        leave_report(self.study, self.tables, path)

    def example(self, name: str) -> tuple[UInt8[Tensor, "3 H W"], Bool[Tensor, "sh sw"]] | None:
        """Return the val image on which a concept is largest, of some, and its mask."""
        setup = self.study.job.setup
        vocabulary, scan = self.study.job.vocabulary, setup.scan
        if self.study.segmentation is None or name not in vocabulary.names:
            return None
        here = scan.number == vocabulary.numbers[vocabulary.row(name)]
        here &= ~setup.reader.is_train[scan.row]
        if not here.any():
            return None
        some = np.flatnonzero(here)[:_LOOKED_AT]
        row = int(scan.row[some[np.argmax(scan.pixels[some])]])
        sample = setup.reader[row]
        sizes = setup.reader.image_size, setup.reader.mask_size
        batch = collate([row], [sample], setup.stream.index, *sizes)
        masks = batch.masks(slice(None))
        return sample.image, masks[batch.concept == vocabulary.row(name)][0]


def bank_of(found: LayerResult) -> Bank:
    """Return the bank of a layer; where it also has classifiers, they are ``bank.classifiers``.

    Args:
        found: What the run made of the layer; its folder is still there.
    """
    job, study = found.job, found.study
    assert study is not None, "no layer was done in a fork"
    source = _Run(_without_cache(study), found.tables)
    rows = vars(found.tables) | study.tables | {"findings": study.findings}
    rows["skipped"] = skipped_rows(job.setup.reader, job.setup.scan)
    tables = Tables({name: Table(of) for name, of in rows.items() if of})
    counts = None if study.segmentation is None else study.segmented.counts
    groups = job.setup.reader.groups
    results = Results(tables, Plots(study.figures), counts, source, groups)
    banks = [
        Bank(BankFile.load(path), backbone=job.backbone, results=results)
        for name in (BANK, CLASSIFIERS)
        if (path := job.folder / name).exists()
    ]
    banks[0].classifiers = banks[-1] if len(banks) == 2 else None
    return banks[0]


def _without_cache(study: Study) -> Study:
    """Let go of the activations that were kept, which may be all there is of memory."""
    job = study.job
    light = replace(
        job,
        setup=replace(job.setup, shared={}),
        activations=replace(job.activations, stream=job.setup.stream),
    )
    return replace(study, job=light)
