"""What a page shows of concepts, of filters, and of the space of embeddings."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from net2vec_pl.analysis import clusters
from net2vec_pl.analysis.examples import choose, score_histogram
from net2vec_pl.analysis.space import cosines, unit_rows
from net2vec_pl.page.gallery import EMBEDDING, FILTER, UNSURE, Gallery
from net2vec_pl.records import Cell
from net2vec_pl.records.run import FilterRow
from net2vec_pl.records.studies import SubsetRow
from net2vec_pl.report.layer_page import ConceptView, Example, FilterView, Scores, Space
from net2vec_pl.studies.looks import vocabulary_of
from net2vec_pl.studies.study import Study

Bank: TypeAlias = Mapping[str, Float[np.ndarray, "K"]]  # embeddings by name of concept
_EXAMPLES, _WEIGHTS, _HELPED, _TOP_IMAGES, _BINS = 4, 10, 8, 6, 24
_PERCENTILES = (0, 25, 50, 75, 95, 100)
_SUFFIX = {"segmentation": "", "classification": "_classification"}  # of tables of analyses


@dataclass(frozen=True)
class Views:
    """Turn what is known of a layer into what its page shows.

    Args:
        study: The layer, after its analyses.
        seen: Val images.
        rows: What the tables say of every concept of the page.
    """

    study: Study
    seen: Gallery
    rows: Sequence[Mapping[str, Cell]]

    @cached_property
    def banks(self) -> dict[str, Bank]:
        """The embeddings of every target; one at least."""
        banks: dict[str, Bank] = {}
        if self.study.segmentation is not None:
            names = self.study.job.vocabulary.names
            weight = self.study.segmented.weight.double().numpy()
            banks["segmentation"] = dict(zip(names, weight, strict=True))
        if self.study.classification is not None:
            names = self.study.classified.images.vocabulary.names
            weight = self.study.classified.bank.weight[0].double().numpy()
            banks["classification"] = dict(zip(names, weight, strict=True))
        return banks

    def concepts(self) -> list[ConceptView]:
        """Return a view of every row's concept."""
        place = {name: c for c, name in enumerate(vocabulary_of(self.study)[0].names)}
        curves = defaultdict(list)
        for subset in self.study.table(SubsetRow, "subsets"):
            if np.isfinite(subset.retrained):
                curves[subset.name].append((subset.filters, subset.retrained))
        views = []
        for row in self.rows:
            name = str(row["name"])
            c, weights = place.get(name), self._largest_weights(name)
            if c is None:
                views.append(ConceptView(row, filters=weights))
            else:
                curve = curves[name]
                views.append(ConceptView(row, self._examples(c), self._scores(c), curve, weights))
        return views

    def _largest_weights(self, name: str) -> dict[str, list[tuple[int, float]]]:
        found = {}
        for target, bank in self.banks.items():
            weight = bank.get(name)
            if weight is not None and np.isfinite(weight).all():
                order = np.argsort(-np.abs(weight), kind="stable")[:_WEIGHTS]
                found[target] = [(int(k), float(weight[k])) for k in order]
        return found

    def _examples(self, concept: int) -> list[Example]:
        """Choose images that contain a concept, from the best segmented to the worst."""
        seen = self.seen
        if not seen.masks:
            return []
        pairs = np.flatnonzero(seen.concept == concept)
        ranked = pairs[np.argsort(-seen.iou[EMBEDDING][pairs], kind="stable")]
        at = np.linspace(0, len(ranked) - 1, min(len(ranked), _EXAMPLES)).round().astype(np.int64)
        return [
            Example(
                int(seen.image[pair]),
                {
                    name: masks[pair]
                    for name, masks in seen.masks.items()
                    if name != UNSURE or masks[pair].any()
                },
                "IoU: "
                + ", ".join(f"{name} {seen.iou[name][pair]:.2f}" for name in (EMBEDDING, FILTER)),
            )
            for pair in ranked[at]
        ]

    def _scores(self, concept: int) -> dict[str, Scores]:
        found = {}
        for name, of_all in self.seen.scores.items():
            scores = of_all[:, concept]
            if not np.isfinite(scores).any():  # no such direction
                continue
            sure = self.seen.sure[:, concept]
            present = self.seen.present[sure, concept]
            counts = score_histogram(scores[sure], present, _BINS)
            chosen = choose(scores, _PERCENTILES)
            pictures = zip(
                chosen.image.tolist(),
                chosen.percentile.tolist(),
                chosen.score.tolist(),
                strict=True,
            )
            found[name] = Scores(counts.edges, counts.present, counts.absent, list(pictures))
        return found

    def filters(self, table: Sequence[FilterRow]) -> list[FilterView]:
        """Return a view of every filter.

        Args:
            table: ``filters.csv``; empty if there is none.
        """
        here, weight = self._embedded(next(iter(self.banks.values())))
        units = unit_rows(weight)
        share = np.zeros_like(weight)
        share[units.index] = units.rows
        views = []
        for k, (of_filter, largest) in enumerate(zip(share.T, self.seen.largest.T, strict=True)):
            helped = np.argsort(-of_filter, kind="stable")[:_HELPED]
            top = np.argsort(-largest, kind="stable")[:_TOP_IMAGES]
            views.append(
                FilterView(
                    table[k].cells() if table else {"filter": k},
                    [(int(here[c]), float(of_filter[c])) for c in helped if of_filter[c] > 0],
                    [(int(i), float(largest[i])) for i in top if largest[i] != 0],
                )
            )
        return views

    def spaces(self) -> dict[str, Space]:
        """Return the space of every bank's embeddings."""
        return {target: self._space(target, bank) for target, bank in self.banks.items()}

    def _space(self, target: str, bank: Bank) -> Space:
        here, weight = self._embedded(bank)
        units, n = unit_rows(weight), len(self.rows)
        cosine, position = np.full((n, n), np.nan), np.full((n, 2), np.nan)
        cosine[np.ix_(here[units.index], here[units.index])] = cosines(units.rows)
        known = self.study.maps.get(_SUFFIX[target])
        layout = known or clusters.layout(weight, seed=self.study.seed)
        position[here] = layout.position
        return Space(cosine, position, layout.note or layout.reason)

    def _embedded(self, bank: Bank) -> tuple[np.ndarray, Float[np.ndarray, "V K"]]:
        """Return which of the page's concepts a bank has, and their embeddings."""
        names = [str(row["name"]) for row in self.rows]
        here = [c for c, name in enumerate(names) if name in bank]
        return np.array(here), np.array([bank[names[c]] for c in here])
