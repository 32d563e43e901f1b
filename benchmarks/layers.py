"""Several layers from one pass over the images, against runs of one layer each."""

from benchmarks.material import Material
from benchmarks.rows import Row, run_job

# The ends of MobileNetV2's stages; the first, on a grid of 112 x 112, is the dearest alone.
LAYERS = [f"features.{n}" for n in (1, 3, 6, 13, 16, 18)]


def layer_rows(m: Material) -> list[Row]:
    """Scores of six layers, by ``experiment=layers``: all at once, and one after another."""
    options = [
        "experiment=layers",
        "data=broden",
        f"data.root={m.root}",
        "model=mobilenet_v2",
        f"model.weights={'null' if m.weights is None else m.weights}",
    ]

    def together() -> float:
        return run_job([*options, f"layer=[{','.join(LAYERS)}]"])[0]

    def alone(layer: str) -> float:
        return run_job([*options, f"layer={layer}"])[0]

    six, dearest = zip(*((together(), alone(LAYERS[0])) for _ in range(3)), strict=True)
    others = sum(alone(layer) for layer in LAYERS[1:])
    ratios = [both / one for both, one in zip(six, dearest, strict=True)]
    return [
        Row("six layers at once: the dearest of them alone", ratios, (), "x", 1.5),
        Row("six layers at once: one after another", six, [d + others for d in dearest], "s", None),
    ]
