"""Several layers from one pass over the images, against runs of one layer each."""

from collections.abc import Sequence

from benchmarks.material import Material
from benchmarks.rows import Row, run_job

# The ends of MobileNetV2's stages; the first, on a grid of 112 x 112, is the dearest alone.
LAYERS = [f"features.{n}" for n in (1, 3, 6, 13, 16, 18)]


def layer_rows(m: Material) -> list[Row]:
    """Scores of six layers, by ``experiment=layers``: all at once, and one after another."""
    options = ["experiment=layers", *m.job]

    def together() -> float:
        return run_job([*options, f"layer=[{','.join(LAYERS)}]"])[0]

    def alone(layer: str) -> float:
        return run_job([*options, f"layer={layer}"])[0]

    def by_main_job() -> float:
        return run_job([*m.job, f"layer={LAYERS[0]}"])[0]

    repeats = [(together(), alone(LAYERS[0]), by_main_job()) for _ in range(2)]
    six, dearest, main = zip(*repeats, strict=True)
    others = sum(alone(layer) for layer in LAYERS[1:])
    return [
        Row("six layers at once: the dearest alone", _ratios(six, dearest), (), "x", 1.5),
        Row("six layers at once: the main job at the dearest", _ratios(six, main), (), "x", None),
        Row("six layers at once: one after another", six, [d + others for d in dearest], "s", None),
    ]


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]
