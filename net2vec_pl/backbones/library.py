"""What a network of another library is asked for: its scaling, its size, how it is built."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from net2vec_pl.backbones.leftover import Leftover
from net2vec_pl.backbones.patches import known_patches
from net2vec_pl.backbones.scaling import InputScaling
from net2vec_pl.errors import BackboneError

Size = tuple[int, int]
# What to do where the library's own weights cannot be had.
FILE_INSTEAD = (
    "Give a file: model.weights=FILE. model.weights=null probes the network with random weights."
)
_log = logging.getLogger(__name__)


class LibraryNetwork(ABC):
    """A network that another library builds by its name.

    Args:
        name: The library's own name of it.

    Attributes:
        prefix: What stands before it in our name, ``prefix/name``.
        package: The Python package of the library.
    """

    prefix: ClassVar[str]
    package: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"{self.prefix}/{self.name}"

    @property
    @abstractmethod
    def scaling(self) -> InputScaling:
        """The input scaling that it was trained with."""

    @abstractmethod
    def own_size(self, kwargs: Mapping[str, Any]) -> Size | None:
        """Return (H, W) of the images that it is made for; None if it does not say."""

    @property
    @abstractmethod
    def to_download(self) -> str | None:
        """What has to be downloaded for the library's weights; None if they are here."""

    @abstractmethod
    def create(
        self, image_size: Size, kwargs: Mapping[str, Any], *, pretrained: bool
    ) -> tuple[nn.Module, Leftover]:
        """Build it as the library does; see :meth:`build`."""

    def adapted(self, network: nn.Module, state: Any) -> Any:
        """Bring weights of a file to the network as the library does."""
        return state

    def build(
        self, image_size: Size, kwargs: Mapping[str, Any], *, pretrained: bool = False
    ) -> tuple[nn.Module, Leftover]:
        """Build it for images of a size.

        Args:
            image_size: (H, W) of the images to come; position embeddings are fitted to it.
            kwargs: Further arguments for the library.
            pretrained: Whether it gets the library's weights, which may be downloaded, or random
                ones from torch's generator.

        Returns:
            The network, and what the library's weights do not fill.

        Raises:
            BackboneError: If there is no such network, or it cannot take such images.
        """
        network, leftover = self.create(image_size, kwargs, pretrained=pretrained)
        own, patch = self.own_size(kwargs), _patch_side(network)
        if any(side % patch for side in image_size):
            down, up = (_multiples(image_size, patch, more) for more in (0, 1))
            raise BackboneError(
                f"{self} cannot take images of {_worded(image_size)}, for its patches are "
                f"{patch} x {patch}. The nearest sizes are {_worded(down)} and {_worded(up)}"
                + (f"; it is made for {_worded(own)}" if own else "")
                + ". Use a dataset of such a size."
            )
        if own not in (None, image_size):
            _log.info(
                "%s is made for images of %s; these are %s", self, *map(_worded, (own, image_size))
            )
        return network, leftover


def _patch_side(network: nn.Module) -> int:
    """Return the side of the patches that a network cuts images into; 1 if it cuts none.

    Patches that overlap, or that come after other convolutions, cover images of any size.
    """
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    side = known_patches(network).size
    cuts = first is not None and first.stride == first.kernel_size == (side, side)
    return side if side and cuts else 1


def _worded(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def _multiples(size: Size, patch: int, more: int) -> Size:
    """Return the nearest multiples of a patch: below, or with one more above; at least one.

    Example:
        >>> _multiples((112, 100), 14, 0), _multiples((112, 100), 14, 1), _multiples((8, 8), 14, 0)
        ((112, 98), (112, 112), (14, 14))
    """
    height, width = (max(side // patch + (more if side % patch else 0), 1) * patch for side in size)
    return height, width
