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
    """

    module_path: str
    shape: tuple[int, ...] | None
    calls: int

    @property
    def is_vector(self) -> bool:
        """Whether the output has no room in it: (K,), of a fully connected layer, or (K, 1, 1)."""
        return self.shape is not None and len(self.shape) in (1, 3) and not self.is_map

    @property
    def is_map(self) -> bool:
        """Whether the output is an activation map (K, h, w) with some room in it."""
        return self.shape is not None and len(self.shape) == 3 and self.shape[1] * self.shape[2] > 1


class Trace(dict[str, LayerInfo]):
    """Module path -> what it gives, in the order in which modules finish last.

    Attributes:
        fault: Why the network could not run to its end; empty if it could.
    """

    fault: str = ""


def trace_layers(network: nn.Module, image_size: tuple[int, int]) -> Trace:
    """Run a blank image through a network and note every module's output.

    Args:
        network: The network; is left as it came, in eval mode.
        image_size: (H, W) of the input.

    Raises:
        BackboneError: If the network cannot take such an image.
    """
    seen = Trace()
    calls: Counter[str] = Counter()

    def note(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            calls[path] += 1
            shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else None
            seen.pop(path, None)
            seen[path] = LayerInfo(path, shape, calls[path])

        return hook

    network.eval()
    handles = [m.register_forward_hook(note(path)) for path, m in network.named_modules() if path]
    try:
        parameter = next(network.parameters(), torch.zeros(0))
        with torch.no_grad():
            network(torch.zeros(1, 3, *image_size, device=parameter.device))
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
        raise BackboneError(unknown(f"layer of {model}", name, [*paper_names, *maps]))
    info = traced[path]
    if not info.is_map and not (vectors and info.is_vector):
        given = "no tensor" if info.shape is None else f"an output of shape {info.shape}"
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


def _last_of_each_size(sizes: Mapping[str, tuple[int, ...]]) -> Iterable[str]:
    by_depth = (
        {size: path for path, size in sizes.items() if path.count(".") <= depth}
        for depth in itertools.count()
    )
    return next(last for last in by_depth if len(last) == len(set(sizes.values()))).values()
