"""What the set IoUs of settings are sums of: val images, or groups of them.

Where two settings were scored on the same val images, their means are compared image by image.
Concepts are a fixed, overlapping list, no sample: nothing is drawn over them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations

import numpy as np

from net2vec_pl.analysis.intervals import MeanParts, SetIouIntervals
from net2vec_pl.analysis.jackknife import LEAST_GROUPS, LEAST_IMAGES, Interval
from net2vec_pl.analysis.mean_differences import MeanDifferences, averaged, mean_differences
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.compare.settings import ALL, Scores, Setting
from net2vec_pl.data.groups import FEW
from net2vec_pl.errors import RunFolderError
from net2vec_pl.records import Estimate
from net2vec_pl.runs import COUNTS

IMAGES, GROUPS = "images", "groups"
# Scores that are ratios of sums over images, with the place that PairCounts gives them.
COUNTED = {"multi_val": 0, "single_val": 1, "gain": 2}
_OTHER_IMAGES = "scored on other val images"
_SAME = 1e-5  # means of the same pixels differ by rounding alone


@dataclass(frozen=True)
class Counted:
    """A setting's means over concepts, taken apart by val images, or groups of them.

    Args:
        over: ``images`` or ``groups``.
        images: Digest of the val pairs and groups: settings of one digest can be compared.
        bounds: Category -> score -> mean with its interval.
        parts: Score -> its mean over all concepts.
    """

    over: str
    images: str
    bounds: Mapping[str, Mapping[str, Interval]]
    parts: Mapping[str, MeanParts]

    @property
    def few(self) -> str:
        """Say that there is less than an interval needs."""
        groups = f"{LEAST_GROUPS} groups, or " if self.over == GROUPS else ""
        return f"fewer than {groups}{LEAST_IMAGES} images"

    def bounded(self, category: str, score: str, value: float) -> Estimate:
        """Return a mean with its interval."""
        found = self.bounds[category][score]
        return Estimate(value, float(found.low), float(found.high))

    def without_interval(self, category: str) -> str:
        """Say why a category has no intervals; empty where it has them."""
        bounded = np.isfinite(self.bounds[category]["gain"].low)
        return "" if bounded else self.few


def counted(scores: Scores | None) -> dict[str, Counted | str]:
    """Take every setting's means apart; or say why that cannot be done.

    Args:
        scores: Scores of segmentation.

    Returns:
        By the label of the setting.
    """
    if scores is None or not scores.concepts:
        return {}
    return {
        setting.label: _counted(setting, scores, s) for s, setting in enumerate(scores.settings)
    }


def _counted(setting: Setting, scores: Scores, s: int) -> Counted | str:
    entries = [e for e in setting.entries if e.scores.get("multi_val")]
    pairs: list[PairCounts] = []
    try:
        for entry in entries:
            found = entry.val_pairs(scores.concepts)
            if found is None:
                return f"no {COUNTS}"
            pairs.append(found)
    except (RunFolderError, ValueError):
        return f"{COUNTS} cannot be read"
    digests = {_digest(of) for of in pairs}
    if len(digests) > 1:
        return "seeds were scored on different val images"
    over = IMAGES if pairs[0].group is None else GROUPS
    of_seeds = [SetIouIntervals(of) for of in pairs]
    parts = {
        category: {
            score: averaged([seed.parts(which, mine) for seed in of_seeds])
            for score, which in COUNTED.items()
        }
        for category, mine in scores.by_category.items()
    }
    whole = parts[ALL]
    values = [
        (whole[name].value, scores.by_seed[name][s].mean()) for name in ("multi_val", "single_val")
    ]
    if not all(abs(mine - theirs) < _SAME for mine, theirs in values):
        return f"{COUNTS} is of other scores"
    bounds = {
        category: {
            score: of_score.interval(share=score != "gain") for score, of_score in of.items()
        }
        for category, of in parts.items()
    }
    return Counted(over, digests.pop(), bounds, whole)


def _digest(pairs: PairCounts) -> str:
    digest = blake2b(digest_size=16)
    for part in (pairs.image, pairs.concept, pairs.group):
        digest.update(b"none" if part is None else np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class PairedMeans:
    """The difference of two settings' means over concepts, as far as images tell.

    Args:
        untested: Why there is no p; empty where there is one.
        over: What the interval is over: ``images``, ``groups``, or nothing.
        low: Its lower bound.
        high: Its upper bound.
        p: Of the swap test.
    """

    untested: str
    over: str = ""
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan


UNCOUNTED = PairedMeans("only set IoU is compared image by image")


def paired(found: Mapping[str, Counted | str], score: str) -> dict[tuple[str, str], PairedMeans]:
    """Compare every two settings by their mean of a score.

    Args:
        found: The settings by label, in order.
        score: Any score; only set IoU is a ratio of sums over images.

    Returns:
        By the labels of the two, in order; nothing for another score.
    """
    if score not in COUNTED:
        return {}
    pairs = {(a, b): PairedMeans(_why_not(found[a], found[b])) for a, b in combinations(found, 2)}
    alike: dict[str, dict[str, Counted]] = {}
    for label, setting in found.items():
        if not isinstance(setting, str):
            alike.setdefault(setting.images, {})[label] = setting
    for settings in alike.values():
        labels, first = [*settings], next(iter(settings.values()))
        parts = [setting.parts[score] for setting in settings.values()]
        differences = mean_differences(parts)
        for t, (i, j) in enumerate(zip(differences.first, differences.second, strict=True)):
            pairs[labels[i], labels[j]] = _paired(differences, t, first)
    return pairs


def _why_not(first: Counted | str, second: Counted | str) -> str:
    return next((of for of in (first, second) if isinstance(of, str)), _OTHER_IMAGES)


def _paired(found: MeanDifferences, t: int, of: Counted) -> PairedMeans:
    low, high, p = (float(values[t]) for values in (found.low, found.high, found.p))
    if np.isnan(low):
        return PairedMeans(of.few)
    few = f"fewer than {FEW} groups"  # so many images an interval has
    return PairedMeans(few if np.isnan(p) else "", of.over, low, high, p)
