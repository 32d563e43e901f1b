"""Caches: batches made from them are the streamed ones, and only whole caches are used."""

import json
import logging
import multiprocessing
import pickle
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.planted import GRID, PlantedReader
from torch import Tensor, nn

from net2vec_pl import processes
from net2vec_pl.activations import (
    CacheFolder,
    CacheKey,
    CacheSink,
    DiskCache,
    MemoryCache,
    MemorySink,
    fire,
    survey,
)
from net2vec_pl.activations.cache_folder import check_room, forecast_bytes
from net2vec_pl.activations.ragged import Ragged
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.concepts import Category, Vocabulary
from net2vec_pl.data import (
    BitBatch,
    ConceptBatch,
    ConceptDataModule,
    ConceptReader,
    ImageBatch,
    Sample,
    Scan,
    scan_files,
)
from net2vec_pl.data.datamodule import BatchSource
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.errors import CacheError

TAU = 0.05


class Labelled(PlantedReader):
    """Some images have no map, some one or two, some nothing at all; some labels hold for all.

    Concepts 1 and 3 are a map's in some images, the whole image's in others, and both in a few.
    """

    def __init__(self) -> None:
        super().__init__(num_images=23)
        self.categories = (Category("object", True), Category("scene", False))

    def __getitem__(self, row: int) -> Sample:
        maps = self.maps[row, : row % 4]
        whole = ("object", 1) if row % 3 == 0 else ("scene", 3)
        labels = (whole,) if row % 5 else ()
        return Sample(self.images[row], maps, ("object",) * len(maps), labels)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.Conv2d(5, 4, 2))


def frozen(reader: ConceptReader, *layers: str) -> list[FrozenBackbone]:
    unit = InputScaling.named("unit")
    first = FrozenBackbone(network(), layers[0], unit, reader.image_size)
    return [first, *map(first.at, layers[1:])]


class Built:
    """A dataset, its network at two layers, their thresholds, and caches of both kinds."""

    def __init__(self, reader: ConceptReader, folder: Path, vocabulary: Vocabulary) -> None:
        self.reader, self.vocabulary = reader, vocabulary
        self.scan = scan_files(reader)
        self.backbones = frozen(reader, "1", "2")
        self.stream = self.stream_of(vocabulary)
        shapes, mask_size = [b.shape for b in self.backbones], reader.mask_size
        in_memory = MemorySink(shapes, mask_size, torch.device("cpu"))
        self.survey(self.stream, in_memory)
        self.in_memory = in_memory.caches()
        self.folders = [CacheFolder(folder, CacheKey({"layer": n})) for n in (1, 2)]
        on_disk = self.sink([f.prepare() for f in self.folders])
        self.thresholds = self.survey(self.stream_of(reader.vocabulary), on_disk)
        on_disk.close(self.thresholds)
        for place in self.folders:
            place.finish()

    def stream_of(self, vocabulary: Vocabulary) -> ConceptDataModule:
        return ConceptDataModule(self.reader, vocabulary, self.scan, batch_size=7)

    def sink(self, paths: Sequence[Path]) -> CacheSink:
        return CacheSink(
            paths,
            [b.shape for b in self.backbones],
            rows=self.stream.all_rows,
            is_train=self.reader.is_train,
            scan=self.scan,
            mask_size=self.reader.mask_size,
        )

    def survey(self, stream: ConceptDataModule, sink: MemorySink | CacheSink) -> list[Tensor]:
        rows = stream.all_rows
        return survey(self.backbones, stream, TAU, threshold_rows=rows, sink=sink, sink_rows=rows)

    def on_disk(self, layer: int, vocabulary: Vocabulary | None = None) -> DiskCache:
        numbers = (vocabulary or self.vocabulary).numbers
        return DiskCache(self.folders[layer].parts(), numbers)


@pytest.fixture(
    scope="module",
    params=[PlantedReader, Labelled, lambda: ShapesReader(num_images=30, image_size=32)],
    ids=["planted", "labelled", "shapes"],
)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    reader: ConceptReader = request.param()
    # Rows of the bank follow neither the numbers nor the dataset, and some labels are not probed.
    numbers = np.random.default_rng(1).permutation(len(reader.vocabulary))[: -1 or None]
    some = Vocabulary(reader.vocabulary[int(i)] for i in numbers)
    return Built(reader, tmp_path_factory.mktemp("cache"), some)


def agree(built: Built, layer: int, streamed: ConceptBatch, cached: ConceptBatch) -> None:
    assert isinstance(streamed, ImageBatch)
    assert isinstance(cached, BitBatch)
    for name in ("row", "image", "concept"):
        assert torch.equal(getattr(streamed, name), getattr(cached, name)), name
    assert torch.equal(streamed.masks(slice(None)), cached.masks(slice(None)))
    backbone, threshold = built.backbones[layer], built.thresholds[layer]
    expected, found = fire(backbone, threshold, streamed), fire(backbone, threshold, cached)
    assert found.shape == expected.shape
    assert torch.equal(found.places, expected.places)


def pair_rows(stream: ConceptDataModule) -> npt.NDArray[np.int64]:
    return np.concatenate(list(stream.pair_rows.values()))


def sources_of(built: Built, layer: int) -> list[BatchSource]:
    """Return the cache in memory, the one on disk, and the latter read into memory."""
    on_disk = built.on_disk(layer)
    read = MemoryCache.read(on_disk, pair_rows(built.stream), torch.device("cpu"))
    return [built.in_memory[layer], on_disk, read]


@pytest.mark.parametrize("layer", [0, 1])
def test_batches_from_every_cache_are_the_streamed_ones_with_bits_for_images(
    built: Built, layer: int
) -> None:
    order = np.random.default_rng(0).permutation(pair_rows(built.stream))
    for source in sources_of(built, layer):
        kept = built.stream.from_source(source)
        for streamed, cached in (
            (built.stream.rows_dataloader(order), kept.rows_dataloader(order)),
            (built.stream.train_dataloader(), kept.train_dataloader()),
            (built.stream.val_dataloader(), kept.val_dataloader()),
        ):
            for one, two in zip(streamed, cached, strict=True):
                agree(built, layer, one, two)


def test_something_fires_and_something_does_not(built: Built) -> None:
    for cache in built.in_memory:
        bits = cache.collate(built.stream.all_rows.tolist()).fired.dense()
        assert 0 < bits.float().mean() < 2 * TAU


def test_a_batch_of_no_rows_has_its_shapes(built: Built) -> None:
    sh, sw = built.reader.mask_size
    for source in sources_of(built, 0):
        batch = source.collate([])
        assert isinstance(batch, BitBatch)
        assert len(batch.row) == len(batch.image) == len(batch.concept) == 0
        assert batch.masks(slice(None)).shape == (0, sh, sw)
        assert batch.fired.dense().shape == (0, *built.backbones[0].shape)
        assert not batch.pairs_by_image()


def test_a_cache_on_disk_serves_any_concepts(built: Built) -> None:
    generator = np.random.default_rng(2)
    every = list(built.reader.vocabulary)
    for count in (1, 2, len(every)):
        chosen = Vocabulary(every[i] for i in generator.permutation(len(every))[:count])
        stream = built.stream_of(chosen)
        kept = stream.from_source(built.on_disk(1, chosen))
        rows = pair_rows(stream)
        pairs = zip(stream.rows_dataloader(rows), kept.rows_dataloader(rows), strict=True)
        for one, two in pairs:
            agree(built, 1, one, two)


def test_images_without_a_probed_concept_have_bits_and_no_pairs(built: Built) -> None:
    alone = Vocabulary(list(built.reader.vocabulary)[-1:])
    stream = built.stream_of(alone)
    without = np.setdiff1d(stream.all_rows, pair_rows(stream))
    assert len(without)
    kept = stream.from_source(built.on_disk(0, alone))
    pairs = zip(stream.rows_dataloader(without), kept.rows_dataloader(without), strict=True)
    for one, two in pairs:
        agree(built, 0, one, two)


def test_a_cache_on_disk_knows_its_thresholds_and_shapes(built: Built) -> None:
    for layer, backbone in enumerate(built.backbones):
        cache = built.on_disk(layer)
        assert torch.equal(cache.threshold, built.thresholds[layer])
        assert cache.shape == backbone.shape
        assert cache.mask_size == built.reader.mask_size
        assert len(cache) == len(built.stream.all_rows)


def test_a_cache_that_was_read_can_be_sent_to_another_process(built: Built) -> None:
    cache = built.on_disk(0)
    row = int(built.stream.all_rows[3])
    expected = cache[row]  # opens the files
    for found, wanted in zip(pickle.loads(pickle.dumps(cache))[row], expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_layers_in_memory_share_their_masks(built: Built) -> None:
    first, second = built.in_memory
    assert first._pairs is second._pairs
    bits = first.collate(built.stream.all_rows.tolist())
    assert (
        first.num_bytes == 4 * len(bits.places) + 8 * len(bits.concept) + bits.packed_masks.nbytes
    )


def test_only_the_images_wanted_are_kept_or_the_others_do_no_harm() -> None:
    reader = PlantedReader()
    stream = ConceptDataModule(reader, reader.vocabulary, scan_files(reader), batch_size=7)
    (backbone,) = frozen(reader, "1")
    sink = MemorySink([backbone.shape], reader.mask_size, torch.device("cpu"))
    wanted = pair_rows(stream)[5:]  # not in order, and not all
    (threshold,) = survey(
        [backbone], stream, TAU, threshold_rows=stream.all_rows, sink=sink, sink_rows=wanted
    )
    kept = stream.from_source(*sink.caches())
    for one, two in zip(stream.rows_dataloader(wanted), kept.rows_dataloader(wanted), strict=True):
        assert torch.equal(one.masks(slice(None)), two.masks(slice(None)))
        expected = fire(backbone, threshold, one)
        assert torch.equal(fire(backbone, threshold, two).places, expected.places)


def test_bits_of_images_that_are_not_kept_are_left_out_whatever_their_order() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    batch = ImageBatch(
        row=torch.tensor([4, 2]),
        image=torch.tensor([1]),
        concept=torch.tensor([0]),
        images=torch.zeros(2, 3, 1, 1, dtype=torch.uint8),
        label_maps=torch.tensor([[[[0, 0]]], [[[7, 0]]]]).int(),
        number=torch.tensor([7]).int(),
        whole=torch.tensor([False]),
    )
    sink = MemorySink([(2, 1, 3), (1, 1, 2)], (1, 2), torch.device("cpu"))
    sink.add_pairs(batch)
    sink.add_fired(0, torch.tensor([2, 2, 3, 9]), torch.tensor([1, 5, 0, 2]))
    sink.add_fired(0, torch.tensor([0, 4]), torch.tensor([3, 4]))
    sink.add_fired(1, none, none)
    first, second = sink.caches()
    found = first.collate([2, 4, 2])
    assert isinstance(found, BitBatch)
    assert found.places.tolist() == [1, 5, 6 + 4, 12 + 1, 12 + 5]
    assert found.masks(slice(None)).tolist() == [[[True, False]]] * 2
    assert (found.image.tolist(), found.concept.tolist()) == ([0, 2], [0, 0])
    assert not len(second.collate([2, 4]).places)


# -------------------- images in which nothing fires


def fill(
    reader: ConceptReader, path: Path, fired: Callable[[npt.NDArray[np.int64]], Iterable[Tensor]]
) -> DiskCache:
    """Write a cache of a layer of (2, 3, 3) of which this is sent for each batch of rows."""
    scan = scan_files(reader)
    stream = ConceptDataModule(reader, reader.vocabulary, scan, batch_size=5)
    sink = CacheSink(
        [path],
        [(2, 3, 3)],
        rows=stream.all_rows,
        is_train=reader.is_train,
        scan=scan,
        mask_size=reader.mask_size,
    )
    for batch in stream.rows_dataloader(stream.all_rows):
        assert isinstance(batch, ImageBatch)
        sink.add_pairs(batch)
        sink.add_fired(0, *fired(batch.row.numpy()))
    sink.close([torch.zeros(2)])
    return DiskCache([path], reader.vocabulary.numbers)


def one_bit_each(rows: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(rows), torch.full((len(rows),), 17)


def test_images_in_which_nothing_fires_have_no_bits(tmp_path: Path) -> None:
    cache = fill(
        PlantedReader(num_images=12),
        tmp_path / "part-0-of-1.h5",
        lambda rows: one_bit_each(rows[rows % 3 == 1]),
    )
    for row in range(12):
        assert cache[row][1].tolist() == [17] * (row % 3 == 1)


def test_a_batch_in_which_nothing_fires_has_no_bits(tmp_path: Path) -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    reader = PlantedReader(num_images=6)
    cache = fill(reader, tmp_path / "part-0-of-1.h5", lambda _: (nothing, nothing))
    assert all(len(cache[row][1]) == 0 for row in range(6))


def test_an_image_without_any_label_has_no_pairs(tmp_path: Path) -> None:
    reader = Labelled()
    reader.maps[:] = 0
    cache = fill(reader, tmp_path / "part-0-of-1.h5", one_bit_each)
    for row in range(len(reader)):
        assert len(cache[row][2]) == (row % 5 > 0)


def test_a_dataset_without_any_map_can_be_kept(tmp_path: Path) -> None:
    bare = Labelled()
    bare.maps = bare.maps[:, :0]
    cache = fill(bare, tmp_path / "part-0-of-1.h5", one_bit_each)
    masks = cache.collate([cache[1], cache[3]]).masks(slice(None))
    assert masks.shape == (2, GRID, GRID)
    assert masks.all()  # both hold for the whole image


# -------------------- lists by key


def test_lists_of_different_lengths_are_found_by_key_in_any_order_and_twice() -> None:
    keys = np.array([7, 2, 9, 4])
    values = torch.arange(6)
    ragged = Ragged(keys, np.array([2, 0, 1, 3]), [values, values.float()[:, None]])
    lengths, (found, other) = ragged[np.array([4, 2, 7, 4])]
    assert lengths.tolist() == [3, 0, 2, 3]
    assert found.tolist() == [3, 4, 5, 0, 1, 3, 4, 5]
    assert other[:, 0].tolist() == found.tolist()
    assert ragged.num_bytes == 6 * 8 + 6 * 4


# -------------------- only whole caches are used


KEY = CacheKey({"model": "shapesnet", "layer": "conv5", "tau": 0.005, "input": [0.5, 0.5]})


def write(folder: CacheFolder, content: bytes = b"bits and label maps" * 40) -> None:
    folder.prepare().write_bytes(content)
    folder.finish()


@pytest.fixture
def folder(tmp_path: Path) -> CacheFolder:
    made = CacheFolder(tmp_path / "caches", KEY)
    write(made)
    return made


def test_a_cache_is_complete_once_it_is_finished(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path / "caches", KEY)
    assert not folder.is_complete()
    part = folder.prepare()
    assert not folder.is_complete()
    part.write_bytes(b"bits")
    assert not folder.is_complete()
    folder.finish()
    assert folder.is_complete()
    assert [path.read_bytes() for path in folder.parts()] == [b"bits"]
    assert [path.name for path in (tmp_path / "caches").iterdir()] == [KEY.digest]


def test_a_cache_is_found_by_an_equal_key_and_by_no_other(folder: CacheFolder) -> None:
    root = folder.path.parent
    same = CacheKey({name: KEY.parts[name] for name in reversed(KEY.parts)})
    assert CacheFolder(root, same).is_complete()
    for name in KEY.parts:
        other = CacheKey(KEY.parts | {name: "another"})
        assert other.digest != KEY.digest
        assert not CacheFolder(root, other).is_complete()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def halve(path: Path) -> None:
    path.write_text(path.read_text()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("part-0-of-1.h5", truncate),
        ("part-0-of-1.h5", flip),
        ("part-0-of-1.h5", Path.unlink),
        ("complete.json", Path.unlink),
        ("complete.json", halve),
        ("complete.json", lambda path: path.write_text("")),
        ("complete.json", lambda path: path.write_text("[]")),
        ("complete.json", lambda path: path.write_text('{"key": null, "parts": {}}')),
    ],
    ids=[
        *("truncated", "flipped", "no part", "no manifest", "half a manifest", "empty"),
        *("a list", "no key"),
    ],
)
def test_a_damaged_cache_is_not_used_and_is_built_anew(
    folder: CacheFolder,
    name: str,
    harm: Callable[[Path], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    harm(folder.path / name)
    with caplog.at_level(logging.WARNING):
        assert not folder.is_complete()
    (record,) = caplog.records
    assert f"{folder.path} is damaged or incomplete" in record.getMessage()
    part = folder.prepare()
    assert not list(part.parent.iterdir())
    assert not folder.path.exists()
    part.write_bytes(b"anew")
    folder.finish()
    assert folder.is_complete()


def test_a_byte_flipped_anywhere_in_the_manifest_is_never_a_crash(
    folder: CacheFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="net2vec_pl")
    manifest = folder.path / "complete.json"
    whole = manifest.read_bytes()
    for at in range(len(whole)):
        for bit in (2, 64):
            manifest.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            try:
                complete = folder.is_complete()
            except CacheError:
                continue  # another key
            assert not complete or json.loads(manifest.read_bytes()) == json.loads(whole)


def test_what_a_killed_run_left_behind_is_cleared_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CacheFolder(tmp_path / "caches", KEY)
    left = folder.prepare()
    left.write_bytes(b"half a part")
    (left.parent / "part-1-of-2.h5").write_bytes(b"of two processes")
    assert not folder.is_complete()
    assert not caplog.records  # nothing bears the cache's name yet
    write(folder, b"whole")
    assert folder.is_complete()
    assert [path.read_bytes() for path in folder.parts()] == [b"whole"]


def test_a_cache_of_another_key_is_refused_and_what_differs_is_named(folder: CacheFolder) -> None:
    other = CacheFolder(
        folder.path.parent, CacheKey(KEY.parts | {"layer": "conv4", "tau": 0.01, "data": "new"})
    )
    shutil.copytree(folder.path, other.path)
    with pytest.raises(
        CacheError, match=r"\(data, layer, tau differ\) and cannot be used; remove it"
    ):
        other.is_complete()
    assert folder.is_complete()


def test_parts_of_several_processes_make_one_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CacheFolder(tmp_path, KEY)
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes, "wait", lambda: None)
    paths = []
    for rank in (0, 1):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        paths.append(folder.prepare())
        paths[-1].write_bytes(bytes([rank]))
    folder.finish()  # the second process only waits
    assert not folder.path.exists()
    monkeypatch.setattr(processes, "rank", lambda: 0)
    folder.finish()
    assert folder.is_complete()
    assert [path.name for path in folder.parts()] == ["part-0-of-2.h5", "part-1-of-2.h5"]


def want(root: Path, ready: "multiprocessing.synchronize.Barrier", log: Path) -> None:
    """Use a cache, building it if it is not there, as a run does."""
    folder = CacheFolder(root, KEY)
    ready.wait()
    with folder.locked():
        if not folder.is_complete():
            with log.open("a") as file:
                file.write("built\n")
            part = folder.prepare()
            time.sleep(0.2)
            part.write_bytes(b"bits")
            folder.finish()
    with log.open("a") as file:
        file.write(f"{folder.is_complete()}\n")


def test_of_runs_that_want_the_same_cache_one_builds_it(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ready, log = fork.Barrier(3), tmp_path / "log"
    runs = [fork.Process(target=want, args=(tmp_path / "caches", ready, log)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(timeout=30)
        assert run.exitcode == 0
    assert sorted(log.read_text().split()) == ["True", "True", "True", "built"]


def test_a_run_that_fails_while_it_builds_lets_the_next_one_go_on(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, KEY)

    def fail() -> None:
        with folder.locked():
            folder.prepare()
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    again = CacheFolder(tmp_path, KEY)
    with again.locked():
        assert not again.is_complete()


# -------------------- room


@pytest.mark.parametrize("root", [".", "not/there/yet"])
def test_a_disk_without_room_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**30))
    check_room(tmp_path / root, 2**30)
    with pytest.raises(CacheError, match=r"may take 1\.25 GiB, but .* has 1\.00 left.*cache\.dir"):
        check_room(tmp_path / root, 5 * 2**28)
    assert not list(tmp_path.iterdir())


def regions(generator: np.random.Generator, layers: int, size: int) -> npt.NDArray[np.int32]:
    """Return maps of a few large regions, as people draw them: wavy borders, no noise."""
    y, x = np.mgrid[0:size, 0:size] / size
    maps = np.zeros((layers, size, size), dtype=np.int32)
    for layer in maps:
        for number in generator.integers(1, 1200, 6):
            a, b, r, waves, phase = generator.uniform([0, 0, 0.1, 2, 0], [1, 1, 0.5, 9, 7])
            angle = np.arctan2(y - b, x - a)
            inside = np.hypot(y - b, x - a) < r * (1 + 0.1 * np.sin(waves * angle + phase))
            layer[inside] = number
    return maps


def test_a_cache_takes_a_thirtieth_of_the_float32_activations(tmp_path: Path) -> None:
    """MobileNet's 576 x 14 x 14 at the paper's tau, and four label maps of 112 x 112 an image."""
    n, shape, mask, tau = 24, (576, 14, 14), (112, 112), 0.005
    generator = np.random.default_rng(0)
    maps = np.stack([regions(generator, 4, mask[0]) for _ in range(n)])
    present = [np.unique(m[m > 0]).astype(np.int64) for m in maps]
    rows = np.arange(n)
    scan = Scan(
        row=np.repeat(rows, [len(p) for p in present]),
        number=np.concatenate(present),
        pixels=np.ones(sum(map(len, present)), dtype=np.int64),
        readable=rows,
        unreadable=(),
        digest="",
    )
    path = tmp_path / "part-0-of-1.h5"
    sink = CacheSink([path], [shape], rows=rows, is_train=rows > 0, scan=scan, mask_size=mask)
    pairs = torch.zeros(0, dtype=torch.int64)
    sink.add_pairs(
        ImageBatch(
            row=torch.from_numpy(rows),
            image=pairs,
            concept=pairs,
            images=torch.zeros(n, 3, 1, 1, dtype=torch.uint8),
            label_maps=torch.from_numpy(maps),
            number=pairs.int(),
            whole=pairs.bool(),
        )
    )
    bits = torch.from_numpy(generator.random((n, int(np.prod(shape)))) < tau)  # the worst to pack
    sink.add_fired(0, *bits.nonzero(as_tuple=True))
    sink.close([torch.zeros(shape[0])])
    taken = path.stat().st_size
    print(f"{taken / n / 1024:.1f} KiB an image, 1/{4 * bits.numel() / taken:.0f} of float32")
    assert taken <= 4 * bits.numel() / 30
    assert taken <= forecast_bytes(n, shape, mask, 4)
    cache = DiskCache([path], np.arange(1200))
    for row in (0, n - 1):
        index, concept = cache[row].fired, cache[row].concepts
        assert index.tolist() == np.flatnonzero(bits[row].numpy()).tolist()
        assert concept.tolist() == present[row].tolist()
        masks = cache.collate([cache[row]]).masks(slice(None)).numpy()
        expected = (maps[row][None] == present[row][:, None, None, None]).any(1)
        np.testing.assert_array_equal(masks, expected)
