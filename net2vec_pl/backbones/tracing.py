"""Find out what a network's layers give, by running it on images of two sizes."""

from collections.abc import Container
from dataclasses import replace

from torch import nn

from net2vec_pl.backbones.blocks import block_lists, last_layer, short_names
from net2vec_pl.backbones.choosing import Given, Key, Size, Sizes, choose_layouts
from net2vec_pl.backbones.layers import LayerInfo, Trace
from net2vec_pl.backbones.layouts import Layout, Tokens
from net2vec_pl.backbones.noting import IMAGES, Noted, Notes, Part, note_at_sizes
from net2vec_pl.backbones.patches import Patches, known_patches
from net2vec_pl.errors import BackboneError

_TRUNK = "backbone"  # of torchvision's segmentation and detection networks


def trace_layers(network: nn.Module, image_size: Size) -> Trace:
    """Run images of noise through a network and note every module's output.

    Args:
        network: The network; is left as it came, in eval mode.
        image_size: (H, W) of the input.

    Raises:
        BackboneError: If the network cannot take such an image.
    """
    known = known_patches(network)
    notes, wider, wider_size = note_at_sizes(network, image_size, known.size)
    inner = _inner(notes)
    layouts = _layouts(notes, wider, Sizes(image_size, wider_size), known, inner)
    traced = Trace(
        {
            path: replace(_layer(path, noted, layouts, known), inner=path in inner)
            for path, noted in notes.modules.items()
        }
    )
    if notes.fault is not None:
        traced.fault = f"{type(notes.fault).__name__}: {notes.fault}"
        if not any(info.is_map for info in traced.values()):
            raise BackboneError(
                f"the network cannot take an RGB image of {image_size[0]}x{image_size[1]}: "
                f"{notes.fault}"
            ) from notes.fault
    traced.wider, traced.wider_size = _wider_layers(traced, wider), wider_size
    traced.default = _backbone_end(traced)
    lists = block_lists(network, traced)
    if lists:
        traced.names = short_names(lists, traced)
        traced.default = last_layer(lists, traced)
    return traced


def _inner(notes: Notes) -> set[str]:
    """Return the modules inside of attention, and those of a transformer's patch embedding.

    A network without attention may call embedding what it likes.
    """
    kinds = {path: noted.kind.lower() for path, noted in notes.modules.items()}
    attention = [path for path, kind in kinds.items() if "attention" in kind or "attn" in kind]
    embedding = [path for path, kind in kinds.items() if "embed" in kind] if attention else []
    around = tuple(f"{path}." for path in (*attention, *embedding))
    return {path for path in kinds if path in embedding or path.startswith(around)}


def _layouts(
    notes: Notes, wider: Notes, sizes: Sizes, known: Patches, inner: Container[str]
) -> dict[Key, Layout | None]:
    """Decide how each tensor of each module is laid out."""
    given = {
        (path, key): Given(
            part.shape, _wider_shape(wider.modules.get(path), key), part.echo, path in inner
        )
        for path, noted in notes.modules.items()
        for key, part in noted.parts.items()
        if part.count == IMAGES
    }
    return choose_layouts(given, sizes, known)


def _wider_shape(noted: Noted | None, key: str) -> tuple[int, ...] | None:
    part = noted.parts.get(key) if noted else None
    return part.shape if part and part.count == 1 else None


def _layer(path: str, noted: Noted, layouts: dict[Key, Layout | None], known: Patches) -> LayerInfo:
    """Describe a module: the tensor it is about, and each by its key if it gives several."""

    def info(part: Part, key: str, module_path: str) -> LayerInfo:
        layout = layouts.get((path, key))
        return LayerInfo(
            module_path,
            part.shape,
            noted.calls,
            noted.kind,
            part.rectified,
            layout,
            key=key,
            per_image=part.count == IMAGES,
            has_class=isinstance(layout, Tokens) and layout.prefix > 0 and known.has_class,
        )

    several = noted.parts if len(noted.parts) > 1 else {}
    parts = {key: info(part, key, f"{path}:{key}") for key, part in several.items()}
    if noted.meant is None or noted.meant not in noted.parts:
        return LayerInfo(path, None, noted.calls, noted.kind, layout=None, parts=parts)
    return replace(info(noted.parts[noted.meant], noted.meant, path), parts=parts)


def _wider_layers(traced: Trace, wider: Notes) -> dict[str, LayerInfo]:
    """Return what the layers of maps give for the larger image."""
    shapes = {
        path: _wider_shape(wider.modules.get(path), info.key) for path, info in traced.items()
    }
    return {
        path: replace(info, shape=shapes[path])
        for path, info in traced.items()
        if info.is_map and shapes[path] and not isinstance(info.layout, Tokens)
    }


def _backbone_end(traced: Trace) -> str | None:
    """Return where a segmentation or detection network is read: at the end of its backbone."""
    trunk = traced.get(_TRUNK)
    if trunk is None or not (trunk.key or trunk.parts):
        return None
    # Without the pyramid, without the extra layers of an SSD, or all of it.
    for inside in (f"{_TRUNK}.body.", f"{_TRUNK}.features.", f"{_TRUNK}."):
        maps = [path for path, info in traced.items() if path.startswith(inside) and info.is_map]
        if maps:
            return maps[-1]
    return None
