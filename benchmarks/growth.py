"""How the main job's time grows with images, concepts, layers and seeds: three sizes each."""

from rich.table import Table

from benchmarks.material import LAYER, Material
from benchmarks.rows import run_job

NETWORK_LAYERS = ["features.14.conv.0", "features.11.conv.0", "features.7.conv.0", "features.17"]


def table(m: Material) -> Table:
    """Run the job at each size, in a process of its own, and tabulate seconds and memory."""
    names = m.selection.vocabulary.names
    drawn = ["data=shapes", "data.image_size=224", "model=mobilenet_v2", "model.weights=null"]
    layer = f"layer={LAYER}"
    sizes = {
        "images": {n: [*drawn, layer, f"data.num_images={n}"] for n in (250, 500, 1000)},
        "concepts": {
            n: [*m.job, layer, f"data.names=[{','.join(names[:n])}]"] for n in (5, 10, len(names))
        },
        "layers": {n: [*m.job, f"layer=[{','.join(NETWORK_LAYERS[:n])}]"] for n in (1, 2, 4)},
        "seeds": {n: [*m.job, layer, f"seeds={n}"] for n in (1, 2, 4)},
    }
    result = Table("grows with", "three sizes", "seconds", "GiB")
    for what, options in sizes.items():
        costs = [run_job(chosen) for chosen in options.values()]
        result.add_row(
            what,
            ", ".join(map(str, options)),
            ", ".join(f"{seconds:.1f}" for seconds, _ in costs),
            ", ".join(f"{gib:.2f}" for _, gib in costs),
        )
    return result
