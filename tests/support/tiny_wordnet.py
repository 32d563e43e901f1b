"""WordNet in miniature: the real file format, with whichever synsets a test wants."""

import itertools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

# key: (part of speech, words, [(pointer, key)]). A word's senses are ranked in this order.
Synsets = Mapping[str, tuple[str, list[str], list[tuple[str, str]]]]
PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
LICENSE = "  1 Each file of WordNet starts by its license, two spaces ahead of every line.  \n"


def write_wordnet(folder: Path, synsets: Synsets) -> Path:
    """Write Princeton's dict files of some synsets."""
    offsets: dict[str, int] = {}
    for part, suffix in PARTS.items():
        keys = [key for key, synset in synsets.items() if synset[0] == part]
        # Offsets have a fixed width, so lines are as long before they are known.
        lengths = [len(LICENSE), *(len(_data_line(key, synsets, {})) for key in keys)]
        offsets |= dict(zip(keys, itertools.accumulate(lengths), strict=False))
        lines = [LICENSE, *(_data_line(key, synsets, offsets) for key in keys)]
        (folder / f"data.{suffix}").write_text("".join(lines))
        senses: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            for word in synsets[key][1]:
                senses[word.lower()].append(f"{offsets[key]:08d}")
        index = [
            f"{word} {part} {len(at)} 0 {len(at)} 0 {' '.join(at)}  \n"
            for word, at in sorted(senses.items())
        ]
        (folder / f"index.{suffix}").write_text(LICENSE + "".join(index))
        (folder / f"{suffix}.exc").write_text("doggies dog\n" if part == "n" else "")
    return folder


def _data_line(key: str, synsets: Synsets, offsets: dict[str, int]) -> str:
    part, words, pointers = synsets[key]
    fields = [f"{offsets.get(key, 0):08d}", "03", part, f"{len(words):02x}"]
    fields += [f"{word} 0" for word in words] + [f"{len(pointers):03d}"]
    fields += [f"{symbol} {offsets.get(to, 0):08d} {part} 0000" for symbol, to in pointers]
    fields += ["01 + 08 00"] if part == "v" else []
    return " ".join(fields) + f" | what {key} means  \n"
