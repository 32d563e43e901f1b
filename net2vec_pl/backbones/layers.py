"""Find out what a network's layers give, by running it once."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from net2vec_pl.errors import BackboneError, unknown


@dataclass(frozen=True)
class LayerInfo:
    """A module's output, as one forward pass showed it.

    Args:
        module_path: Dotted path in the network.
        shape: Shape of the output for one image, without the batch; None if it is no tensor.
        calls: How often the module runs in one pass.
        kind: Name of the module's class.
        rectified: Whether no value was below zero when the module answered, before an in-place
            ReLU behind it wrote over the output.
        filters_last: Whether the output is (h, w, K), as in Swin transformers: no activation map
            as it stands.
    """

    module_path: str
    shape: tuple[int, ...] | None
    calls: int
    kind: str = ""
    rectified: bool = False
    filters_last: bool = False

    @property
    def is_vector(self) -> bool:
        """Whether the output has no room in it: (K,), of a fully connected layer, or (K, 1, 1)."""
        plain = self.shape is not None and len(self.shape) in (1, 3) and not self.filters_last
        return plain and not self.is_map

    @property
    def is_map(self) -> bool:
        """Whether the output is an activation map (K, h, w) with some room in it."""
        plain = self.shape is not None and len(self.shape) == 3 and not self.filters_last
        return plain and self.shape[1] * self.shape[2] > 1  # type: ignore[index]


class Trace(dict[str, LayerInfo]):
    """Module path -> what it gives, in the order in which modules finish last.

    Attributes:
        fault: Why the network could not run to its end; empty if it could.
    """

    fault: str = ""


def trace_layers(network: nn.Module, image_size: tuple[int, int]) -> Trace:
    """Run an image of noise through a network and note every module's output.

    Args:
        network: The network; is left as it came, in eval mode.
        image_size: (H, W) of the input.

    Raises:
        BackboneError: If the network cannot take such an image.
    """
    seen = Trace()
    calls: Counter[str] = Counter()

    def note(path: str) -> Any:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            calls[path] += 1
            shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else None
            seen.pop(path, None)
            kind = type(module).__name__
            last = shape is not None and _has_filters_last(shape, image_size)
            rectified = _is_rectified(output)
            seen[path] = LayerInfo(path, shape, calls[path], kind, rectified, last)

        return hook

    network.eval()
    handles = [m.register_forward_hook(note(path)) for path, m in network.named_modules() if path]
    try:
        parameter = next(network.parameters(), torch.zeros(0))
        noise = torch.randn(1, 3, *image_size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            network(noise.to(parameter.device))
    except Exception as error:  # whatever a network of the user's may raise
        # A head may refuse a size that the layers before it take; they are enough to go on with.
        seen.fault = f"{type(error).__name__}: {error}"
        if not any(info.is_map for info in seen.values()):
            raise BackboneError(
                f"the network cannot take an RGB image of {image_size[0]}x{image_size[1]}: {error}"
            ) from error
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _has_filters_last(shape: tuple[int, ...], image_size: tuple[int, int]) -> bool:
    """Return whether the first two axes of an output, and not the last two, are a small image.

    Example:
        >>> _has_filters_last((7, 7, 768), (224, 224)), _has_filters_last((768, 7, 7), (224, 224))
        (True, False)
    """
    height, width = image_size

    def is_image(h: int, w: int) -> bool:
        return h * w > 1 and abs(h * width - w * height) <= max(image_size)  # to a cell

    return len(shape) == 3 and is_image(*shape[:2]) and not is_image(*shape[1:])


def _is_rectified(output: Any) -> bool:
    is_real = isinstance(output, Tensor) and not output.is_complex()
    return is_real and bool((output >= 0).all())


def resolve_layer(
    name: str | None,
    paper_names: Mapping[str, str],
    traced: Trace,
    model: str,
    *,
    vectors: bool = False,
) -> tuple[str, LayerInfo]:
    """Find the module a layer name means.

    Args:
        name: A paper name or a module path; None means the last layer that gives an activation map.
        paper_names: Paper name -> module path.
        traced: From :func:`trace_layers`.
        model: The model's name, for messages.
        vectors: Whether a layer that gives a vector may be named too, a fully connected one.

    Returns:
        The name by which to call the layer, and what it gives.

    Raises:
        BackboneError: If the layer is unknown, never runs, or gives no activation map.
    """
    maps = [path for path, info in traced.items() if info.is_map]
    if not maps:
        raise BackboneError(f"no layer of {model} gives an activation map (K, h, w).")
    if name is None:
        if traced.fault:
            raise BackboneError(
                f"{model} cannot run to its end on such an image ({traced.fault}), so its last "
                f"layer is unknown: give layer=NAME. The last it reached: {', '.join(maps[-3:])}."
            )
        return maps[-1], traced[maps[-1]]
    path = paper_names.get(name, name)
    if path not in traced:
        if traced.fault and name in paper_names:
            raise BackboneError(
                f"{model} fails in its forward pass before {name!r}: {traced.fault}."
            )
        raise BackboneError(unknown(f"layer of {model}", name, [*paper_names, *maps]))
    info = traced[path]
    if not info.is_map and not (vectors and info.is_vector):
        given = "no tensor" if info.shape is None else f"an output of shape {info.shape}"
        given += ", filters last," if info.filters_last else ""
        raise BackboneError(
            f"layer {name!r} of {model} gives {given} for an image, not an activation map "
            f"(filters, height, width). The last layer that does: {maps[-1]!r}."
            + (" target=classification takes it." if info.is_vector else "")
        )
    return name, info


def all_layers(
    paper_names: Mapping[str, str], traced: Trace, *, vectors: bool = False
) -> list[str]:
    """Name the layers that ``layer=all`` means, in order of depth.

    They are those with a paper name. A network without such names is read at the last module of
    every size of map, as far from the inside of its blocks as shows them all.

    Args:
        paper_names: Paper name -> module path; may be empty.
        traced: From :func:`trace_layers`.
        vectors: Whether layers that give a vector count too.
    """
    sizes = {
        path: info.shape[1:]
        for path, info in traced.items()
        if info.shape is not None and (info.is_map or (vectors and info.is_vector))
    }
    names = {path: name for name, path in paper_names.items()}
    if not names:
        names = {path: path for path in _last_of_each_size(sizes)}
    return [names[path] for path in sizes if path in names]


def stride(
    info: LayerInfo, image_size: tuple[int, int], wider: LayerInfo, wider_size: tuple[int, int]
) -> tuple[float, float]:
    """Return how many pixels of the input lie between neighbouring cells of a map, along h and w.

    A layer whose cells do not divide the image, as without padding, is asked by how much its map
    grows with the image.

    Args:
        info: A layer that gives a map.
        image_size: (H, W) of the image it was traced with.
        wider: The same layer, traced with a larger image.
        wider_size: (H, W) of that image.

    Example:
        >>> conv5, wider = (LayerInfo("features.11", (256, n, n), 1) for n in (13, 17))
        >>> stride(conv5, (224, 224), wider, (288, 288))
        (16.0, 16.0)
    """
    assert info.shape is not None
    assert wider.shape is not None
    h, w = (
        size / cells if size % cells == 0 or more == cells else (wide - size) / (more - cells)
        for size, cells, wide, more in zip(
            image_size, info.shape[1:], wider_size, wider.shape[1:], strict=True
        )
    )
    return h, w


def _last_of_each_size(sizes: Mapping[str, tuple[int, ...]]) -> Iterable[str]:
    by_depth = (
        {size: path for path, size in sizes.items() if path.count(".") <= depth}
        for depth in itertools.count()
    )
    return next(last for last in by_depth if len(last) == len(set(sizes.values()))).values()
