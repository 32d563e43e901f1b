"""Are the runs comparable? What differs among them, whom it concerns, and what follows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from net2vec_pl.compare.entry import SCORES, Entry
from net2vec_pl.compare.settings import Group, Setting
from net2vec_pl.errors import shorten
from net2vec_pl.records.compare import DifferenceRow

APART = "compared in groups of their own, never with each other"
BESIDE = "compared as they are: a difference in scores may come from it"
_VERSION = "the numbers may have moved between versions; the changelog says which"


@dataclass(frozen=True)
class Difference:
    """Something that the runs do not have in common.

    Args:
        what: The thing.
        values: Its values, and the settings that have each.
        consequence: What the comparison makes of it.
    """

    what: str
    values: dict[str, list[str]]
    consequence: str

    @property
    def statement(self) -> str:
        """One sentence for the page and the console."""
        told = "; ".join(f"{value} ({shorten(of, 4)})" for value, of in self.values.items())
        return f"{self.what}: {told} - {self.consequence}."

    def rows(self) -> list[DifferenceRow]:
        """A row for each value, for a table."""
        return [
            DifferenceRow(self.what, value, len(of), "; ".join(of), self.consequence)
            for value, of in self.values.items()
        ]


def differences(groups: Sequence[Group]) -> list[Difference]:
    """List what differs besides model, layer and seed, which are there to be compared.

    Args:
        groups: All settings.
    """
    settings = [setting for group in groups for setting in group.settings]
    found = [
        _difference("data", settings, _data, APART),
        _difference("mask size", settings, _mask_size, APART),
        *_protocols(settings),
        *_of_each_model("weights", settings, lambda e: str(e.header.get("weights_digest"))[:12]),
        *_of_each_model("input", settings, lambda e: _brief(e.header.get("input_transform", {}))),
        _difference("units", settings, _units, BESIDE),
        _difference("package version", settings, _version, _VERSION),
    ]
    for group in groups:
        found += _concepts(group, len(groups) > 1)
    return [difference for difference in found if len(difference.values) > 1]


def _difference(
    what: str, settings: Iterable[Setting], value: Callable[[Entry], str], consequence: str
) -> Difference:
    values: dict[str, list[str]] = {}
    for setting in settings:
        values.setdefault(value(setting.first), []).append(setting.label)
    return Difference(what, values, consequence)


def _data(entry: Entry) -> str:
    data = entry.header["data"]
    return f"{data['name']}, digest {str(data['digest'])[:8]}"


def _mask_size(entry: Entry) -> str:
    return "x".join(map(str, entry.header["data"].get("mask_size", ["?"])))


def _units(entry: Entry) -> str:
    units = entry.header.get("units", {"name": "filters"})
    return _brief({name: value for name, value in units.items() if value is not None})


def _version(entry: Entry) -> str:
    return str(entry.header.get("versions", {}).get("net2vec_pl", "unknown"))


def _brief(options: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(options.items()))


def _protocols(settings: Sequence[Setting]) -> Iterator[Difference]:
    options = dict.fromkeys(name for s in settings for name in s.first.protocol)
    for name in options:
        if name != "name":
            consequence = APART if name == "denominator" else BESIDE

            def value(entry: Entry, name: str = name) -> str:
                return str(entry.protocol.get(name, "absent"))

            yield _difference(f"protocol.{name}", settings, value, consequence)


def _of_each_model(
    what: str, settings: Sequence[Setting], value: Callable[[Entry], str]
) -> Iterator[Difference]:
    for model in dict.fromkeys(s.first.model for s in settings):
        namesakes = [s for s in settings if s.first.model == model]
        yield _difference(f"{what} of {model}", namesakes, value, BESIDE)


def _concepts(group: Group, several_groups: bool) -> Iterator[Difference]:
    where = f" ({group.name})" if several_groups else ""
    for target in SCORES:
        having = [s for s in group.settings if target in s.first.embeddings]

        def probed(entry: Entry, target: str = target) -> str:
            return entry.vocabularies[target]

        yield _difference(
            f"concepts probed, {target}{where}",
            having,
            probed,
            "scores and embeddings are compared over those that all have",
        )
        scores = group.scores(target)
        if scores is not None and scores.missing:
            labels = [setting.label for setting in scores.settings]
            lacking = dict.fromkeys(label for of in scores.missing.values() for label in of)
            yield Difference(
                f"concepts scored, {target}{where}",
                {
                    f"by all: {len(scores.concepts)}": labels,
                    f"not by all: {shorten(scores.missing)}": list(lacking),
                },
                f"scores are compared over the {len(scores.concepts)} that all have",
            )
