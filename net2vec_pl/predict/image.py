"""One image: read it, and write what the bank says of it."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from net2vec_pl.datasets.images.any_image import fit, read_any_image
from net2vec_pl.figures.overlay import draw_overlay
from net2vec_pl.predict.masks import Sheet, probability_maps, strongest
from net2vec_pl.predict.sources import Source

MASKS, OVERLAYS, PROBABILITIES = "masks", "overlays", "probabilities"
_LARGEST, _SMALLEST = 1200, 480  # longer side of an overlay
_QUALITY = 90  # of its JPEG


@dataclass(frozen=True)
class InputImage:
    """An image without its many pixels.

    Args:
        source: Where it is from.
        size: (H, W) of it, upright.
        fitted: As the network wants it.
        shown: As its overlays show it.
    """

    source: Source
    size: tuple[int, int]
    fitted: UInt8[Tensor, "3 h w"]
    shown: UInt8[Tensor, "3 _h _w"]


def read(source: Source, image_size: tuple[int, int]) -> InputImage:
    """Read an image.

    Args:
        source: Its file.
        image_size: (h, w) that the network wants.

    Raises:
        UnreadableRowError: If it cannot be read.
    """
    pixels = read_any_image(source.path)
    height, width = pixels.shape[1:]
    longer = max(height, width)
    scale = min(max(longer, _SMALLEST), _LARGEST) / longer
    shown = max(1, round(height * scale)), max(1, round(width * scale))
    return InputImage(source, (height, width), fit(pixels, image_size), fit(pixels, shown))


@dataclass(frozen=True)
class Writer:
    """Writes masks and overlays, and probabilities where they are wanted.

    Args:
        folder: Where to.
        sheets: The concepts, by sheet.
        mask_size: (H, W) of all masks; None for each image's own.
        align_corners: Whether bilinear upsampling aligns the corner samples, as in the fit.
        probabilities: Names of the concepts, where probabilities are wanted.
    """

    folder: Path
    sheets: Sequence[Sheet]
    mask_size: tuple[int, int] | None
    align_corners: bool
    probabilities: Sequence[str] | None = None

    def __call__(self, image: InputImage, logits: Float[Tensor, "c h w"]) -> Float[np.ndarray, "c"]:
        """Write the files of one image.

        Args:
            image: The image.
            logits: Logits of the concepts asked for, on the activation grid.

        Returns:
            The share of the picture that each concept's own mask takes, in [0, 1].
        """
        size, name = self.mask_size or image.size, image.source.name
        areas = np.zeros(len(logits))
        shown = image.shown.numpy()
        for sheet in self.sheets:
            of_sheet = logits[sheet.columns]
            found, pixels = strongest(of_sheet, size, align_corners=self.align_corners)
            labels = found.numpy()
            areas[sheet.columns] = pixels.numpy() / labels.size
            mask = Image.fromarray(labels)
            mask.putpalette([0, 0, 0, *sheet.colours.ravel().tolist()])
            mask.save(self._path(MASKS, sheet.folder, f"{name}.png"))
            names = [concept.name for concept in sheet.concepts]
            overlay = draw_overlay(shown, labels, names, sheet.colours)
            overlay.save(self._path(OVERLAYS, sheet.folder, f"{name}.jpg"), quality=_QUALITY)
        if self.probabilities is not None:
            self._write_probabilities(self._path(PROBABILITIES, f"{name}.npz"), logits, size)
        return areas

    def _write_probabilities(
        self, path: Path, logits: Float[Tensor, "c h w"], size: tuple[int, int]
    ) -> None:
        """Write an .npz file, concept by concept, for all at once may not fit into memory."""
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(logits), *size)}
        with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
            with archive.open("names.npy", "w") as file:
                np.lib.format.write_array(file, np.array(self.probabilities), allow_pickle=False)
            with archive.open("probabilities.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                maps = probability_maps(logits, size, align_corners=self.align_corners)
                for values in maps:
                    file.write(values.astype("<f2", copy=False).tobytes())

    def _path(self, *parts: str) -> Path:
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
