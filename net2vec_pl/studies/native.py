"""How do the scores compare with published ones? mIoU on masks of another size."""

from net2vec_pl.report.native import native_means
from net2vec_pl.studies.study import Study

QUESTION = "How do the scores compare with published ones?"


def tell_native(study: Study) -> None:
    """Say the mIoU of every category, by every probe; nothing where the run has none.

    Args:
        study: The layer.
    """
    rows = study.segmented.native_rows
    means = native_means(rows) if rows else []
    for category, own in means[0].argmax.items() if means else ():
        images = next(row.n_annotated for row in rows if row.category == category)
        number = means[0].scored[category]
        scores = ", ".join(f"{mean.probe} {mean.argmax[category]:.3f}" for mean in means)
        study.find(
            QUESTION,
            f"mIoU of {category}, {means[0].probe}",
            own,
            number,
            f"mIoU of {category} on masks of {means[0].size}, where {number} concepts compete on "
            f"{images} val images: {scores}. docs/worth.md says what still differs from published "
            "linear probes.",
        )
