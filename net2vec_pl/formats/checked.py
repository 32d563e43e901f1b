"""Check what a reader gives, so that a mistake in it ends in a message and not in empty masks."""

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from net2vec_pl.concepts import Concept
from net2vec_pl.data.reader import ConceptReader, Sample
from net2vec_pl.errors import DataError, shorten, unknown

PAGE = "docs/datasets.md#a-reader-of-your-own"


def check_reader(reader: ConceptReader) -> None:
    """Check what a reader says of the whole dataset.

    Raises:
        DataError: If its attributes contradict each other.
    """
    rows, names = len(reader), [category.name for category in reader.categories]
    for what, values, wanted in (
        ("is_train", reader.is_train, (rows,)),
        ("annotated", reader.annotated, (rows, len(names))),
    ):
        if values.shape != wanted or values.dtype != bool:
            raise DataError(
                f"{what} of {reader.name} is {values.dtype} of shape {values.shape}; it must be "
                f"bool of shape {wanted}. See {PAGE}."
            )
    for what, listed in (("image_names", reader.image_names), ("categories", names)):
        twice = [name for name, count in Counter(listed).items() if count > 1]
        if twice:
            raise DataError(f"{what} of {reader.name} lists {shorten(twice)} twice. See {PAGE}.")
    for concept in reader.vocabulary:
        for category in concept.categories:
            if category not in names:
                text = unknown(f"category of concept {concept.name}", category, names)
                raise DataError(f"{reader.name}: {text} See {PAGE}.")


def checked_sample(reader: ConceptReader, row: int) -> Sample:
    """Read a row and check it against what the reader says of the dataset.

    Args:
        reader: The dataset.
        row: Row of it.

    Raises:
        DataError: If its image or maps are of another type or size, or a category or label number
            is unknown, or a number is not of the category of its map.
        UnreadableRowError: What reading the row raises.
    """
    sample = reader[row]
    faults = [*_tensor_faults(reader, sample)] or [*_label_faults(reader, row, sample)]
    if faults:
        raise DataError(
            f"row {row} ({reader.image_names[row]}) of {reader.name}: {faults[0]} See {PAGE}."
        )
    return sample


def _tensor_faults(reader: ConceptReader, sample: Sample) -> Iterable[str]:
    maps, layers = sample.label_maps, len(sample.map_categories)
    for what, tensor, dtype, shape in (
        ("image", sample.image, torch.uint8, (3, *reader.image_size)),
        ("label_maps", maps, torch.int32, (layers, *reader.mask_size)),
    ):
        if not isinstance(tensor, Tensor):
            yield f"its {what} is a {type(tensor).__name__}, not a torch tensor."
        elif tensor.dtype != dtype or tuple(tensor.shape) != shape:
            yield (
                f"its {what} is {tensor.dtype} of shape {tuple(tensor.shape)}; it must be {dtype} "
                f"of shape {shape}."
            )


def _label_faults(reader: ConceptReader, row: int, sample: Sample) -> Iterable[str]:
    concepts = {concept.number: concept for concept in reader.vocabulary}
    known = {category.name: place for place, category in enumerate(reader.categories)}
    for category, labels in zip(sample.map_categories, sample.label_maps, strict=True):
        if category not in known:
            yield unknown("category in map_categories", category, known)
            continue
        if not reader.categories[known[category]].pixels:
            yield f"it has a map of {category}, which Category(…, pixels=False) says has none."
        for number in labels.unique().tolist():
            yield from _number_faults(concepts, category, max(number, -1 - number), "its map of")
    for category, number in sample.image_labels:
        if category not in known:
            yield unknown("category in image_labels", category, known)
        else:
            yield from _number_faults(concepts, category, number, "its image_labels of")
    for category in {*sample.map_categories, *(name for name, _ in sample.image_labels)}:
        if category in known and not reader.annotated[row, known[category]]:
            yield f"it has labels of {category}, for which annotated says it was not annotated."


def _number_faults(
    concepts: dict[int, Concept], category: str, number: int, where: str
) -> Iterable[str]:
    if number == 0 and where.startswith("its map"):
        return
    if number not in concepts:
        yield (
            f"{where} {category} holds the label number {number}, which the vocabulary does not "
            f"know. Known: {shorten(map(str, concepts))}."
        )
    elif category not in concepts[number].categories:
        concept = concepts[number]
        yield (
            f"{where} {category} holds {number} ({concept.name}), a concept of "
            f"{', '.join(concept.categories)}."
        )
