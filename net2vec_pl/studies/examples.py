"""What does a vector look at? Images all along its scores, and not only the ones it likes most."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.activations import respond
from net2vec_pl.analysis.examples import (
    Choice,
    Retrieval,
    choose,
    image_scores,
    retrieval,
    score_histogram,
)
from net2vec_pl.concepts import Concept
from net2vec_pl.data import ImageBatch
from net2vec_pl.data.batch import collate
from net2vec_pl.figures.examples import example_strip, recall_curves, score_histograms
from net2vec_pl.functional.balanced import LEAST_OF_A_CLASS
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.records.studies import ExampleRow, Retrieved
from net2vec_pl.studies.looks import check_concepts, chosen_concepts, directions, single_masks
from net2vec_pl.studies.question import Question
from net2vec_pl.studies.study import Study, middle_half

QUESTION = "What does a vector look at?"
_PERCENTILES = (0, 20, 40, 60, 80, 90, 100)
_EMBEDDING, _FILTER = "embedding", "best filter"


@dataclass(frozen=True)
class Examples(Question):
    """Leaves ``examples.csv``, and for some concepts images, histograms and curves of recall.

    Args:
        concepts: Concepts to look at; None for those that are segmented best.
    """

    name: ClassVar[str] = "examples"
    needs: ClassVar[tuple[str, ...]] = ("segmentation",)
    concepts: tuple[str, ...] | None = None

    def check(self, setup: Setup) -> None:
        """Refuse concepts that are not probed."""
        check_concepts(self.concepts, setup)

    def run(self, study: Study) -> None:
        """Score every val image along every direction."""
        job = study.job
        rows = job.setup.scan.readable
        val = rows[~job.setup.reader.is_train[rows]]
        embedding, single = directions(study)
        scores = _scores(study, val, torch.cat([embedding, single]))
        found = {_EMBEDDING: scores[:, : len(embedding)], _FILTER: scores[:, len(embedding) :]}
        index = job.activations.stream.index
        present = index.present(val)
        # An image that may or may not contain a concept is left out.
        sure = present | index.absent(val)
        ranked = {
            name: [
                retrieval(values[sure[:, c], c], present[sure[:, c], c])
                for c in range(len(job.vocabulary))
            ]
            for name, values in found.items()
        }
        study.write(
            [
                _row(concept, {name: results[c] for name, results in ranked.items()})
                for c, concept in enumerate(job.vocabulary)
            ],
            "examples",
        )
        best = study.segmented.scores[0].val.tolist()
        for c in chosen_concepts(self.concepts, job.vocabulary.names, best):
            of_concept = {name: values[:, c] for name, values in found.items()}
            of_sure = {name: values[sure[:, c]] for name, values in of_concept.items()}
            results = {n: r[c] for n, r in ranked.items()}
            _draw_scores(study, c, of_sure, results, present[sure[:, c], c])
            _draw_images(study, c, choose(of_concept[_EMBEDDING], _PERCENTILES), val)
        aucs = {n: np.array([r.auc for r in results]) for n, results in ranked.items()}
        positives, negatives = present.sum(0), (sure & ~present).sum(0)
        _tell(study, aucs, np.minimum(positives, negatives) >= LEAST_OF_A_CLASS)


def _scores(study: Study, val: np.ndarray, vectors: Float[Tensor, "D K"]) -> np.ndarray:
    """Score every val image along every direction, on raw activations, once."""
    job = study.job
    device = job.setup.device

    def ask() -> dict[str, Tensor]:
        scores = torch.zeros(len(val), len(vectors), device=device)
        place = torch.zeros(int(val.max()) + 1, dtype=torch.int64)
        place[torch.from_numpy(val)] = torch.arange(len(val))
        batches = job.setup.progress("scores of images")(job.setup.stream.rows_dataloader(val))
        for batch in batches:
            batch = batch.to(device)
            activation = respond(job.backbone, batch)
            scores[place[batch.row.cpu()].to(device)] = image_scores(activation, vectors.to(device))
        return {"scores": processes.sum_over(scores)}

    scored: np.ndarray = job.stages.once("image-scores", ask)["scores"].numpy()
    return scored


def _row(concept: Concept, results: dict[str, Retrieval]) -> ExampleRow:
    embedding, single = results[_EMBEDDING], results[_FILTER]
    return ExampleRow(
        concept.name,
        concept.category,
        embedding.positives,
        embedding=_retrieved(embedding),
        best_filter=_retrieved(single),
    )


def _retrieved(result: Retrieval) -> Retrieved:
    n = result.positives
    recall = float(result.recall[n - 1]) if n else np.nan  # among as many images as have it
    return Retrieved(recall, result.auc, result.status)


def _tell(study: Study, aucs: dict[str, np.ndarray], enough: np.ndarray) -> None:
    """Say how much better embeddings find images of concepts that have enough."""
    both = enough & np.isfinite(aucs[_EMBEDDING]) & np.isfinite(aucs[_FILTER])
    if not both.any():
        return
    mean = {name: float(values[both].mean()) for name, values in aucs.items()}
    lead = (aucs[_EMBEDDING] - aucs[_FILTER])[both]
    study.find(
        QUESTION,
        "lead of embeddings in the ROC AUC of image scores",
        float(lead.mean()),
        int(both.sum()),
        f"The score of an image (largest response anywhere, raw activations) tells images with "
        f"the concept from others with a mean ROC AUC of {mean[_EMBEDDING]:.3f}, that of the "
        f"best single filter with {mean[_FILTER]:.3f}: a lead of "
        f"{lead.mean():.3f} over {int(both.sum())} concepts with at least {LEAST_OF_A_CLASS} val "
        f"images each with and without them ({middle_half(lead)}).",
    )


def _draw_scores(
    study: Study,
    concept: int,
    scores: dict[str, np.ndarray],
    results: dict[str, Retrieval],
    present: np.ndarray,
) -> None:
    name = study.job.vocabulary.names[concept]
    histograms = {key: score_histogram(values, present) for key, values in scores.items()}
    counts = {k: (h.edges, h.present, h.absent) for k, h in histograms.items()}
    found = {k: r.found for k, r in results.items()}
    study.draw(f"scores_{_slug(name)}", score_histograms, counts, name)
    study.draw(f"recall_{_slug(name)}", recall_curves, found, int(present.sum()), name)


def _draw_images(study: Study, concept: int, chosen: Choice, val: np.ndarray) -> None:
    if not len(chosen.image) or not processes.is_first():
        return
    name = study.job.vocabulary.names[concept]
    images, masks, truth, unsure = _masks(study, concept, val[chosen.image])
    captions = [
        f"{percentile:.0f} %: {score:.2f}"
        for percentile, score in zip(chosen.percentile, chosen.score, strict=True)
    ]
    title = f"{name}, by percentile of its score"
    study.draw(
        f"examples_{_slug(name)}", example_strip, images, masks, captions, title, truth, unsure
    )


def _masks(
    study: Study, concept: int, rows: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return images, masks of the embedding and the best filter, ground truth, what is unknown."""
    job = study.job
    reader = job.setup.reader
    samples = [reader[row] for row in rows.tolist()]
    size = reader.image_size, reader.mask_size
    batch = collate(rows.tolist(), samples, job.setup.stream.index, *size)
    number = int(job.vocabulary.numbers[concept])
    truth = (batch.label_maps == number).any(1).numpy()
    about = batch.about(concept)
    known = about.known(slice(None))
    unsure = np.zeros_like(truth) if known is None else ~(known.numpy() | truth)
    asked = about.to(job.setup.device)
    assert isinstance(asked, ImageBatch)
    activation = respond(job.backbone, asked)
    masks = {
        _EMBEDDING: study.segmented.probe.masks(asked).cpu().numpy(),
        _FILTER: single_masks(study, activation, asked.image, asked.concept).cpu().numpy(),
    }
    return batch.images.numpy(), masks, truth, unsure


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)
