"""Whether the dataset opens, has what is asked for, and can be read, as far as a sample shows."""

from collections import Counter
from collections.abc import Iterator
from time import perf_counter

import numpy as np

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.config.plan import Plan
from net2vec_pl.data import Scan, scan_files, select_concepts
from net2vec_pl.data.groups import doubts_of, told_groups
from net2vec_pl.data.some_rows import SomeRows
from net2vec_pl.doctor.checks import Check, fix, ok, warning
from net2vec_pl.doctor.found import Found
from net2vec_pl.errors import DataError, shorten
from net2vec_pl.pipeline.progress import Progress
from net2vec_pl.pipeline.setup import native_reader

_SHOWN = 12


def dataset(plan: Plan, found: Found) -> Iterator[Check]:
    """Open the dataset and count its images."""
    found.reader = reader = plan.reader
    train = int(reader.is_train.sum())
    counts = {"train": train, "val": len(reader) - train}
    (h, w), (sh, sw) = reader.image_size, reader.mask_size
    yield ok(
        f"{reader.name}: {train} train and {counts['val']} val images of {h} x {w}, masks of "
        f"{sh} x {sw}"
    )
    if found.options is not None and native_reader(reader, found.options) is not None:
        yield ok(f"scores are also taken on masks of {found.options.score_size}")
    yield from (fix(f"{reader.name} has no {s} image") for s, n in counts.items() if n == 0)
    every = np.arange(len(reader))
    if reader.groups is not None:
        yield ok(told_groups(reader, every))
    yield from map(warning, doubts_of(reader, every))
    for place, category in enumerate(reader.categories):
        annotated = reader.annotated[:, place]
        on_train = int((annotated & reader.is_train).sum())
        what = "masks" if category.pixels else "labels of whole images"
        yield ok(
            f"{category.name}: {on_train} train and {int(annotated.sum()) - on_train} val images "
            f"annotated, {what}"
        )


def concepts(plan: Plan, found: Found) -> Iterator[Check]:
    """Look up the concepts asked for, by category and name."""
    choice, _ = plan.concepts, (plan.on_error, plan.scan)
    if found.reader is None:
        return
    asked = found.reader.vocabulary.asked_for(choice.categories, choice.names)
    for target in found.targets:
        able = asked.segmentable() if target == "segmentation" else asked
        if len(able) == 0:
            raise DataError(
                f"no concept is left of the {len(asked)} asked for: they hold for whole images; "
                "target=classification takes them"
            )
        found.asked[target] = able
        yield ok(f"{target}: {len(able)} of {len(asked)} concepts asked for, {_by_category(able)}")


def rows(plan: Plan, found: Found) -> Iterator[Check]:
    """Read some rows, or all, and tell what cannot be read."""
    if found.reader is None:
        return
    size = min(found.wanted, len(found.reader))
    draw = np.random.default_rng(found.options.seed if found.options else 0)
    chosen = np.sort(draw.choice(len(found.reader), size, replace=False)).astype(np.int64)
    found.sample = sample = SomeRows(found.reader, chosen, f"a sample of {found.reader.name}")
    begin = perf_counter()
    found.scan = scan = scan_files(
        sample,
        workers=found.options.workers if found.options else 0,
        on_error="skip",
        track=Progress(enabled=found.progress).of_images("reading a sample", size),
    )
    seconds = (perf_counter() - begin) / size * len(found.reader)
    time = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    drawn = f"all {size} rows" if sample.is_whole else f"{size} of {len(found.reader)} rows, drawn"
    if scan.unreadable:
        yield _faults(sample, scan, drawn, skip=plan.on_error == "skip")
    else:
        yield ok(f"{drawn}: images and masks can be read")
    if not sample.is_whole:
        yield ok(
            f"a run reads all {len(found.reader)} rows first, which takes some {time}; "
            f"sample={len(found.reader)} does so here"
        )
        yield from _occurring(found, scan)
    elif found.options:
        yield from _left(plan, found, scan)


def _faults(sample: SomeRows, scan: Scan, drawn: str, *, skip: bool) -> Check:
    lines = [f"{sample.image_names[row]}: {fault}" for row, fault in scan.unreadable]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more"]
    text = f"{drawn}: {len(scan.unreadable)} cannot be read"
    if skip:
        return warning("\n".join([f"{text}, and a run leaves them out", *lines]))
    return fix("\n".join([f"{text}; data.on_error=skip goes on without such rows", *lines]))


def _occurring(found: Found, scan: Scan) -> Iterator[Check]:
    """Tell what a sample tells: a concept that does not occur in it may occur elsewhere."""
    for target, asked in found.asked.items():
        seen = Vocabulary(c for c in asked if c.number in scan.number)
        text = f"{target}: {len(seen)} of {len(asked)} concepts occur in these rows"
        yield ok(f"{text}, {_by_category(seen)}") if len(seen) else warning(text)


def _left(plan: Plan, found: Found, scan: Scan) -> Iterator[Check]:
    """Choose concepts as a run does."""
    assert found.options is not None
    assert found.reader is not None
    choice = plan.concepts
    for target in found.asked:
        selection = select_concepts(
            found.reader,
            scan,
            categories=choice.categories,
            names=choice.names,
            min_train=choice.min_train,
            min_val=choice.min_val,
            segmented=target == "segmentation",
        )
        found.asked[target] = left = selection.vocabulary
        yield ok(f"{target}: {len(left)} concepts are probed, {_by_category(left)}")
        few = [entry.concept.name for entry in selection.dropped if "too few" in entry.status]
        if few:
            yield ok(f"{target}: {len(few)} skipped, for too few images: {shorten(few)}")


def _by_category(concepts: Vocabulary) -> str:
    counts = Counter(concept.category for concept in concepts)
    return ", ".join(f"{category} {count}" for category, count in counts.items())
