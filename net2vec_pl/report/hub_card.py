"""``README.md`` of a bank on the Hugging Face Hub: its card, headed by what the Hub indexes."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from net2vec_pl.errors import ConfigError
from net2vec_pl.probes import BankFile
from net2vec_pl.records import Record
from net2vec_pl.report.card import card_text
from net2vec_pl.report.probes import nan_mean

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_TAGS = ("net2vec", "interpretability", "concept-embeddings")
# Column of the table -> type and name of the metric; the first says which concepts are scored.
_SEGMENTATION = {
    "multi_val": ("set_iou", "Set IoU, mean over concepts"),
    "ap_val": ("average_precision", "Average precision of pixels, mean over concepts"),
}
_CLASSIFICATION = {
    "accuracy": ("balanced_accuracy", "Balanced accuracy, mean over concepts"),
    "ap": ("average_precision", "Average precision, mean over concepts"),
    "auc": ("roc_auc", "ROC AUC, mean over concepts"),
}


def hub_card(
    bank: BankFile,
    repo: str,
    table: Sequence[Record] = (),
    controls: Sequence[str] = (),
    native: Sequence[str] = (),
    *,
    license: str | None = None,
) -> str:
    """Return the model card of a bank: front matter, then the text of ``bank.md``.

    The front matter says only what the bank knows. Networks are named by torchvision's names, not
    by repositories of the Hub, so that the network is a tag and ``base_model`` is left out. The
    dataset is named as one of the Hub where its name reads ``owner/name``, else it is a tag.

    Args:
        bank: The bank.
        repo: ``owner/name`` of the repository that it is put into.
        table: See :func:`~net2vec_pl.report.card_text`; its means become the ``model-index``.
        controls: See :func:`~net2vec_pl.report.card_text`.
        native: See :func:`~net2vec_pl.report.card_text`.
        license: A license that the Hub knows, such as ``"mit"``; none is stated if None.

    Raises:
        ConfigError: If huggingface_hub is missing (the extra ``hub``).
    """
    try:
        from huggingface_hub import ModelCardData
    except ImportError as error:
        raise ConfigError(
            f"the Hub needs huggingface_hub ({error}): pip install 'net2vec_pl[hub]'."
        ) from error
    data = bank.header["data"]["name"]
    on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", data) is not None
    tags = [*_TAGS, bank.header["model"]["name"], *([] if on_hub else [data])]
    results = _results(bank, table)
    front = ModelCardData(
        library_name="net2vec_pl",
        license=license,
        datasets=[data] if on_hub else None,
        tags=tags,
        pipeline_tag=_task(bank),
        model_name=repo.rpartition("/")[2] if results else None,
        eval_results=results or None,
    )
    text = card_text(bank, f"hf://{repo}", table, controls, native)
    return f"---\n{front.to_yaml()}\n---\n\n{text}"


def _task(bank: BankFile) -> str:
    return "image-segmentation" if bank.segments else "image-classification"


def _results(bank: BankFile, table: Sequence[Record]) -> "list[EvalResult]":
    """Average every score over the concepts that have the first, as the card does."""
    from huggingface_hub import EvalResult

    metrics = _SEGMENTATION if bank.segments else _CLASSIFICATION
    first = next(iter(metrics))
    rows = [record.cells() for record in table]
    scored = [row for row in rows if math.isfinite(float(row[first]))]
    data = bank.header["data"]["name"]
    means = {column: nan_mean(float(row[column]) for row in scored) for column in metrics}
    return [
        EvalResult(
            task_type=_task(bank),
            dataset_type=data,
            dataset_name=data,
            dataset_split="val",
            metric_type=metrics[column][0],
            metric_name=metrics[column][1],
            metric_value=round(mean, 3),
        )
        for column, mean in means.items()
        if math.isfinite(mean)
    ]
