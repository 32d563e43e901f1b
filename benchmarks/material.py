"""What the benchmarks work on: 501 real road images and a real MobileNetV2, or drawn ones."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from net2vec_pl.activations import MemoryCache, MemorySink, survey
from net2vec_pl.backbones import FrozenBackbone, build_backbone
from net2vec_pl.data import ConceptDataModule, Scan, Selection, scan_files, select_concepts
from net2vec_pl.datasets import BrodenReader, ShapesReader
from net2vec_pl.formats.broden_writer import write_broden
from net2vec_pl.probes import ConceptBank, initial_rows
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe

LAYER = "features.14.conv.0"  # 576 filters on 14 x 14; masks are 112 x 112


@dataclass(frozen=True)
class Material:
    """A dataset, a network at a layer, and what the layer answers.

    Args:
        root: The dataset, in BRODEN's layout.
        weights: Weights of the network; random ones if None.
        reader: The dataset.
        scan: Its scan.
        selection: Its concepts.
        stream: Its images.
        backbone: The network at the layer.
        activations: All of its answers, a float32 memory map (N, K, h, w).
        thresholds: T_k.
        cached: The stream from memory.
    """

    root: Path
    weights: Path | None
    reader: BrodenReader
    scan: Scan
    selection: Selection
    stream: ConceptDataModule
    backbone: FrozenBackbone
    activations: npt.NDArray[np.float32]
    thresholds: Tensor
    cached: ConceptDataModule

    @property
    def job(self) -> list[str]:
        """Options of the command line that run a job on this dataset and network."""
        weights = "null" if self.weights is None else self.weights
        data = ["data=broden", f"data.root={self.root}"]
        return [*data, "model=mobilenet_v2", f"model.weights={weights}"]

    def probe(self, bank: ConceptBank | None = None) -> SegmentationProbe:
        """Return a probe of all concepts, with an untrained bank unless one is given."""
        numbers = self.selection.vocabulary.numbers.tolist()
        return SegmentationProbe(
            self.backbone,
            self.thresholds,
            bank or ConceptBank(initial_rows(numbers, self.backbone.shape[0], 0)),
            torch.tensor([entry.alpha for entry in self.selection.probed]),
            self.reader.mask_size,
            Protocol(),
        )

    def images_of(self, split: str) -> list[list[int]]:
        """Return the rows of a split that contain each concept."""
        rows = self.stream.pair_rows[split]
        image, concept = self.stream.index.all_of(rows)
        return [rows[image[concept == c]].tolist() for c in range(len(self.selection.vocabulary))]

    def masks_of(self, images: list[list[int]]) -> list[Tensor]:
        """Return each concept's masks on its images, (n, sh, sw) bool."""
        wanted = sorted({row for rows in images for row in rows})
        maps = {row: self.reader[row].label_maps for row in wanted}
        numbers = self.selection.vocabulary.numbers.tolist()
        return [
            torch.stack([(maps[row] == number).any(0) for row in rows])
            for number, rows in zip(numbers, images, strict=True)
        ]

    def maps_of(self, images: list[list[int]]) -> list[list[list[Path]]]:
        """Return the files of each image's label maps."""
        files = [[self.root / "images" / f for f in row.files()[1:]] for row in self.reader._rows]
        return [[files[row] for row in rows] for rows in images]


@contextmanager
def material() -> Iterator[Material]:
    """Prepare everything, the real images if they are beside the project, and tidy up behind."""
    shared = Path(os.environ.get("NET2VEC_SHARED", Path(__file__).parents[2] / "shared"))
    root = shared / "data" / "camvid_broden_224"
    weights: Path | None = shared / "weights" / "mobilenet_v2_imagenet_plain_fp16.pth"
    with TemporaryDirectory() as folder:
        if not root.is_dir():
            root, weights = Path(folder) / "shapes", None
            write_broden(ShapesReader(num_images=501, image_size=224), root)
        reader = BrodenReader(root)
        scan = scan_files(reader, workers=2)
        selection = select_concepts(reader, scan)
        stream = ConceptDataModule(reader, selection.vocabulary, scan, workers=2)
        backbone = build_backbone(
            name="mobilenet_v2",
            image_size=reader.image_size,
            layer=LAYER,
            weights=None if weights is None else str(weights),
        )
        activations = np.memmap(
            Path(folder) / "activations.f32", np.float32, "w+", shape=(len(reader), *backbone.shape)
        )
        for batch in stream.rows_dataloader(stream.all_rows):
            activations[batch.row] = backbone(batch.images).numpy()
        sink = MemorySink([backbone.shape], reader.mask_size, torch.device("cpu"))
        rows = stream.all_rows
        (thresholds,) = survey(
            [backbone],
            stream,
            Protocol().tau,
            threshold_rows=rows,
            sink=sink,
            sink_rows=np.concatenate(list(stream.pair_rows.values())),
        )
        (cache,) = sink.caches()
        assert isinstance(cache, MemoryCache)
        yield Material(
            root,
            weights,
            reader,
            scan,
            selection,
            stream,
            backbone,
            activations,
            thresholds,
            stream.from_source(cache),
        )
