"""Turn the objects of a folder in BRODEN's layout into mask files, as other tools would write them.

    python tests/support/camvid_masks.py BRODEN_FOLDER NEW_FOLDER index|concepts

Images are copied as they are. Masks keep their own size: one 16-bit PNG of label numbers for each
image, or a black and white PNG for each concept. Nothing of the package is used.
"""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image


def turn(source: Path, target: Path, kind: str) -> None:
    """Write the folder."""
    with (source / "label.csv").open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if "object(" in line["category"]]
    names = {int(line["number"]): line["name"] for line in lines}
    with (source / "index.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    (target / "images").mkdir(parents=True)
    splits = [["image", "split"]]
    for place, row in enumerate(rows):  # the order of the files is that of the rows
        stem = f"{place:04d}_{Path(row['image']).stem}"
        splits.append([stem, row["split"]])
        suffix = Path(row["image"]).suffix
        shutil.copyfile(source / "images" / row["image"], target / "images" / f"{stem}{suffix}")
        rgb = np.asarray(Image.open(source / "images" / row["object"])).astype(np.uint16)
        labels = rgb[..., 0] + 256 * rgb[..., 1]
        masks = {f"{stem}.png": labels}
        if kind == "concepts":
            shown = [number for number in np.unique(labels).tolist() if number]
            masks = {
                f"{names[number]}/{stem}.png": (255 * (labels == number)).astype(np.uint8)
                for number in shown
            }
        for name, mask in masks.items():
            path = target / "masks" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
    for name, table in (
        ("split.csv", splits),
        ("labels.csv", [["number", "name"], *([str(n), name] for n, name in names.items())]),
    ):
        with (target / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(table)


if __name__ == "__main__":
    turn(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
