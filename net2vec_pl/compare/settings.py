"""Settings and groups: which entries differ in their seed alone, and which may be compared."""

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from net2vec_pl.backbones.registry import architecture
from net2vec_pl.compare.entry import SCORES, Entry
from net2vec_pl.units import told

ALL = "all"


@dataclass(frozen=True)
class Setting:
    """Entries that differ in nothing but their seed.

    Args:
        label: A short name: what differs among the settings.
        series: The same without the layer: the settings of a series are layers of one network.
        entries: One per seed.
    """

    label: str
    series: str
    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        """The entry that stands for all in what does not depend on the seed."""
        return self.entries[0]

    @property
    def entry_labels(self) -> list[str]:
        """A name for each entry: the seed joins where there are several."""
        if len(self.entries) == 1:
            return [self.label]
        return [f"{self.label} seed {entry.seed}" for entry in self.entries]


@dataclass(frozen=True)
class Scores:
    """Scores of the concepts that all settings of a group have scored.

    Args:
        settings: Those that have any score of the target.
        concepts: Names.
        categories: Category of each.
        missing: Concept that some setting has scored and others have not -> those others' labels.
        by_seed: Score -> for every setting, its seeds' scores.
    """

    settings: tuple[Setting, ...]
    concepts: tuple[str, ...]
    categories: tuple[str, ...]
    missing: dict[str, list[str]]
    by_seed: dict[str, list[Float64[np.ndarray, "_ C"]]]

    @property
    def by_category(self) -> dict[str, Bool[np.ndarray, "C"]]:
        """Which concepts each category has, in order of appearance, and all of them last."""
        names = [*dict.fromkeys(self.categories), ALL] if self.concepts else []
        return {name: np.array([name in (c, ALL) for c in self.categories]) for name in names}

    def mean(self, score: str) -> Float64[np.ndarray, "S C"]:
        """Average over seeds: a row per setting."""
        return np.stack([seeds.mean(axis=0) for seeds in self.by_seed[score]])


@dataclass(frozen=True)
class Group:
    """Settings whose scores mean the same: of one dataset, counted in one way.

    Args:
        name: Name of the dataset.
        settings: By series, then by depth.
    """

    name: str
    settings: tuple[Setting, ...]

    @property
    def entries(self) -> list[Entry]:
        """All entries."""
        return [entry for setting in self.settings for entry in setting.entries]

    def scores(self, target: str) -> Scores | None:
        """Return the scores of a target, side by side; None if no setting has any."""
        return self._by_target[target]

    @cached_property
    def _by_target(self) -> dict[str, Scores | None]:
        return {target: self._side_by_side(target) for target in SCORES}

    def _side_by_side(self, target: str) -> Scores | None:
        names = SCORES[target]
        settings = tuple(
            s for s in self.settings if any(s.first.scores.get(name) for name in names)
        )
        if not settings:
            return None
        scored = {s.label: _scored(s, names) for s in settings}
        common = set.intersection(*scored.values())
        missing = {
            concept: [label for label, known in scored.items() if concept not in known]
            for concept in sorted(set().union(*scored.values()) - common)
        }
        category = {c.name: c.category for s in settings for c in s.first.concepts.values()}
        ordered = tuple(name for name in category if name in common)
        by_seed = {name: [_aligned(s, name, ordered) for s in settings] for name in names}
        categories = tuple(category[name] for name in ordered)
        return Scores(settings, ordered, categories, missing, by_seed)


def _scored(setting: Setting, names: Sequence[str]) -> set[str]:
    """Return the concepts of which every seed has every score."""
    return set.intersection(
        *(set(entry.scores.get(name, ())) for entry in _trained(setting, names) for name in names)
    )


def _trained(setting: Setting, names: Sequence[str]) -> list[Entry]:
    """Return the entries that have the scores; further seeds of a run segment alone."""
    return [entry for entry in setting.entries if entry.scores.get(names[0])] or [setting.first]


def _aligned(setting: Setting, name: str, ordered: Sequence[str]) -> Float64[np.ndarray, "_ C"]:
    of_seeds = [e.scores[name] for e in _trained(setting, [name])]
    return np.array([[of_seed[c] for c in ordered] for of_seed in of_seeds], dtype=np.float64)


def grouped(entries: Sequence[Entry]) -> list[Group]:
    """Sort entries into groups, and those that differ in their seed alone into settings.

    Entries of another dataset, or whose set IoU counts other images, have a group of their own. An
    entry that comes twice, seed and all, makes a further setting.

    Args:
        entries: In any order.
    """
    settings: dict[Hashable, list[Entry]] = {}
    for entry in entries:
        identity, copy = _identity(entry), 0
        while any(e.seed == entry.seed for e in settings.get((identity, copy), ())):
            copy += 1
        settings.setdefault((identity, copy), []).append(entry)
    named = _labelled([sorted(of, key=lambda e: e.seed) for of in settings.values()])
    groups: dict[Hashable, list[Setting]] = {}
    for setting in named:
        groups.setdefault(_measure(setting.first), []).append(setting)
    names = _unique([str(of[0].first.header["data"]["name"]) for of in groups.values()])
    return [
        Group(name, tuple(_in_order(of))) for name, of in zip(names, groups.values(), strict=True)
    ]


def _measure(entry: Entry) -> Hashable:
    """Return what must be equal for scores to mean the same."""
    return entry.header["data"]["digest"], entry.protocol.get("denominator")


def _identity(entry: Entry) -> str:
    """Return all that a result depends on, but for its seed."""
    header = entry.header
    names = ("weights_digest", "module_path", "layer", "units", "input_transform", "protocol")
    decisive = {name: header.get(name) for name in names}
    version = header.get("versions", {}).get("net2vec_pl")
    others = [entry.model, header["data"]["digest"], version, entry.vocabulary]
    return json.dumps([decisive, others], sort_keys=True, default=str)


# -------------------- labels


def _labelled(settings: Sequence[list[Entry]]) -> list[Setting]:
    """Name settings by what differs among them, and their series by the same but for the layer."""
    pieces = [_pieces(of[0], [s[0] for s in settings]) for of in settings]
    differing = [name for name in pieces[0] if len({p[name] for p in pieces}) > 1] or ["layer"]

    def joined(skipped: str) -> list[str]:
        return [" ".join(filter(None, (p[n] for n in differing if n != skipped))) for p in pieces]

    labels = _unique([label or p["layer"] for label, p in zip(joined(""), pieces, strict=True)])
    series = [name or p["model"] for name, p in zip(joined("layer"), pieces, strict=True)]
    triples = zip(labels, series, settings, strict=True)
    return [Setting(label, of, tuple(entries)) for label, of, entries in triples]


def _pieces(entry: Entry, all_entries: Sequence[Entry]) -> dict[str, str]:
    """Return what may tell an entry from others, in the order in which a label has it."""
    same_model = [e for e in all_entries if e.model == entry.model]
    header, digest = entry.header, str(entry.header.get("weights_digest"))

    def several(values: Iterable[Any]) -> bool:
        return len({json.dumps(v, sort_keys=True, default=str) for v in values}) > 1

    weights = several(e.header.get("weights_digest") for e in same_model)
    sizes = several(e.header.get("input_transform") for e in same_model)
    size = header.get("input_transform", {}).get("image_size", [])
    vocabularies = several(e.vocabulary for e in all_entries)
    units = several(e.header.get("units", {}) for e in all_entries)
    return {
        "data": str(header["data"]["name"]),
        "model": entry.model,
        "weights": f"weights {digest[:6]}" if weights else "",
        "layer": entry.layer,
        "units": told(header.get("units", {}), _number(header)) or ("filters" if units else ""),
        "protocol": _protocol_piece(entry, all_entries),
        "input": "x".join(map(str, size)) if sizes else "",
        "concepts": entry.vocabulary.partition(",")[0] if vocabularies else "",
        "version": f"v{header.get('versions', {}).get('net2vec_pl', '?')}",
    }


def _number(header: Mapping[str, Any]) -> int:
    return int(header.get("activation_shape", [0])[0])


def _protocol_piece(entry: Entry, all_entries: Sequence[Entry]) -> str:
    """Name the protocol; say which options differ where one name stands for several."""
    mine, others = entry.protocol, [e.protocol for e in all_entries]
    name = mine.get("name")
    namesakes = [other for other in others if other.get("name") == name]
    changed = {key for other in namesakes for key in mine if other.get(key) != mine[key]}
    told = [f"{key}={mine[key]}" for key in mine if key in changed]
    return " ".join([str(name), *told] if len(namesakes) < len(others) else told)


def _unique(names: Sequence[str]) -> list[str]:
    """Number what is named more than once.

    Example:
        >>> _unique(["a", "b", "a"])
        ['a', 'b', 'a #2']
    """
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return numbered


# -------------------- order


def _in_order(settings: Sequence[Setting]) -> list[Setting]:
    """Sort by series, in order of appearance, and in a series by depth."""
    series: dict[str, list[Setting]] = {}
    for setting in settings:
        series.setdefault(setting.series, []).append(setting)
    return [setting for of in series.values() for setting in _by_depth(of)]


def _by_depth(settings: list[Setting]) -> list[Setting]:
    """Sort the layers of one network from its input to its output.

    By the registry, which lists the layers it knows in this order. A network it does not know in
    full goes by the size of its maps, which falls with depth in networks that classify, and by the
    numbers in the module paths.
    """
    known = list(architecture(settings[0].first.model).layers.values())
    paths = [str(s.first.header.get("module_path", s.first.layer)) for s in settings]
    if all(path in known for path in paths):
        return sorted(settings, key=lambda s: known.index(s.first.header["module_path"]))

    def key(setting: Setting) -> tuple[int, list[tuple[int, str]]]:
        header = setting.first.header
        _, height, width = header.get("activation_shape", (0, 0, 0))
        return -height * width, _steps(str(header.get("module_path", setting.first.layer)))

    return sorted(settings, key=key)


def _steps(path: str) -> list[tuple[int, str]]:
    """Split a module path so that it sorts by its numbers, not by their digits.

    Example:
        >>> _steps("features.3") < _steps("features.14")
        True
    """
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]
