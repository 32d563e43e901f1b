"""``classification.csv`` and its bank: trained once more, scored with scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from support.classified import best_of, gain_finding, single_of
from support.group_pairs import group_pairs
from support.planted_run import CONCEPTS, FILTERS, LATE, Drawn, PlantedImages, draw
from support.planted_variants import NETWORK, MixedLayer
from support.relearned import CATEGORIES, NAMES, NUMBERS, Classifier, Layer, Pooled
from support.tables import check_table

from net2vec_pl.formats.broden_writer import write_broden
from net2vec_pl.functional.balanced import LEAST_OF_A_CLASS
from proofs.conftest import FEW, Make, PlantedRun


def scores(pooled: Pooled, name: str, classifier: Classifier, prefix: str = "") -> dict[str, float]:
    """Return the five scores of a classifier, as columns.

    Of the planted categories only scenes are not annotated throughout: where a scene is labelled.
    """
    ap, auc = pooled.ranking(name, classifier)
    scene = CONCEPTS[name][1] == "scene"
    return {
        f"{prefix}accuracy": pooled.accuracy(name, classifier),
        f"{prefix}ap": ap,
        f"{prefix}auc": auc,
        f"{prefix}ap_annotated": np.nan if scene else ap,
        f"{prefix}auc_annotated": np.nan if scene else auc,
    }


def check_classification(run: PlantedRun, layer: Layer, seed: int) -> None:
    """Compare a run's table with classifiers that are trained here."""
    pooled = Pooled(layer)
    best, expected = best_of(pooled), []
    for c, name in enumerate(NAMES):
        present = layer.drawn.present[:, c]
        every = pooled.learn(name, seed)
        top = int(np.abs(every.weight).argmax())
        alone = pooled.learn(name, seed, np.arange(len(every.weight)) == top)
        k = int(best.filter[c])
        single = single_of(best, c, len(every.weight))
        expected.append(
            {
                "id": NUMBERS[c],
                "name": name,
                "category": CATEGORIES[c],
                "n_train": int(present[layer.drawn.is_train].sum()),
                "n_val": int(present[~layer.drawn.is_train].sum()),
                "n_val_without": int((~present)[~layer.drawn.is_train].sum()),
                "n_val_annotated": 0
                if name == "park-s"
                else int((~present)[~layer.drawn.is_train].sum()),
                "top_filter": top,
                "best_filter": k,
                **scores(pooled, name, every),
                **scores(pooled, name, alone, "top_"),
                **scores(pooled, name, single, "best_"),
                "norm": float(np.linalg.norm(every.weight)),
                "status": "no annotated val images without it" if name == "park-s" else "ok",
            }
        )
    check_table(run.table("classification"), expected, within=1e-6)


def test_every_concept_is_classified_as_well_as_it_is_by_itself(
    mixed: PlantedRun, mixed_layer: Layer
) -> None:
    check_classification(mixed, mixed_layer, seed=3)


def test_every_layer_is_classified_by_its_own_filters(
    run: PlantedRun, two_layers: PlantedRun
) -> None:
    check_classification(run, Layer(run.drawn), seed=0)
    late = PlantedRun(two_layers.folder / "late", two_layers.drawn)
    check_classification(late, Layer(late.drawn, "late", LATE), seed=0)


def test_the_bank_of_classifiers_has_those_of_every_seed(
    mixed: PlantedRun, mixed_layer: Layer
) -> None:
    pooled, bank = Pooled(mixed_layer), mixed.classifiers
    assert bank.other_seeds is not None
    assert bank.other_biases is not None
    assert bank.bias is not None
    assert bank.other_seeds.shape == (1, len(NAMES), FILTERS)
    for c, name in enumerate(NAMES):
        first, other = (pooled.learn(name, seed) for seed in (3, 4))
        assert bank.weight[c].numpy() == pytest.approx(first.weight, abs=1e-5)
        assert bank.other_seeds[0, c].numpy() == pytest.approx(other.weight, abs=1e-5)
        biases = [float(bank.bias[c]), float(bank.other_biases[0, c])]
        assert biases == pytest.approx([first.bias, other.bias], abs=1e-5)
    assert bank.vocabulary.names == NAMES
    assert bank.alpha.tolist() == [0.5] * len(NAMES)
    assert bank.threshold.tolist() == mixed.bank.threshold.tolist()
    assert bank.scale is None


def test_embeddings_are_set_against_the_best_filter_of_all(run: PlantedRun) -> None:
    expected = gain_finding(Pooled(Layer(run.drawn)), seed=0)
    check_table([run.finding(expected["measure"])], [expected])
    assert expected["low"] > 0


# -------------------- enough images, of films

FILMS = ("t0", "t1", "v0", "v1", "v2")


@pytest.fixture(scope="module")
def films(make_run: Make, tmp_path_factory: pytest.TempPathFactory) -> PlantedRun:
    """Train and val images have changed places, and are of films: one is of images with a cup."""
    drawn = draw()
    drawn = replace(drawn, is_train=~drawn.is_train)
    reader = PlantedImages(drawn)
    reader.image_names = [f"{FILMS[film]}_{n:02d}.png" for n, film in enumerate(film_of(drawn))]
    data = tmp_path_factory.mktemp("data") / "films"
    write_broden(reader, data)
    made = make_run(
        "films",
        f"data.root={data}",
        "data.group='^([^_]+)_'",
        NETWORK,
        "layer=mixed",
        "target=classification",
        "protocol.tau=0.5",
        "seed=3",
        "analysis.names=[space]",
        *FEW,
        least=LEAST_OF_A_CLASS,
    )
    return PlantedRun(made.folder, drawn)


def film_of(drawn: Drawn) -> list[int]:
    """Return the film of each image: train has two, val three."""
    cup = drawn.present[:, NAMES.index("cup")].tolist()
    split = drawn.is_train.tolist()
    return [n % 2 if split[n] else 2 if cup[n] else 3 + n % 2 for n in range(len(cup))]


def test_a_class_of_fewer_than_ten_val_images_is_not_judged(films: PlantedRun) -> None:
    rows, pooled = films.concepts("classification"), Pooled(MixedLayer(films.drawn, "mixed"))
    val = films.drawn.present[~films.drawn.is_train]
    judged = [name for name in NAMES if name != "fin"]
    for c, name in enumerate(NAMES):
        row, n = rows[name], int(val[:, c].sum())
        assert (int(row["n_val"]), int(row["n_val_without"])) == (n, 28 - n)
        assert (min(n, 28 - n) >= 10) == (name in judged)
        if name in judged:
            accuracy = pooled.accuracy(name, pooled.learn(name, 3))
            assert float(row["accuracy"]) == pytest.approx(accuracy)
    fin = rows["fin"]
    assert fin["status"] == "4 val images with it, 10 are needed"
    columns = [c for c in fin if c.endswith(("accuracy", "ap", "auc", "annotated"))]
    assert len(columns) == 18
    assert {fin[c] for c in columns if c != "n_val_annotated"} == {"nan"}
    assert fin["norm"] != "nan"  # it has a classifier all the same
    park = rows["park-s"]
    assert park["status"] == "no annotated val images without it, 10 are needed"
    assert (park["n_val_annotated"], park["auc_annotated"]) == ("0", "nan")
    card = (films.folder / "classification.md").read_text()
    assert "* 1 without scores: 4 val images with it, 10 are needed" in card


def test_what_films_alone_give_stands_beside_the_classifiers(films: PlantedRun) -> None:
    rows, drawn = films.concepts("classification"), films.drawn
    judged, film = [name for name in NAMES if name != "fin"], film_of(drawn)
    assert {rows["fin"][column] for column in ("group_auc", "group_accuracy")} == {"nan"}
    areas = {}
    for name in judged:
        present = drawn.present[:, NAMES.index(name)].tolist()
        found = group_pairs([*zip(film, drawn.is_train.tolist(), present, strict=True)])
        row = rows[name]
        assert [float(row["group_auc"]), float(row["group_accuracy"])] == pytest.approx(found)
        areas[name] = (float(row["auc"]), found[0])
    assert areas["cup"][1] == areas["park-s"][1] == 1  # a film of its own
    said = f"The group of an image alone has a mean AUC of {np.mean([*areas.values()], 0)[1]:.3f}."
    above = sum(mine > group for mine, group in areas.values())
    mine, group = np.mean([*areas.values()], axis=0)
    statement = (
        f"Classifiers rank images better than the group of an image alone does for {above} of 7 "
        f"concepts: mean ROC AUC {mine:.3f} against {group:.3f}, which is what the share of a "
        "group's other images that carry the concept gives."
    )
    told = films.finding("concepts that are classified better than by the image's group")
    assert (told["statement"], float(told["value"]), told["n"]) == (statement, above, "7")
    assert statement in (films.folder / "findings.md").read_text()
    assert f"has at least 12 val images with it and as many without. {said}" in films.console
    val = [n - 2 for n, is_train in zip(film, drawn.is_train, strict=True) if not is_train]
    expected = gain_finding(Pooled(MixedLayer(drawn, "mixed")), 3, judged, val)
    check_table([films.finding(expected["measure"])], [expected])
    assert expected["low"] < expected["value"] != 0


def test_without_groups_nothing_is_said_of_them(run: PlantedRun) -> None:
    assert not [c for c in run.table("classification")[0] if "group" in c]
    assert "group of an image" not in (run.folder / "findings.md").read_text()
    assert "group of an image" not in run.console
