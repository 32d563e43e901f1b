"""What a layer's job works on: its own thresholds, bits, means and scales, and what it trains.

All is compared with what was planted, at two layers of which one has another order of filters.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.cli import run_cli
from support.planted_run import CONCEPTS, FILTERS, LATE, OPTIONS, draw, floor, write_world

from net2vec_pl import job as way
from net2vec_pl.activations import BankCounts, MemoryCache, fire, respond
from net2vec_pl.activations.disk_cache import DiskCache
from net2vec_pl.pipeline.layer import LayerJob, header_of, key_of
from net2vec_pl.probes import ConceptBank

Jobs = Callable[..., list[LayerJob]]
DRAWN = draw()
TRAIN, VAL = np.flatnonzero(DRAWN.is_train), np.flatnonzero(~DRAWN.is_train)
OF_LAYER = {"early": list(range(FILTERS)), "late": LATE}
CHOICES = ["layer=[early,late]", "loader.batch_size=10", "protocol.epochs=1", "seed=3"]
BEST = ["protocol=best", *OPTIONS, *CHOICES]
BITS = [*OPTIONS, *CHOICES]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    write_world(folder)
    return folder


@pytest.fixture(scope="module")
def jobs(world: Path) -> Jobs:
    """Return what starts a run and returns its layers' jobs, when the network has been asked."""
    known: dict[tuple[str, ...], list[LayerJob]] = {}

    def start(*options: str) -> list[LayerJob]:
        if options not in known:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(
                    way, "_layers", lambda found, *_: known.update({options: found}) or []
                )
                at = [f"data.root={world}/data", f"run.dir=run{len(known)}"]  # from here too
                assert run_cli(patch, world, *options, *at) == 0
        return known[options]

    return start


def planted(job: LayerJob) -> npt.NDArray[np.float64]:
    return DRAWN.activation[:, OF_LAYER[job.backbone.layer]]


def masks_of(job: LayerJob) -> npt.NDArray[np.bool_]:
    return DRAWN.masks[:, [list(CONCEPTS).index(name) for name in job.vocabulary.names]]


@pytest.mark.parametrize(
    "cache", ["cache=memory", "cache=device", "cache=disk", "cache=none", "cache.max_gib=1e-9"]
)
def test_a_layer_answers_with_its_own_thresholds_bits_and_masks(cache: str, jobs: Jobs) -> None:
    for job in jobs(*BITS, cache):
        filters, masks = OF_LAYER[job.backbone.layer], masks_of(job)
        assert job.activations.thresholds.tolist() == [floor(k) for k in filters]
        assert job.activations.scale is None
        assert job.activations.pooled is None
        stream = job.activations.stream
        kind = {"memory": MemoryCache, "device": MemoryCache, "disk": DiskCache}
        name = cache.removeprefix("cache=")
        assert isinstance(stream.source, kind.get(name, object))
        assert isinstance(stream.source, MemoryCache | DiskCache) == (name in kind)
        seen = []
        for split, rows in (("train", TRAIN), ("val", VAL)):
            for batch in stream.scoring_dataloader(stream.scored_rows[split]):
                row = batch.row.numpy()
                seen += row.tolist()
                assert np.isin(row, rows).all()
                fired = fire(job.backbone, job.activations.thresholds, batch).dense().numpy()
                np.testing.assert_array_equal(fired, DRAWN.fired[row][:, filters])
                truth = masks[row[batch.image.numpy()], batch.concept.numpy()]
                np.testing.assert_array_equal(batch.masks(slice(None)).numpy(), truth)
        assert sorted(seen) == list(range(len(DRAWN.fired)))


@pytest.mark.parametrize(("images", "rows"), [("all", slice(None)), ("train", TRAIN)])
def test_thresholds_are_quantiles_over_the_images_that_set_them(
    images: str, rows: Any, jobs: Jobs
) -> None:
    options = [o for o in BITS if not o.startswith("protocol.tau")]
    # Images without the one concept that is probed set thresholds too.
    few = [*options, "protocol.tau=0.02", f"protocol.threshold_images={images}", "data.names=[cup]"]
    for job in jobs(*few):
        assert set(job.activations.stream.pair_rows["train"]) < set(TRAIN)
        expected = np.quantile(planted(job)[rows], 0.98, axis=(0, 2, 3))
        np.testing.assert_allclose(job.activations.thresholds, expected, rtol=1e-5, atol=1e-6)
    late = jobs(*few)[1].activations.thresholds.numpy()
    other = np.quantile(DRAWN.activation[rows][:, LATE], 0.9, axis=(0, 2, 3))
    assert (late != other).any()


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_layer_has_means_and_scales_of_its_own(cache: str, jobs: Jobs) -> None:
    for job in jobs(*BEST, "target=both", f"cache={cache}"):
        roots = np.sqrt(planted(job))
        scale, pooled = job.activations.scale, job.activations.pooled
        assert scale is not None
        assert pooled is not None
        np.testing.assert_allclose(scale, roots.std((0, 2, 3)), rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(pooled, planted(job).mean((2, 3)), rtol=1e-5, atol=1e-7)
        stream = job.activations.stream
        for batch in stream.rows_dataloader(stream.pair_rows["train"]):
            answer = respond(job.backbone, batch).numpy()
            kept = planted(job)[batch.row.numpy()]
            np.testing.assert_allclose(answer, kept, rtol=1e-3, atol=1e-6)  # in half precision
        probe = job.probe(ConceptBank(job.initial_rows(0)))
        assert probe.scale.tolist() == scale.tolist()
        assert probe.thresholds.tolist() == job.activations.thresholds.tolist()


def test_scales_are_those_of_the_images_that_set_thresholds(jobs: Jobs) -> None:
    for job in jobs(*BEST, "protocol.threshold_images=train"):
        assert job.activations.scale is not None
        expected = np.sqrt(planted(job)[TRAIN]).std((0, 2, 3))
        np.testing.assert_allclose(job.activations.scale, expected, rtol=1e-4, atol=1e-7)
        assert job.activations.pooled is None


def test_what_only_classifies_has_means_and_no_scales(jobs: Jobs) -> None:
    for job in jobs(*BITS, "target=classification"):
        assert job.activations.scale is None
        assert job.activations.pooled is not None
        np.testing.assert_allclose(
            job.activations.pooled, planted(job).mean((2, 3)), rtol=1e-5, atol=1e-7
        )
        assert job.activations.thresholds.tolist() == [0.0] * len(OF_LAYER[job.backbone.layer])


def test_positive_pixels_weigh_by_the_share_they_leave(jobs: Jobs) -> None:
    for job in jobs(*BITS, "cache=memory"):
        masks = masks_of(job)[TRAIN]
        expected = [1 - m[m.any((1, 2))].mean() for m in masks.transpose(1, 0, 2, 3)]
        np.testing.assert_allclose(job.alpha, expected, rtol=1e-6)
        assert job.probe(ConceptBank(job.initial_rows(0))).alpha.tolist() == job.alpha.tolist()


def test_banks_start_from_draws_by_seed_concept_and_layer(jobs: Jobs) -> None:
    for job in jobs(*BITS, "cache=memory"):
        path, size = job.backbone.module_path, len(OF_LAYER[job.backbone.layer])
        for seed in (3, 4):
            rows = [
                np.random.default_rng([seed, CONCEPTS[name][0], crc32(path.encode())])
                for name in job.vocabulary.names
            ]
            expected = [r.uniform(-(size**-0.5), size**-0.5, size) for r in rows]
            np.testing.assert_allclose(job.initial_rows(seed), np.array(expected), rtol=1e-6)


def bank_of(job: LayerJob, *, seeds: int = 2) -> ConceptBank:
    rows = [job.initial_rows(seed) for seed in range(seeds)]
    return ConceptBank(torch.cat(rows), bias=job.setup.options.protocol.bias)


def test_a_bank_trained_beside_is_the_same_when_it_is_recalled(jobs: Jobs) -> None:
    job = jobs(*BEST, "target=both", "cache=memory")[1]
    made, recalled = (job.trained("beside", bank_of(job)) for _ in range(2))
    assert not made.tells_loss
    assert not torch.equal(made.bank.weight.cpu(), bank_of(job).weight)
    for name, value in made.state_dict().items():
        assert torch.equal(value, recalled.state_dict()[name]), name
    assert made.bank.bias is not None
    assert made.bank.bias.abs().sum() > 0
    assert made.alpha.tolist() != job.alpha.repeat(2).tolist()  # weighted by IoU
    counts, again = job.scored("scored", made), job.scored("scored", recalled)
    assert vars(counts).keys() == vars(again).keys()
    for name, value in vars(counts).items():
        assert torch.equal(value, vars(again)[name]), name
    assert counts.image.tolist() == sorted(counts.image.tolist())
    assert set(counts.image.tolist()) == set(VAL[masks_of(job)[VAL].any((1, 2, 3))].tolist())


def counted(job: LayerJob, weight: torch.Tensor) -> dict[tuple[int, int], tuple[int, int]]:
    """Count pixels of every val pair, for a bank on bits without a bias."""
    filters, masks, found = OF_LAYER[job.backbone.layer], masks_of(job), {}
    for row in VAL:
        for c in np.flatnonzero(masks[row].any((1, 2))):
            logit = np.tensordot(weight[c].double().numpy(), DRAWN.fired[row, filters], 1)
            inside = ((logit > 0) & masks[row, c]).sum()
            found[int(row), int(c)] = (int(inside), int(((logit > 0) | masks[row, c]).sum()))
    return found


def test_banks_are_scored_on_the_pairs_of_val_images(jobs: Jobs) -> None:
    for job in jobs(*BITS, "cache=memory"):
        bank = bank_of(job)
        counts: BankCounts = job.scored("untrained", job.probe(bank))
        for seed in (0, 1):
            pairs = zip(counts.image.tolist(), counts.concept.tolist(), strict=True)
            pixels = zip(
                counts.intersection[seed].tolist(), counts.union[seed].tolist(), strict=True
            )
            found = dict(zip(pairs, pixels, strict=True))
            assert found == counted(job, job.initial_rows(seed))
            assert len(found) == len(counts.image)


def test_banks_learn_from_the_images_they_are_given(jobs: Jobs) -> None:
    job = jobs(*BITS, "cache=memory")[0]
    source = job.activations.stream.source
    assert isinstance(source, MemoryCache)
    rows = job.activations.stream.pair_rows["train"]
    mixed = job.activations.stream.from_source(source.shuffled(rows, 0))
    own = job.trained("own", bank_of(job)).bank.weight
    others = job.trained("others", bank_of(job), mixed).bank.weight
    assert not torch.equal(own, others)


@pytest.mark.parametrize(("asked", "epochs"), [(None, 1), (7, 7)])
def test_a_probe_is_fitted_for_its_own_number_of_epochs(
    asked: int | None, epochs: int, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = jobs(*BITS, "cache=memory")[0]

    def stop(trainer: object, given: int, *_rest: object) -> None:
        raise InterruptedError(str(given))

    monkeypatch.setattr("net2vec_pl.pipeline.fitter.trainer_from", stop)
    fitter = job.fitter() if asked is None else job.fitter(epochs=asked)
    with pytest.raises(InterruptedError, match=f"^{epochs}$"):
        fitter.fit(job.probe(bank_of(job)), None)


def test_a_bank_says_what_it_belongs_to(jobs: Jobs) -> None:
    job = jobs(*BEST, "target=both", "cache=memory")[1]
    header = job.header
    assert header["layer"] == header["module_path"] == "late"
    assert header["activation_shape"] == [len(LATE), 12, 12]
    assert header["weights_digest"] == job.backbone.digest
    assert header["input_transform"]["image_size"] == header["data"]["mask_size"] == [12, 12]
    assert (header["tau"], header["seed"], header["seeds"]) == (0.3, 3, 1)
    assert header["protocol"]["name"] == "best"
    assert header["protocol"]["epochs"] == 1
    assert "tau = 0.3 (paper: 0.005)" in header["deviations"]
    assert header["data"]["digest"] == job.setup.scan.digest
    assert (header["data"]["readable"], header["data"]["unreadable"]) == (len(DRAWN.fired), 0)
    assert header["model"]["_target_"] == "support.planted_run.PlantedNetwork"
    assert header["versions"].keys() == {"net2vec_pl", "torch"}


def test_whatever_changes_results_changes_the_key_of_stages(jobs: Jobs) -> None:
    job, other_layer = jobs(*BITS, "cache=memory")
    setup, options = job.setup, job.setup.options
    protocol = options.protocol
    selection = setup.selection
    fewer = replace(selection, considered=selection.considered[1:])
    swapped = replace(
        selection,
        considered=tuple(
            replace(entry, concept=other.concept)
            for entry, other in zip(
                selection.probed, [*selection.probed[1:], selection.probed[0]], strict=True
            )
        ),
    )
    others = [
        *(
            replace(setup, options=replace(options, **change))
            for change in (
                {"batch_size": 11},
                {"seed": 4},
                {"seeds": 2},
                {"protocol": replace(protocol, tau=0.2)},
                {"protocol": replace(protocol, epochs=2)},
            )
        ),
        replace(setup, scan=replace(setup.scan, digest="other")),
        replace(setup, selection=fewer),
        replace(setup, selection=swapped),
    ]
    keys = [key_of(one, job.backbone) for one in (setup, *others)]
    keys.append(key_of(setup, other_layer.backbone))
    texts = {repr(key) for key in keys}
    assert len(texts) == len(keys)
    assert keys[0] == key_of(setup, job.backbone)
    # A newer PyTorch may finish what an older one began, and is told of in the bank.
    assert "torch" not in keys[0]["versions"]
    assert "torch" in header_of(setup, job.backbone)["versions"]
