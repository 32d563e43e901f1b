"""How a layer's page was made: everything that another try needs to know."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from net2vec_pl.data import Selection
from net2vec_pl.errors import shorten
from net2vec_pl.studies.study import Study
from net2vec_pl.units import told

Made = dict[str, str | Sequence[str]]


def how_made(study: Study, shown: int) -> Made:
    """Say what the layer's numbers depend on, and what was left out.

    Args:
        study: The layer.
        shown: Val images on the page.
    """
    job = study.job
    setup, header = job.setup, job.header
    number, h, w = job.backbone.shape
    words = told(job.backbone.units.plain, number)
    what = words or f"{number} filters"
    reader, rows = setup.reader, setup.scan.readable
    train = int(reader.is_train[rows].sum())
    transform = header["input_transform"]
    height, width = reader.image_size
    versions = header["versions"]
    layer, path = job.backbone.layer, job.backbone.module_path
    return {
        "network": f"{header['model']['name']}, weights {header['model']['weights'] or 'random'} "
        f"(digest {header['weights_digest']})",
        "layer": f"{layer}{f' ({path})' if path != layer else ''}: {what} on a grid of {h} x {w}",
        **({"units": f"{words} in place of filters, and called so"} if words else {}),
        "input": f"{height} x {width} pixels, scaled as {transform['name']}",
        "data": f"{reader.name}: {train} train and {len(rows) - train} val images (digest "
        f"{setup.scan.digest}), masks {reader.mask_size[0]} x {reader.mask_size[1]}",
        "protocol": f"{header['protocol']['name']}, tau {header['tau']:g}",
        "deviates from the paper": header["deviations"] or "nowhere",
        "left out": _left_out(study),
        "on this page": f"{shown} of {len(rows) - train} val images; scores, percentiles and top "
        "images are of these, set IoU and all tables of all",
        "seeds": shorten(str(seed) for seed in setup.seeds),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "device": str(setup.device),
        "when": f"{datetime.now():%Y-%m-%d %H:%M}",
        "run folder": str(setup.folder) if setup.options.draw else "none was kept",
    }


def _left_out(study: Study) -> list[str]:
    setup = study.job.setup
    left = [
        f"{target}: {number} concepts, {reason}"
        for target, selection in zip(setup.options.targets, _selections(study), strict=True)
        for reason, number in Counter(e.status.split(":")[0] for e in selection.dropped).items()
    ]
    if setup.scan.unreadable:
        left.append(f"{len(setup.scan.unreadable)} unreadable images; skipped.csv lists them")
    return left or ["nothing"]


def _selections(study: Study) -> list[Selection]:
    setup = study.job.setup
    first = [setup.selection] if "segmentation" in setup.options.targets else []
    return [*first, *([setup.classified] if setup.classified is not None else [])]
