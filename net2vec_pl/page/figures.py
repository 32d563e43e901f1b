"""The figures of the analyses, as a page shows them."""

from pathlib import Path
from tempfile import TemporaryDirectory

from net2vec_pl.figures.style import save_figure
from net2vec_pl.report.page import PageFigure
from net2vec_pl.studies.study import Study

# Name of a figure, or how it begins where there is one of every concept.
_TITLES = {
    "levels": "Probes beside reference levels",
    "intervals": "Combinations and single filters, with intervals",
    "filter_curve": "Score over the number of filters",
    "filters_needed": "Concepts for which a number of filters is enough",
    "closed_form_curves": "LDA over the number of filters",
    "causal_doses": "What rises where a concept is put in",
    "causal_matrix": "What falls where a concept is taken out",
    "causal_pictures": "Before and after a concept is taken out",
    "learning_curve": "LDA over the number of train images",
    "concepts_per_filter": "Concepts that share a best filter",
    "filter_overlap": "Filters that two concepts have in common",
    "failures": "Where the single filter does better",
    "map_tsne": "Map of embeddings (t-SNE)",
    "map_umap": "Map of embeddings (UMAP)",
    "similarity": "Cosines of embeddings",
    "tree": "Tree of embeddings",
    "category_matrix": "Categories among nearest concepts",
    "comparisons": "Embeddings against other knowledge",
    "scores": "Scores of images",
    "recall": "Recall",
    "examples": "Images by percentile",
    "synthesis": "Synthesised images",
}


def page_figures(study: Study) -> list[PageFigure]:
    """Load the figures of a study; draw them anew where the run has left no files.

    Args:
        study: The layer, after its analyses.
    """
    if (folder := study.job.folder / "figures").is_dir():
        return [page_figure(folder, name) for name in study.figures]
    with TemporaryDirectory() as drawn:
        for name, draw in study.figures.items():
            save_figure(draw(), Path(drawn), name)
        return [page_figure(Path(drawn), name) for name in study.figures]


def page_figure(folder: Path, name: str) -> PageFigure:
    """Load a figure, with a title in words.

    Args:
        folder: With the figures.
        name: Name of the figure.
    """
    title = title_of(name)
    return PageFigure.load(
        folder, name, title, f"{title}; the tables in analysis/ have its numbers"
    )


def title_of(name: str) -> str:
    """Say in words what a figure shows.

    Example:
        >>> title_of("map_tsne_classification"), title_of("examples_sky")
        ('Map of embeddings (t-SNE): classification', 'Images by percentile: sky')
    """
    known = [start for start in _TITLES if name == start or name.startswith(f"{start}_")]
    if not known:
        return name.replace("_", " ")
    start = max(known, key=len)
    rest = name.removeprefix(start).strip("_").replace("_", " ")
    return f"{_TITLES[start]}: {rest}" if rest else _TITLES[start]
