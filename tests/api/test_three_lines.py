"""From a live network and masks as people have them to masks of a new photograph, in three lines.

What it took before (44 lines, 19 names of 8 modules, and a header written by hand) stands below as
:func:`by_hand`: both must come to the same numbers, bit for bit.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torchvision
from PIL import Image
from support.real import LAYER
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.datasets import VOCSegmentation

import net2vec_pl
from net2vec_pl.activations import MemorySink, survey
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data import ConceptDataModule, ConceptReader, Sample, scan_files, select_concepts
from net2vec_pl.datasets import BrodenReader
from net2vec_pl.probes import ConceptBank, initial_rows
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe, score_bank

NAMES = ["road", "building", "car", "sky"]


@pytest.fixture(scope="module")
def voc(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 48 of the real images in the layout of VOC: JPEG files, palette masks, 255 unknown."""
    reader = BrodenReader(shared / "data" / "camvid_broden_224")
    numbers = {c.number: NAMES.index(c.name) + 1 for c in reader.vocabulary if c.name in NAMES}
    root = tmp_path_factory.mktemp("voc") / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    rows = range(0, len(reader), len(reader) // 48)
    for row in rows:
        sample = reader[row]
        Image.fromarray(sample.image.permute(1, 2, 0).numpy()).save(
            root / "JPEGImages" / f"{row:06}.jpg", quality=95
        )
        mask = np.zeros(sample.label_maps.shape[1:], dtype=np.uint8)
        for number, label in numbers.items():
            mask[(sample.label_maps == number).any(0).numpy()] = label
        mask[:2] = 255
        palette = Image.fromarray(mask, "P")
        palette.putpalette([value for index in range(256) for value in (index, index, 0)])
        palette.resize((224, 224), Image.Resampling.NEAREST).save(
            root / "SegmentationClass" / f"{row:06}.png"
        )
    names = "".join(f"{row:06}\n" for row in rows)
    (root / "ImageSets" / "Segmentation" / "trainval.txt").write_text(names)
    return root


@pytest.fixture(scope="module")
def network(shared: Path) -> nn.Module:
    path = shared / "weights" / "mobilenet_v2_imagenet_plain_fp16.pth"
    found: nn.Module = torchvision.models.mobilenet_v2(weights=None)
    found.load_state_dict({k: v.float() for k, v in torch.load(path, weights_only=True).items()})
    return found


def test_three_lines_from_torchvision_to_masks_of_a_photograph(
    voc: Path, network: nn.Module, shared: Path
) -> None:
    photo = sorted((shared / "data" / "camvid_broden_224" / "images").rglob("*.jpg"))[7]
    with pytest.warns(net2vec_pl.Net2VecWarning) as warned:  # noqa: PT031  # the three lines
        data = VOCSegmentation(str(voc.parents[1]), "2012", "trainval")
        bank = net2vec_pl.learn(network, LAYER, data=data, names=NAMES, protocol="lda")
        masks = bank.segment(photo, ["road", "sky"], size=(224, 224))
    assert ["unknown" in str(warning.message) for warning in warned] == [True]
    assert masks.shape == (1, 2, 224, 224)
    road, sky = masks[0].float().mean(2)  # share of each line
    assert road[150:].mean() > 0.4 > road[:70].mean()
    assert sky[:70].mean() > 0.3 > sky[150:].mean()
    assert bank.scores["road"].known == "yes"
    assert bank.header["input_transform"]["image_size"] == [224, 224]


class Voc(Dataset[Any]):
    """What a user has written for her VOC folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = (root / "ImageSets/Segmentation/trainval.txt").read_text().split()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        image = Image.open(self.root / "JPEGImages" / f"{self.names[i]}.jpg").convert("RGB")
        mask = Image.open(self.root / "SegmentationClass" / f"{self.names[i]}.png")
        labels = np.array(mask.resize((112, 112), Image.Resampling.NEAREST)).astype(np.int64)
        labels[labels == 255] = 0
        pixels = torch.from_numpy(np.array(image.resize((224, 224))))
        return pixels.permute(2, 0, 1).float() / 255, torch.from_numpy(labels)


class Wrapped(ConceptReader):
    """The same by hand."""

    def __init__(self, data: Voc, is_train: np.ndarray) -> None:
        self.name = "voc"
        self.categories = (Category("object", True),)
        self.image_size, self.mask_size = (224, 224), (112, 112)
        self.data, self.is_train = data, is_train
        concepts = [Concept(i, n, "object", ("object",), True) for i, n in enumerate(NAMES, 1)]
        self.vocabulary = Vocabulary(concepts)
        self.image_names = [str(i) for i in range(len(data))]
        self.annotated = np.ones((len(data), 1), dtype=np.bool_)

    def __getitem__(self, row: int) -> Sample:
        image, mask = self.data[row]
        return Sample((image * 255).round().byte(), mask.int()[None], ("object",), ())

    def fingerprint(self, row: int) -> bytes:
        return str(row).encode()


def by_hand(network: nn.Module, data: Voc, is_train: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Do what a user had to do before; return embeddings, thresholds and val set IoU."""
    reader, protocol = Wrapped(data, is_train), Protocol(epochs=2)
    scaling = InputScaling.named("torchvision")
    backbone = FrozenBackbone(network, LAYER, scaling, reader.image_size)
    scan = scan_files(reader)
    chosen = select_concepts(reader, scan)
    stream = ConceptDataModule(reader, chosen.vocabulary, scan)
    sink = MemorySink([backbone.shape], reader.mask_size, torch.device("cpu"))
    rows = np.union1d(stream.pair_rows["train"], stream.pair_rows["val"])
    thresholds = survey(
        [backbone], stream, protocol.tau, threshold_rows=stream.all_rows, sink=sink, sink_rows=rows
    )[0]
    stream = stream.from_source(sink.caches()[0])
    numbers = chosen.vocabulary.numbers.tolist()
    bank = ConceptBank(initial_rows(numbers, backbone.shape[0], 0, backbone.module_path))
    alpha = torch.tensor([entry.alpha for entry in chosen.probed])
    probe = SegmentationProbe(backbone, thresholds, bank, alpha, reader.mask_size, protocol)
    probe.tells_loss = False
    trainer = pl.Trainer(
        max_epochs=protocol.epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(probe, datamodule=stream)
    counts, _ = score_bank(probe, stream, stream.scored_rows["val"])
    return bank.weight.detach(), thresholds, counts.set_iou(len(chosen.vocabulary))[0]


def test_forty_four_lines_become_three(voc: Path, network: nn.Module) -> None:
    is_train = np.random.default_rng(0).random(len(Voc(voc))) < 0.7
    # The three lines.
    bank = net2vec_pl.learn(
        network, LAYER, data=Voc(voc), names=NAMES, split=is_train, options={"protocol.epochs": 2}
    )
    print(bank["car"].shape, bank.nearest("car", 2), bank.segment(Voc(voc)[0][0].mul(255).byte()))
    weight, thresholds, val = by_hand(network, Voc(voc), is_train)
    assert torch.equal(bank.file.weight, weight)
    assert torch.equal(bank.file.threshold, thresholds)
    assert [row.multi_val for row in bank.scores if row.status == "ok"] == val.tolist()
