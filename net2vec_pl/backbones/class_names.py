"""What the classes of a network's answer are called, where its library says so."""

from collections.abc import Sequence
from importlib.util import find_spec

from torch import nn

from net2vec_pl.backbones.registry import known_models
from net2vec_pl.backbones.torchvision_weights import named_weights

_IMAGENET = 1000  # timm tells names of these
_NAMELESS = "LABEL_"  # so transformers numbers classes that have no names


def class_names(model: str, number: int, network: nn.Module | None = None) -> list[str] | None:
    """Return the names of the classes that a network tells apart.

    Args:
        model: The network's name.
        number: How many classes its answer has.
        network: The network; one of Hugging Face carries the names along, as ``config.id2label``.

    Returns:
        A name per class; None where no library names as many.

    Example:
        >>> class_names("mobilenet_v2", 1000)[817], class_names("mobilenet_v2", 12)
        ('sports car', None)
    """
    labels = getattr(getattr(network, "config", None), "id2label", None) or {}
    if sorted(labels) == list(range(number)):
        names = [str(labels[n]).split(", ")[0] for n in range(number)]
        if names != [f"{_NAMELESS}{n}" for n in range(number)]:
            return names
    if model.startswith("timm/") and number == _IMAGENET:
        from timm.data.imagenet_info import ImageNetInfo

        info = ImageNetInfo()
        return [info.index_to_description(i).split(", ")[0] for i in range(number)]
    if model not in known_models():
        return None
    for entry in named_weights(model).values():
        categories = entry.meta.get("categories") or ()
        if len(categories) == number:
            return [str(name) for name in categories]
    return None


def imagenet_offsets(names: Sequence[str]) -> list[int] | None:
    """Return where WordNet 3.0 has the synsets of ImageNet's classes, as timm lists them.

    Args:
        names: Names of the classes.

    Returns:
        An offset per class, for names alone are ambiguous: ImageNet has two cranes. None where
        these are other classes, or timm is not installed.
    """
    if len(names) != _IMAGENET or find_spec("timm") is None:
        return None
    from timm.data.imagenet_info import ImageNetInfo

    labels = ImageNetInfo().label_names()  # type: ignore[no-untyped-call]
    return [int(label.removeprefix("n")) for label in labels]
