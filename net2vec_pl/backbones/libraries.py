"""Networks that other libraries build by name: ``timm/NAME`` and ``hf/OWNER/NAME``."""

from torch import nn

from net2vec_pl.backbones.hf_networks import HuggingFaceNetwork
from net2vec_pl.backbones.library import LibraryNetwork
from net2vec_pl.backbones.timm_networks import TimmNetwork

DEFAULT = "DEFAULT"  # the weights that a library itself has for a name
_LIBRARIES: dict[str, type[LibraryNetwork]] = {
    library.prefix: library for library in (TimmNetwork, HuggingFaceNetwork)
}


def library_network(name: str) -> LibraryNetwork | None:
    """Find the network of another library that a name means; None if it means none.

    Example:
        >>> str(library_network("timm/vit_tiny_patch16_224")), library_network("vgg16")
        ('timm/vit_tiny_patch16_224', None)
    """
    prefix, _, own = name.partition("/")
    return _LIBRARIES[prefix](own) if own and prefix in _LIBRARIES else None


def library_of(network: nn.Module) -> LibraryNetwork | None:
    """Find the library that a network's class comes from, whoever built it; maybe none."""
    kind = type(network)
    package = kind.__module__.partition(".")[0]
    found = (library for library in _LIBRARIES.values() if library.package == package)
    return next((library(kind.__name__) for library in found), None)
