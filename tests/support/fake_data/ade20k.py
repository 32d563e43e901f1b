"""Write a tiny ADE20K in the layouts of its releases of 2021 and 2016, without the package.

Class n is R // 10 * 256 + G of a mask, with R = 10 * (n // 256) and more, up to 9, which readers
must drop; B numbers instances in steps, and 0 is nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

Grid = NDArray[np.int64]

# As in the release of 2021: the number of a class is above 255, and names are synonyms.
CLASSES: Mapping[int, str] = {
    401: "car, auto, automobile, machine, motorcar",
    774: "door",
    1212: "headlight, headlamp",
    2420: "sky",
    2978: "wall",
    2123: "screen, silver screen, projection screen",
    2124: "screen, CRT screen",
    1180: "handle, grip, handgrip, hold",
}


@dataclass(frozen=True)
class FakeScene:
    """One image: where it lies below ``images/``, and its maps of classes by part level."""

    folder: str
    name: str
    maps: Sequence[Grid]
    size: tuple[int, int] = (6, 8)
    wrong: Mapping[str, bytes] = field(default_factory=dict)  # suffix -> what lies there instead


def grid(*rows: Sequence[int]) -> Grid:
    """Return a map of class numbers, enlarged to 6 x 8."""
    return np.array(rows, dtype=np.int64).repeat(2, axis=0).repeat(2, axis=1)


STREET = FakeScene(
    "training/urban/street",
    "ADE_train_00000001",
    [
        grid([2420, 2420, 2420, 2420], [401, 401, 0, 2978], [401, 401, 774, 774]),
        grid([0, 0, 0, 0], [774, 774, 0, 0], [1212, 774, 1180, 0]),  # the car's doors and lights
        grid([0, 0, 0, 0], [1180, 0, 0, 0], [0, 1180, 0, 0]),  # and the doors' handles
    ],
)
ROOM = FakeScene(
    "training/home_or_hotel/home_office",
    "ADE_train_00000002",
    [grid([2978, 2978, 2123, 2123], [2978, 2978, 2124, 0], [774, 774, 0, 0])],
)
CINEMA = FakeScene(
    "validation/cultural/cinema",
    "ADE_val_00000001",
    [grid([2123, 2123, 2123, 2123], [2123, 2123, 2123, 2123], [0, 0, 0, 0])],
)
SCENES = (STREET, ROOM, CINEMA)


def write_ade20k_2021(root: Path, scenes: Sequence[FakeScene] = SCENES) -> Path:
    """Write images, masks, instance masks and JSON files; return the folder."""
    for place, scene in enumerate(scenes):
        image = _write_pictures(root / "images" / "ADE", scene, place)
        numbered = _objects(scene)
        described = {
            "annotation": {
                "filename": image.name,
                "folder": f"{root.name}/images/ADE/{scene.folder}",
                "imsize": [*scene.size, 3],
                "scene": ["outdoor", *scene.folder.split("/")[1:]],
                "object": [_described(*one) for one in numbered],
            }
        }
        image.with_suffix(".json").write_text(json.dumps(described), encoding="utf-8")
        instances = image.with_suffix("")
        instances.mkdir(exist_ok=True)
        for place_of, (number, level) in enumerate(numbered):
            mask = (scene.maps[level] == number).astype(np.uint8) * 255
            Image.fromarray(mask).save(instances / f"instance_{place_of:03}_{scene.name}.png")
            Image.fromarray(mask).save(instances / f"instance_{place_of:03}_{scene.name}.jpg")
        _write_wrong(image, scene)
    return root


def write_ade20k_2016(root: Path, scenes: Sequence[FakeScene] = SCENES) -> Path:
    """Write images, masks, ``_atr.txt`` files and the index of MATLAB; return the folder."""
    for place, scene in enumerate(scenes):
        last = scene.folder.split("/")[-1]
        split = scene.folder.split("/")[0]
        image = _write_pictures(
            root / "images", FakeScene(f"{split}/{last[0]}/{last}", *_rest(scene)), place
        )
        lines = [
            f'{instance:03} # {level} # 0 # {CLASSES[number]} # as it was typed # ""'
            for instance, (number, level) in enumerate(_objects(scene), start=1)
        ]
        path = image.with_name(f"{image.stem}_atr.txt")
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        _write_wrong(image, scene)
    names = np.array([CLASSES.get(n, f"class {n}") for n in range(1, 3149)], dtype=object)
    savemat(root / "index_ade20k.mat", {"index": {"objectnames": names}}, do_compression=True)
    return root


def _rest(scene: FakeScene) -> tuple[str, Sequence[Grid], tuple[int, int]]:
    return scene.name, scene.maps, scene.size


def _write_pictures(root: Path, scene: FakeScene, seed: int) -> Path:
    folder = root / scene.folder
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*scene.size, 3), dtype=np.uint8)
    image = folder / f"{scene.name}.jpg"
    Image.fromarray(noise).save(image, quality=95)
    for level, numbers in enumerate(scene.maps):
        suffix = f"parts_{level}" if level else "seg"
        red = numbers // 256 * 10 + (level if level < 10 else 0)
        blue = np.where(numbers > 0, numbers * 7 % 255 + 1, 0)
        pixels = np.stack([np.where(numbers > 0, red, 0), numbers % 256, blue], axis=2)
        path = folder / f"{scene.name}_{suffix}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return image


def _objects(scene: FakeScene) -> list[tuple[int, int]]:
    return [
        (int(number), level)
        for level, numbers in enumerate(scene.maps)
        for number in np.unique(numbers)
        if number
    ]


def _described(number: int, level: int) -> dict[str, Any]:
    name = CLASSES[number]
    return {
        "id": number,
        "name": name,
        "name_ndx": number,
        "raw_name": name.split(",")[0],
        "attributes": [],
        "occluded": "no",
        "crop": "0",
        "parts": {"hasparts": [], "ispartof": [], "part_level": level},
        "polygon": {"x": [], "y": []},
    }


def _write_wrong(image: Path, scene: FakeScene) -> None:
    for suffix, data in scene.wrong.items():
        path = image.with_name(image.stem + suffix)
        path.write_bytes(data) if data else path.unlink()
