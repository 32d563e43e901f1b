"""Runs to be compared, in three groups, with every score, bound and embedding known.

========  ===========================  ==========================================================
group     settings                     so that
========  ===========================  ==========================================================
made up   shapesnet conv3              one seed; of images too; ``leg`` not scored; no counts
          conv4                        two runs, seeds 0 and 1: best of all, ``cup`` not scored
          conv5                        one run of seeds 3 and 4; of images too; best at parts
#2        mine.Net features.3, .14     other data; val images of 10 groups; the second is better
#3        shapesnet conv5              counted in another way; alone
========  ===========================  ==========================================================

Folders are named so that they are found in another order than that of depth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from support.fake_data.runs import Classified, Extras, OtherSeed, write_run

Table = Mapping[str, float]
NAN = float("nan")
KINDS = {
    "sky": "object", "ear": "part", "sea": "object", "dog": "object", "cup": "object",
    "fin": "part", "leg": "part", "hat": "object", "red": "color", "blue": "color",
    "park": "scene",
}  # fmt: skip
NAMES = [name for name in KINDS if name != "park"]
COMMON = [name for name in NAMES if name not in ("leg", "cup")]
ORDER_AT_5 = sorted(NAMES)
FEW = ["sky", "ear", "sea", "red"]
NUMBERS = {name: i for i, name in enumerate(sorted(KINDS), start=1)}
IMAGES = {name: (20 + i, 15 - i) for i, name in enumerate(KINDS)}


# Added here and there, so that no mean lies half way between what may be printed.
UNEVEN = {"ear": 0.0013, "sea": 0.0007, "fin": 0.0011, "red": 0.0019, "blue": 0.0003, "leg": 0.0007}


def _scores(text: str, names: Sequence[str] = NAMES, uneven: float = 1.0) -> dict[str, float]:
    values = dict(zip(names, map(float, text.split()), strict=True))
    return {name: value + uneven * UNEVEN.get(name, 0.0) for name, value in values.items()}


@dataclass(frozen=True)
class Learned:
    """What one seed of one layer learned.

    Args:
        multi: Concept -> val set IoU of several filters.
        single: The same of the best single one.
        ap: Average precision.
        weight: Embeddings in the order of ``several``.
    """

    multi: Table
    single: Table
    ap: Table
    weight: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Made:
    """A setting of the comparison.

    Args:
        label: How it is named.
        group: How its group is named.
        model: Its network.
        layer: Its layer.
        learned: Of each seed.
        accuracy: Of the first seed, if it classifies; and that of the best filters.
        best_accuracy: The same of the best filters.
        classifiers: Their embeddings.
        filters: Best concept and val set IoU of every filter.
        needed: Filters for 80 % of the gain in set IoU.
        needed_to_classify: Of the gain in accuracy.
        images: Val images that its runs left their counts of; none if 0.
        groups: How many groups they are of; each is its own if 0.
    """

    label: str
    group: str
    model: str
    layer: str
    learned: Mapping[int, Learned]
    accuracy: Table | None = None
    best_accuracy: Table | None = None
    classifiers: npt.NDArray[np.float64] | None = None
    filters: Sequence[tuple[str, float]] = ()
    needed: Table | None = None
    needed_to_classify: Table | None = None
    images: int = 0
    groups: int = 0

    @property
    def entries(self) -> dict[int, str]:
        """Label of the entry of every seed."""
        if len(self.learned) == 1:
            return {seed: self.label for seed in self.learned}
        return {seed: f"{self.label} seed {seed}" for seed in self.learned}

    def mean(self, score: str) -> dict[str, float]:
        """Average a score over seeds, where every seed has it."""
        tables = [getattr(of, score) for of in self.learned.values()]
        means = {c: sum(t[c] for t in tables) / len(tables) for c in tables[0]}
        return {c: mean for c, mean in means.items() if mean == mean}


def _weights() -> dict[str, npt.NDArray[np.float64]]:
    """Draw embeddings: near each other for seeds of a layer, and for conv4 and conv5."""
    draw = np.random.default_rng(11)
    base, early, other, few = draw.normal(size=(4, len(NAMES), 8))
    found = {
        "3": early + 0.3 * base,
        "4 0": base + 0.1 * draw.normal(size=base.shape),
        "4 1": base + 0.2 * draw.normal(size=base.shape),
        "5 3": base + 0.3 * early + 0.5 * draw.normal(size=base.shape),
        "few 3": few[:4],
        "few 14": few[:4] + 0.3 * other[:4],
        "alone": other[:3],
        "of images 3": draw.normal(size=(6, 5)),
    }
    found["5 4"] = found["5 3"] + 0.1 * draw.normal(size=base.shape)
    found["5 4"][NAMES.index("hat")] = 0.0  # has no direction
    found["of images 5"] = found["of images 3"] + 0.6 * draw.normal(size=(6, 5))
    # single precision, as files hold them
    return {name: weight.astype(np.float32).astype(np.float64) for name, weight in found.items()}


_W = _weights()
_REORDERED = [NAMES.index(name) for name in ORDER_AT_5]
_SINGLE_3 = _scores("0.30 0.20 0.10 0.25 0.10 0.16 0.20 0.05 0.04 0.01", uneven=-1.3)
_SINGLE_4 = _scores("0.40 0.20 0.30 0.32 0.20 0.10 0.20 0.15 0.25 0.10", uneven=-1.3)
_SINGLE_5 = _scores("0.20 0.21 0.40 0.10 0.30 0.11 0.30 0.05 0.35 0.11", uneven=-2.1)
_AP_3 = _scores("0.61 0.55 0.50 0.45 0.40 0.35 0.30 0.25 0.20 0.15", uneven=0.7)
_AP_4 = _scores("0.62 0.51 0.66 0.41 0.44 0.31 0.36 0.21 0.28 0.11", uneven=1.1)
_AP_5 = _scores("0.42 0.31 0.46 0.21 0.24 0.11 0.16 0.01 0.08 0.91", uneven=-0.9)


def _reordered(table: Table) -> dict[str, float]:
    return {name: table[name] for name in ORDER_AT_5}


def _more(table: Table, by: float) -> dict[str, float]:
    return {name: value + by * (i % 3) for i, (name, value) in enumerate(table.items())}


_END = "denominator=containing"
CONV3 = Made(
    f"shapesnet conv3 {_END} 10 concepts", "made up", "shapesnet", "conv3",
    {0: Learned(
        _scores("0.30 0.22 0.25 0.20 0.40 0.15 nan 0.10 0.35 0.05"), _SINGLE_3, _AP_3, _W["3"],
    )},
    accuracy=_scores("0.80 0.70 0.60 0.90 0.65 0.75", ["sky", "ear", "sea", "dog", "red", "park"]),
    best_accuracy=_scores(
        "0.70 0.72 0.50 0.60 0.61 0.52", ["sky", "ear", "sea", "dog", "red", "park"]
    ),
    classifiers=_W["of images 3"],
    filters=[("sky", 0.30), ("sky", 0.02), ("dog", 0.04), ("leg", 0.50), ("", 0.0), ("ear", 0.03),
             ("red", 0.05)],
    needed={"sky": 3, "sea": 8, "dog": 4, "ear": NAN, "fin": 5, "red": 2, "cup": 50},
)  # fmt: skip
_FOUR_0 = _scores("0.45 0.30 0.40 0.30 0.50 0.30 0.60 0.20 0.70 0.10", uneven=0.6)
_FOUR_1 = _scores("0.55 0.34 0.42 0.34 nan 0.20 0.60 0.24 0.60 0.13")
CONV4 = Made(
    f"shapesnet conv4 {_END} 10 concepts", "made up", "shapesnet", "conv4",
    {0: Learned(_FOUR_0, _SINGLE_4, _AP_4, _W["4 0"]),
     1: Learned(_FOUR_1, _more(_SINGLE_4, 0.01), _more(_AP_4, 0.02), _W["4 1"])},
    needed={name: 2.0 + i for i, name in enumerate(NAMES)},
    images=12,
)  # fmt: skip
_FIVE_3 = _reordered(_scores("0.46 0.34 0.44 0.28 0.42 0.27 0.50 0.20 0.55 0.12", uneven=1.9))
_FIVE_4 = _reordered(_scores("0.48 0.38 0.44 0.30 0.46 0.25 0.52 0.20 0.59 0.12"))
CONV5 = Made(
    f"shapesnet conv5 {_END} 10 concepts", "made up", "shapesnet", "conv5",
    {3: Learned(_FIVE_3, _reordered(_SINGLE_5), _reordered(_AP_5), _W["5 3"][_REORDERED]),
     4: Learned(_FIVE_4, _reordered(_SINGLE_5), _reordered(_more(_AP_5, 0.04)),
                _W["5 4"][_REORDERED])},
    accuracy=_scores("0.85 0.72 0.66 nan 0.70 0.95", ["red", "sky", "ear", "dog", "sea", "park"]),
    best_accuracy=_scores(
        "0.50 0.62 0.45 0.55 0.71 0.58", ["red", "sky", "ear", "dog", "sea", "park"]
    ),
    classifiers=_W["of images 5"][[4, 0, 1, 3, 2, 5]],
    filters=[("sky", 0.039), ("fin", 0.2), ("hat", 0.1), ("blue", 0.6), ("cup", 0.9)],
    needed={"sky": 5, "sea": 6, "dog": 9, "hat": 20, "blue": 1},
    needed_to_classify={"sky": 4, "ear": 11, "red": 5, "sea": 6, "dog": 90},
    images=12,
)  # fmt: skip


def _of_few(layer: str, several: str, single: str, name: str) -> Made:
    uneven = 1.0 if layer == "features.3" else 0.7
    many, one = _scores(several, FEW, uneven), _scores(single, FEW, uneven=-1.7)
    ap = {c: value / 3.9 for c, value in many.items()}
    return Made(
        f"mine.Net {layer} {_END} 4 concepts", "made up #2", "mine.Net", layer,
        {2: Learned(many, one, ap, _W[name])},
        images=21, groups=10,
    )  # fmt: skip


FEATURES_3 = _of_few("features.3", "0.20 0.50 0.30 0.40", "0.30 0.52 0.35 0.41", "few 3")
FEATURES_14 = _of_few("features.14", "0.70 0.50 0.65 0.60", "0.10 0.10 0.15 0.15", "few 14")
_LAST = ["sky", "sea", "ear"]
ALONE = Made(
    "shapesnet conv5 denominator=annotated 3 concepts", "made up #3", "shapesnet", "conv5",
    {0: Learned(_scores("0.9 0.8 0.1", _LAST), _scores("0.5 0.4 0.2", _LAST),
                _scores("0.3 0.2 0.7", _LAST), _W["alone"])},
)  # fmt: skip
SETTINGS = [CONV3, CONV4, CONV5, FEATURES_3, FEATURES_14, ALONE]
GROUPS = {
    name: [made for made in SETTINGS if made.group == name]
    for name in dict.fromkeys(made.group for made in SETTINGS)
}
# Folder of every entry, as it is found.
FOLDERS = {
    (CONV3.label, 0): "runs/d", (CONV4.label, 0): "runs/c", (CONV4.label, 1): "runs/b",
    (CONV5.label, 3): "runs/a", (CONV5.label, 4): "runs/a",
    (FEATURES_3.label, 2): "runs/f", (FEATURES_14.label, 2): "runs/e", (ALONE.label, 0): "runs/g",
}  # fmt: skip
LEDGER = (
    "job,state,cause\na,finished,\nbroken,failed,no such layer\nnever,stopped,killed\n"
    "gone,stopped,\n"
)
LEFT_OUT = [  # folders in order, then jobs that have none
    ("runs/begun", "not finished", "not finished"),
    ("runs/broken", "failed", "no such layer"),
    ("runs/never", "stopped", "killed"),
    ("runs/gone", "stopped", "stopped"),
]
EXPORTS = {
    "first.csv": "Name,State,model.name,layer,protocol.name,protocol.tau,seed,data.name,"
    "val/set_iou,val/ap,val/accuracy\nfar,finished,vgg16,conv5_3,best,0.01,7,broden,0.25,0.125,0.75\n",
    "second.csv": "Name,State,val/set_iou,val/accuracy\nfurther,crashed,,0.5\n",
}
OTHER_DATA = {"name": "made up", "digest": "0ther000data", "mask_size": [4, 6], "readable": 33}


def write_all(top: Path) -> None:
    """Write the runs into ``runs/``, each into the folder that :data:`FOLDERS` names."""
    for made in SETTINGS:
        first, *others = made.learned
        together = made is CONV5
        for seed in [first] if together else made.learned:
            _write(top / FOLDERS[made.label, seed], made, seed, others if together else [])
    (top / "runs" / "a" / "report.html").write_text("a page")
    for name in ("broken", "begun"):
        (top / "runs" / name / ".hydra").mkdir(parents=True)
    (top / "runs" / "ledger.csv").write_text(LEDGER)
    for name, text in EXPORTS.items():
        (top / name).write_text(text)


def _write(folder: Path, made: Made, seed: int, others: Sequence[int]) -> None:
    mine = made.learned[seed]
    few = made.group == "made up #2"
    further: dict[str, Any] = {"activation_shape": [8, 4, 6]}
    if few:
        further |= {"model": {"name": "custom", "_target_": "mine.Net"}, "data": OTHER_DATA}
    last = seed == [*made.learned][-1]
    write_run(
        folder,
        mine.multi,
        layer=made.layer,
        seed=seed,
        weight=mine.weight,
        protocol={"denominator": "annotated"} if made is ALONE else None,
        model=made.model,
        single=mine.single,
        ap=mine.ap,
        categories=KINDS,
        images=IMAGES,
        others=[
            OtherSeed(made.learned[o].weight, made.learned[o].multi, made.learned[o].ap)
            for o in others
        ],
        classified=Classified(made.accuracy, made.best_accuracy, made.classifiers)
        if made.accuracy
        else None,
        extras=Extras(
            made.filters,
            (made.needed or {}) if last or others else {},
            made.needed_to_classify or {},
            made.images,
            made.groups,
        ),
        header=further,
    )
