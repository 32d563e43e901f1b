"""Two processes of a gloo group find the thresholds of one, and build the same cache together."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from support.gloo import in_processes
from support.planted import PlantedReader
from torch import nn

from net2vec_pl import processes
from net2vec_pl.activations import CacheFolder, CacheKey, CacheSink, DiskCache, quantiles, survey
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.data import ConceptDataModule, scan_files

TAU = 0.04
KEY = CacheKey({"layer": "1"})


def build(rank: int, root: Path, *, sampled: bool, on_train: bool) -> list[float]:
    """Build a cache if there is none, as a run does; return the thresholds found."""
    if sampled:
        vars(quantiles)["sampling_shift"] = lambda *_: 1
    reader = PlantedReader()
    scan = scan_files(reader)
    stream = ConceptDataModule(reader, reader.vocabulary, scan, batch_size=8)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True))
    backbone = FrozenBackbone(network, "1", InputScaling.named("unit"), reader.image_size)
    folder = CacheFolder(root, KEY)
    with folder.locked():
        assert not processes.from_first(folder.is_complete)
        sink = CacheSink(
            [folder.prepare()],
            [backbone.shape],
            rows=processes.share(stream.all_rows),
            is_train=reader.is_train,
            scan=scan,
            mask_size=reader.mask_size,
        )
        thresholds = survey(
            [backbone],
            stream,
            TAU,
            threshold_rows=stream.train_rows if on_train else stream.all_rows,
            sink=sink,
            sink_rows=stream.all_rows,
        )
        sink.close(thresholds)
        folder.finish()
        assert processes.from_first(folder.is_complete)
    found: list[float] = thresholds[0].tolist()
    return found


@pytest.mark.parametrize(("sampled", "on_train"), [(False, False), (False, True), (True, False)])
def test_two_processes_build_the_cache_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampled: bool, on_train: bool
) -> None:
    monkeypatch.setattr(quantiles, "sampling_shift", quantiles.sampling_shift)  # put back later
    how = {"sampled": sampled, "on_train": on_train}
    expected = build(0, tmp_path / "one", **how)
    assert in_processes(partial(build, root=tmp_path / "two", **how)) == [expected, expected]
    numbers = PlantedReader().vocabulary.numbers
    parts = [CacheFolder(tmp_path / name, KEY).parts() for name in ("one", "two")]
    assert [len(paths) for paths in parts] == [1, 2]
    one, two = (DiskCache(paths, numbers) for paths in parts)
    assert torch.equal(one.threshold, two.threshold)
    assert len(one) == len(two) == 40
    for row in range(40):
        for found, wanted in zip(two[row], one[row], strict=True):
            np.testing.assert_array_equal(found, wanted)
    # Rows of both parts in one batch.
    one_batch, two_batch = (c.collate([c[row] for row in (7, 2, 39, 0)]) for c in (one, two))
    assert torch.equal(one_batch.places, two_batch.places)
    assert torch.equal(one_batch.masks(slice(None)), two_batch.masks(slice(None)))
