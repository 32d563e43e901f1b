"""The layers of a network that ``layer=`` can name, as a table.

Shapes do not depend on weights, so none are loaded and nothing is downloaded.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.markup import escape
from rich.table import Table
from torch import nn

from net2vec_pl.backbones.layers import (
    LayerInfo,
    Trace,
    all_layers,
    resolve_layer,
    stride,
)
from net2vec_pl.backbones.registry import architecture
from net2vec_pl.backbones.tracing import trace_layers
from net2vec_pl.report.console import LastWords

_GIVES = {
    "map": "maps",
    "vector": "vectors",
    "tokens": "tokens",
    "other": "something else",
}
_NOTES = {
    "vector": "A vector is read with target=classification only.",
    "tokens": "Tokens are no map: they cannot be read.",
}
Size = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """A row of the table.

    Args:
        name: What ``layer=`` takes: the name in the literature, or else the module path; empty
            where that path is the name of another module.
        info: What the layer gives.
        stride: Pixels of the image between neighbouring cells, along h and w; None where there is
            no map.
    """

    name: str
    info: LayerInfo
    stride: tuple[float, float] | None

    @property
    def gives(self) -> str:
        """What it gives, one of ``_GIVES``."""
        if self.info.is_map:
            return "map"
        if self.info.is_vector:
            return "vector"
        return "tokens" if len(self.info.shape or ()) == 2 else "other"

    @property
    def cells(self) -> tuple[str, str, str]:
        """Filters, places and stride, in words."""
        shape = self.info.shape or ()
        match self.gives:
            case "map":
                filters, height, width = self.info.laid_out
                steps = dict.fromkeys(f"{step:.3g}" for step in self.stride or ())
                return str(filters), f"{height} x {width}", " x ".join(steps)
            case "vector":
                return str(shape[0]), "vector", ""
            case "tokens":
                return str(shape[1]), f"{shape[0]} tokens", ""
        return "", " x ".join(map(str, shape)), ""


def print_layers(
    network: nn.Module,
    model: str,
    size: Size,
    wanted: Sequence[str | None],
    *,
    default: bool,
    everything: bool,
    vectors: bool,
) -> None:
    """Print the layers of a network.

    Args:
        network: With whatever weights.
        model: Its name.
        size: (H, W) of the images to come.
        wanted: The layers that a run would read, as ``layer=`` gives them.
        default: Whether these are the network's own choice.
        everything: Show every module, not only those with a name or those that ``layer=all`` reads.
        vectors: Whether a run reads vectors, for it only classifies.

    Raises:
        BackboneError: If there is no such layer, or the network cannot take such an image.
    """
    traced = trace_layers(network, size)
    read = _read(wanted, traced, model, vectors=vectors)
    rows = list(_rows(traced, size, model))
    named = (
        architecture(model).layers.values()
        or traced.names.values()
        or all_layers({}, traced, vectors=vectors)
    )
    among = {*traced} if everything else {*named, *read}
    shown = [row for row in rows if row.info.module_path in among]
    title = f"{model} on images of {size[0]} x {size[1]}"
    table = _table(shown, dict.fromkeys(read, "default" if default else "chosen"), title)
    console = LastWords()
    if not console.is_terminal:  # a file has no edge to cut at
        endless = console.options.update(max_width=1 << 16)
        console.width = console.measure(table, options=endless).maximum
    console.print(table)
    for line in _notes(network, traced, shown, [row for row in rows if row not in shown]):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _read(wanted: Sequence[str | None], traced: Trace, model: str, *, vectors: bool) -> list[str]:
    """Return the module paths that a run would read, as it would find them."""
    names = architecture(model).layers
    given = all_layers(names, traced, vectors=vectors) if list(wanted) == ["all"] else list(wanted)
    if given == [None] and (traced.fault or not any(info.is_map for info in traced.values())):
        return []  # the table says what there is to choose from
    found = [resolve_layer(name, names, traced, model, vectors=vectors)[1] for name in given]
    return [info.module_path for info in found]


def _rows(traced: Trace, size: Size, model: str) -> Iterator[Layer]:
    paths = {**traced.names, **architecture(model).layers}
    names = dict.fromkeys(paths, "") | {path: name for name, path in paths.items()}
    for path, info in traced.items():
        if info.shape is not None:
            wider, wider_size = traced.wider.get(path, info), traced.wider_size
            steps = stride(info, size, wider, wider_size) if info.is_map else None
            yield Layer(names.get(path, path), info, steps)


def _table(rows: Sequence[Layer], marks: Mapping[str, str], title: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column("layer= (module)", no_wrap=True)
    table.add_column("type", overflow="fold")
    for name in ("filters", "h x w", "stride"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("values", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        path = row.info.module_path
        name = path if path == row.name else f"{row.name} ({path})".strip()
        values = ">= 0" if row.info.rectified else "any sign"
        cells = [escape(name), row.info.kind, *row.cells, values, marks.get(path, "")]
        table.add_row(*cells, style="bold" if path in marks else None)
    return table


def _notes(
    network: nn.Module, traced: Trace, shown: Sequence[Layer], hidden: Sequence[Layer]
) -> Iterator[str]:
    """Say what cannot be read of the table, and what it leaves out."""
    given = {row.gives for row in shown}
    yield from (note for what, note in _NOTES.items() if what in given)
    if traced.fault:
        yield f"The network does not run to its end on such an image: {traced.fault}"
    if hidden:
        counts = Counter(row.gives for row in hidden)
        parts = [f"{words}: {counts[what]}" for what, words in _GIVES.items() if counts[what]]
        yield f"Hidden (show=all lists them): {', '.join(parts)}."
    idle = [path for path, _ in network.named_modules() if path and path not in traced]
    empty = [path for path, info in traced.items() if info.shape is None and not info.parts]
    if several := [path for path, info in traced.items() if info.parts]:
        path, key = several[-1], next(iter(traced[several[-1]].parts))
        yield f"Modules that give several tensors: {len(several)}. Name one, as layer={path}:{key}."
    if idle or empty:
        why = [
            *([f"{len(idle)} never called by the network"] if idle else []),
            *([f"{len(empty)} return no tensor"] if empty else []),
        ]
        yield f"Modules without output: {len(idle) + len(empty)} ({', '.join(why)})."
