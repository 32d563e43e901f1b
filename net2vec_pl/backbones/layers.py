"""The layers of a network: what each gives, how it is read, and what it is called."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from net2vec_pl.backbones.layouts import Layout, Tokens, class_token, laid_out_shape, maps
from net2vec_pl.errors import BackboneError, shorten, unknown

_CLASS = "class"  # PATH:class is the class token of a layer of tokens


@dataclass(frozen=True)
class LayerInfo:
    """A module's output, as one forward pass showed it.

    Args:
        module_path: Dotted path in the network.
        shape: Shape of the output for one image, without the batch; None if it is no tensor, or
            several of which none is meant more than the others.
        calls: How often the module runs in one pass.
        kind: Name of the module's class.
        rectified: Whether no value was below zero when the module answered, before an in-place
            ReLU behind it wrote over the output.
        layout: How the output becomes activation maps (N, K, h, w); None where it cannot.
        key: Which of several tensors is read; empty if the module gives one.
        per_image: Whether the output's first axis goes over the images.
        parts: By its key, each of several tensors that the module gives.
        has_class: Whether the first token is a class token.
        inner: Whether it stands inside of attention or of a patch embedding, where only those look
            who name it.
    """

    module_path: str
    shape: tuple[int, ...] | None
    calls: int
    kind: str = ""
    rectified: bool = False
    layout: Layout | None = maps
    key: str = ""
    per_image: bool = True
    parts: Mapping[str, "LayerInfo"] = field(default_factory=dict)
    has_class: bool = False
    inner: bool = False

    @cached_property
    def laid_out(self) -> tuple[int, ...]:
        """(K, h, w) of the activation map, (K, 1, 1) of a vector; empty where it cannot be read."""
        if self.layout is None or self.shape is None or len(self.shape) not in (1, 2, 3):
            return ()
        if self.layout is maps:
            return (*self.shape, 1, 1)[:3] if len(self.shape) != 2 else ()
        return laid_out_shape(self.layout, self.shape)

    @property
    def is_vector(self) -> bool:
        """Whether the output has no room in it: (K,), of a fully connected layer, or (K, 1, 1)."""
        return self.laid_out[1:] == (1, 1)

    @property
    def is_map(self) -> bool:
        """Whether the output can be read as an activation map (K, h, w) with some room in it."""
        return len(self.laid_out) == 3 and not self.is_vector

    @property
    def is_an_end(self) -> bool:
        """Whether a network without blocks may be read here: at a map, or at tokens after a norm.

        A module that gives a tensor in a tuple or dict hands on what another gave.
        """
        return not self.key and not self.inner and (self.layout is maps or self.is_norm)

    @property
    def is_norm(self) -> bool:
        """Whether the module normalises, as its class says."""
        return "norm" in self.kind.lower()


class Trace(dict[str, LayerInfo]):
    """Module path -> what it gives, in the order in which modules finish last.

    Attributes:
        fault: Why the network could not run to its end; empty if it could.
        names: Short name -> module path, of the blocks and stages of a transformer.
        default: Module path of the layer that is read unless another is asked for; None for the
            last one that gives maps.
        wider: The same for a larger image, as far as the network takes one.
        wider_size: (H, W) of that image.
    """

    def __init__(self, layers: Mapping[str, LayerInfo] | None = None) -> None:
        super().__init__(layers or {})
        self.fault = ""
        self.names: dict[str, str] = {}
        self.default: str | None = None
        self.wider: dict[str, LayerInfo] = {}
        self.wider_size = (0, 0)


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
        name: A paper name, a short name or a module path, with ``:KEY`` behind it for one tensor of
            several, or ``:class`` for the class token. None means the last block of a transformer,
            after the final norm; of other networks the last layer that gives an activation map.
        paper_names: Paper name -> module path.
        traced: From :func:`~net2vec_pl.backbones.tracing.trace_layers`.
        model: The model's name, for messages.
        vectors: Whether a layer that gives a vector may be named too, a fully connected one.

    Returns:
        The name by which to call the layer, and what it gives.

    Raises:
        BackboneError: If the layer is unknown, never runs, or gives no activation map.
    """
    readable = [path for path, info in traced.items() if info.is_map]
    if name is None:
        path = _default(traced, readable, model)
        return path, traced[path]
    names = {**traced.names, **paper_names}
    path, _, key = name.partition(":")
    path = names.get(path, path)
    if path not in traced:
        if traced.fault and name in paper_names:
            raise BackboneError(
                f"{model} fails in its forward pass before {name!r}: {traced.fault}."
            )
        raise BackboneError(unknown(f"layer of {model}", name, [*names, *readable]))
    info = _part(traced[path], key, name, model) if key else traced[path]
    if not info.is_map and not (vectors and info.is_vector):
        raise BackboneError(_refusal(info, name, readable, model))
    return name, info


def _default(traced: Trace, readable: list[str], model: str) -> str:
    if traced.fault and readable:
        raise BackboneError(
            f"{model} cannot run to its end on such an image ({traced.fault}), so its last "
            f"layer is unknown: give layer=NAME. The last it reached: {', '.join(readable[-3:])}."
        )
    if not readable:
        raise BackboneError(f"no layer of {model} gives an activation map (K, h, w).")
    if traced.default is not None:
        return traced.default
    ends = [path for path in readable if not traced[path].inner]
    if not ends:
        raise BackboneError(
            f"the blocks of {model} are not known, and what can be read are parts of them: give "
            f"layer=NAME, one of {shorten(readable, 5)}."
        )
    return next((path for path in reversed(ends) if traced[path].is_an_end), ends[-1])


def _part(info: LayerInfo, key: str, name: str, model: str) -> LayerInfo:
    """Return one tensor of what a module gives."""
    if key in info.parts:
        return info.parts[key]
    if key == _CLASS and isinstance(info.layout, Tokens) and info.has_class:
        path = f"{info.module_path}:{_CLASS}"
        return replace(info, module_path=path, layout=class_token)
    raise BackboneError(
        f"layer {name!r} of {model}: "
        + (unknown("tensor", key, [*info.parts]) if info.parts else f"it has no {key!r}.")
    )


def _refusal(info: LayerInfo, name: str, readable: list[str], model: str) -> str:
    """Say why a layer cannot be read, and which can."""
    if info.parts and info.shape is None:
        known = ", ".join(f"{info.module_path}:{key}" for key in info.parts)
        return f"layer {name!r} of {model} gives several tensors: name one of {known}."
    given = "no tensor" if info.shape is None else f"an output of shape {info.shape}"
    given += "" if info.per_image else ", whose first axis does not go over the images,"
    around = [path for path in readable if info.module_path.startswith(f"{path}.")]
    nearest = f" The nearest layer that does: {max(around, key=len)!r}." if around else ""
    last = f" The last layer that does: {readable[-1]!r}." if readable else ""
    return (
        f"layer {name!r} of {model} gives {given} for an image, not an activation map "
        f"(filters, height, width).{nearest or last}"
        + (" target=classification takes it." if info.is_vector else "")
    )


def all_layers(
    paper_names: Mapping[str, str], traced: Trace, *, vectors: bool = False
) -> list[str]:
    """Name the layers that ``layer=all`` means, in order of depth.

    They are those with a paper name; of a transformer its blocks, or its stages if it has some, and
    the last of them after the final norm. Another network is read at the last module of every size
    of map, as far from the inside of its blocks as shows them all.

    Args:
        paper_names: Paper name -> module path; may be empty.
        traced: From :func:`~net2vec_pl.backbones.tracing.trace_layers`.
        vectors: Whether layers that give a vector count too.
    """
    sizes = {
        path: info.laid_out[1:] if info.is_map else ()
        for path, info in traced.items()
        if (info.is_map or (vectors and info.is_vector)) and (not info.key or traced.names)
    }
    names = {path: name for name, path in (paper_names or _in_depth(traced)).items()}
    if not names:
        outer = {path: size for path, size in sizes.items() if not traced[path].inner}
        names = {path: path for path in _last_of_each_size(outer)}
    return [names[path] for path in sizes if path in names]


def _in_depth(traced: Trace) -> dict[str, str]:
    """Return the stages of a transformer, or its blocks, and the final norm behind them."""
    stages = {name: path for name, path in traced.names.items() if name.startswith("stage.")}
    names = stages or traced.names
    last, inside = traced.default, tuple(f"{path}." for path in stages.values())
    if last is None or last in traced.names.values() or last.startswith(inside):
        return names
    return {**names, last: last}


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
    h, w = (
        size / cells if size % cells == 0 or more == cells else (wide - size) / (more - cells)
        for size, cells, wide, more in zip(
            image_size, info.laid_out[1:], wider_size, wider.laid_out[1:], strict=True
        )
    )
    return h, w


def _last_of_each_size(sizes: Mapping[str, tuple[int, ...]]) -> Iterable[str]:
    by_depth = (
        {size: path for path, size in sizes.items() if path.count(".") <= depth}
        for depth in itertools.count()
    )
    return next(last for last in by_depth if len(last) == len(set(sizes.values()))).values()
