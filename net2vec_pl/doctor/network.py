"""Whether the network can be built, its weights are there, and its layers can be read."""

from collections.abc import Iterator

from net2vec_pl.backbones.libraries import DEFAULT, library_network
from net2vec_pl.backbones.torchvision_weights import kept_file, named_weights
from net2vec_pl.backbones.weights import weights_digest
from net2vec_pl.config.plan import Plan
from net2vec_pl.doctor.checks import Check, ok, warning
from net2vec_pl.doctor.found import Found
from net2vec_pl.units import told

_STAND_IN = (224, 224)


def weights(plan: Plan, found: Found) -> Iterator[Check]:
    """Load the weights, unless they would have to be downloaded."""
    name, given = plan.network.name, plan.network.weights
    if given is None:
        yield warning(f"{name} has random weights: model.weights=null")
    elif (absent := _to_download(name, given)) is not None:
        yield warning(absent)
    else:
        network, leftover = plan.network.fill(_size(found))
        yield ok(f"{name} with weights {given}, digest {weights_digest(network)}")
        if leftover.unfilled:
            yield warning(
                f"{given} does not fill {name}: {leftover}; layers that need it are refused"
            )


def layers(plan: Plan, found: Found) -> Iterator[Check]:
    """Freeze the network at its layers; their shapes do not depend on weights."""
    size = _size(found)
    filters = plan.network.with_random_weights().freeze(
        plan.layers, size, vectors="segmentation" not in found.targets
    )
    found.backbones = [b.with_units(plan.units.units(b.shape[0])) for b in filters]
    for backbone in found.backbones:
        number, h, w = backbone.shape
        what = told(backbone.units.plain, number) or f"{number} filters"
        yield ok(
            f"layer {backbone.layer} (module {backbone.module_path}): {what} of "
            f"{h} x {w} on images of {size[0]} x {size[1]}"
        )


def _size(found: Found) -> tuple[int, int]:
    return found.reader.image_size if found.reader else _STAND_IN


def _to_download(model: str, weights: str) -> str | None:
    """Return what a run would download, and where to; None if it would not."""
    library = library_network(model) if weights == DEFAULT else None
    if library and (source := library.to_download):
        return (
            f"the weights of {model} are not here; a run downloads {source}. Without a network "
            "give model.weights=FILE"
        )
    entry = named_weights(model).get(weights)
    if entry is None or (file := kept_file(entry)).is_file():
        return None
    size = entry.meta.get("_file_size")
    return (
        f"the {weights} weights of {model} are not here; a run downloads {entry.url}"
        + (f" ({size:.0f} MB)" if size else "")
        + f" to {file.parent}. Without a network put the file there, or give model.weights=FILE"
    )
