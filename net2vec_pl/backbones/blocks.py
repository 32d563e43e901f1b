"""Short names for the blocks and stages of a transformer, and the layer to read it at."""

import itertools
from collections import Counter
from collections.abc import Mapping

from torch import nn

from net2vec_pl.backbones.layers import LayerInfo
from net2vec_pl.backbones.layouts import maps

_LISTS = (nn.ModuleList, nn.Sequential)


def block_lists(network: nn.Module, traced: Mapping[str, LayerInfo]) -> list[list[str]]:
    """Return the paths of the blocks of a transformer, one list for each stage.

    Blocks are modules of one class, one after the other in a list, that give tokens, or maps with
    their filters last; of lists within blocks the inner ones count.

    Args:
        network: The network.
        traced: Module path -> what it gives.
    """
    lists = [
        [f"{path}.{name}".lstrip(".") for name, _ in module.named_children()]
        for path, module in network.named_modules()
        if isinstance(module, _LISTS)
    ]
    kinds = {
        traced[one].kind
        for children in lists
        for one, two in itertools.pairwise(children)
        if _is_block(network, traced, one)
        and _is_block(network, traced, two)
        and traced[one].kind == traced[two].kind
    }
    found = [
        [path for path in children if path in traced and traced[path].kind in kinds]
        for children in lists
    ]
    every = [path for blocks in found for path in blocks]
    inner = [
        blocks
        for blocks in found
        if any(_is_read(traced, path) for path in blocks)
        and not any(other.startswith(f"{blocks[0]}.") for other in every)
    ]
    return _of_the_longest_trunk(inner)


def _of_the_longest_trunk(lists: list[list[str]]) -> list[list[str]]:
    """Return the lists in that part of the network that has most blocks, as an encoder has."""
    parts = Counter(path.partition(".")[0] for blocks in lists for path in blocks)
    trunk = max(parts, key=lambda part: parts[part], default="")
    return [blocks for blocks in lists if blocks[0].partition(".")[0] == trunk]


def short_names(lists: list[list[str]], traced: Mapping[str, LayerInfo]) -> dict[str, str]:
    """Name blocks ``block.0``, ``block.1``, … over all stages, and stages ``stage.0``, ….

    Args:
        lists: From :func:`block_lists`.
        traced: Module path -> what it gives.
    """
    blocks = [path for one in lists for path in one]
    names = {f"block.{n}": path for n, path in enumerate(blocks)}
    if len(lists) > 1:
        first, last = (blocks[at].split(".") for at in (0, -1))  # of different lists
        shared = next(
            n for n, (one, two) in enumerate(zip(first, last, strict=False)) if one != two
        )
        stages = dict.fromkeys(".".join(path.split(".")[: shared + 1]) for path in blocks)
        names |= {f"stage.{n}": path for n, path in enumerate(stages)}
    return {
        name: path for name, path in names.items() if _is_read(traced, path) and name not in traced
    }


def last_layer(lists: list[list[str]], traced: Mapping[str, LayerInfo]) -> str:
    """Return the last block that can be read, or the final norm behind it if there is one.

    Args:
        lists: From :func:`block_lists`; at least one.
        traced: Module path -> what it gives.
    """
    last = [path for blocks in lists for path in blocks if _is_read(traced, path)][-1]
    behind = itertools.dropwhile(lambda path: path != last, traced)
    inside = tuple(f"{path}." for blocks in lists for path in blocks)
    norms = [
        path
        for path in behind
        if traced[path].is_norm
        and not path.startswith(inside)
        and traced[path].laid_out == traced[last].laid_out
    ]
    return norms[-1] if norms else last


def _is_block(network: nn.Module, traced: Mapping[str, LayerInfo], path: str) -> bool:
    module = network.get_submodule(path)
    has_parts = next(module.children(), None) is not None
    return (
        has_parts
        and not isinstance(module, _LISTS)
        and "embed" not in type(module).__name__.lower()
        and _is_read(traced, path)
        and traced[path].layout is not maps
    )


def _is_read(traced: Mapping[str, LayerInfo], path: str) -> bool:
    return path in traced and traced[path].is_map
