"""A bank that lacks something ends in one message as it is loaded, never in a bare KeyError."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.banks import ABSENT, edit_header, fields_of, made_up_header, put
from support.cli import run_cli
from support.fake_data.runs import write_run
from torch import Tensor

from net2vec_pl import load_bank
from net2vec_pl.compare.entry import read_entries
from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.errors import Net2VecError, RunFolderError
from net2vec_pl.inference import Bank
from net2vec_pl.probes import BankFile
from net2vec_pl.protocol import Protocol

MEANING = "The file is damaged, was edited, or was not written by a run of net2vec_pl."
# What older versions did not write.
NEWER = {
    "model.scaling", "deviations", "data.unreadable", "seeds", "versions.torch", "target",
    "protocol.threshold_order", "protocol.denominator", "protocol.input", "protocol.weighting",
    "protocol.optimizer", "protocol.lr_decay", "protocol.lr_scaling", "protocol.weight_decay",
    "protocol.precision", "protocol.classification", "protocol.probe", "protocol.calibrate",
    "protocol.shrinkage", "protocol.own_covariance",
}  # fmt: skip
FIELDS = fields_of(made_up_header(3))
IN_CLASSIFICATION = [field for field in FIELDS if field.startswith("protocol.classification.")]
SKY, SEA = (Concept(n, name, "object", ("object",), True) for n, name in ((1, "sky"), (2, "sea")))


def bank(**header: Any) -> BankFile:
    return BankFile(
        weight=torch.tensor([[1.0, 2, 3], [3, 2, 1]]),
        threshold=torch.zeros(3),
        alpha=torch.full((2,), 0.5),
        bias=None,
        vocabulary=Vocabulary([SKY, SEA]),
        header=made_up_header(3, **header),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    bank().save(tmp_path / "bank.safetensors")
    return tmp_path / "bank.safetensors"


def refused(path: Path) -> str:
    """Return why a bank cannot be used, after the name of its file and before what that means."""
    with pytest.raises(RunFolderError) as error:
        load_bank(path)
    found = re.fullmatch(rf"bank {re.escape(str(path))} cannot be used: (.*)", str(error.value))
    assert found is not None, error.value
    assert found[1].endswith(f". {MEANING}")
    return found[1].removesuffix(f". {MEANING}")


@pytest.mark.parametrize("field", [f for f in FIELDS if f not in {*NEWER, *IN_CLASSIFICATION}])
def test_a_field_that_is_not_there_is_named(field: str, path: Path) -> None:
    edit_header(path, lambda header: put(header, field), path)
    assert refused(path).startswith(f"its header has no {field}, which must be ")


@pytest.mark.parametrize("field", [*sorted(NEWER), *IN_CLASSIFICATION])
def test_a_bank_of_an_older_version_lacks_what_came_later(field: str, path: Path) -> None:
    edit_header(path, lambda header: put(header, field), path)
    loaded = load_bank(path)
    assert loaded.segments
    assert loaded.protocol == Protocol()


@pytest.mark.parametrize("field", ["number", "name", "category", "categories", "pixels"])
def test_a_field_of_a_concept_that_is_not_there_is_named(field: str, path: Path) -> None:
    edit_header(path, lambda header: header["vocabulary"][1].pop(field) and None, path)
    place = "concept 1 of the vocabulary in its header"
    assert refused(path).startswith(f"{place} has no {field}, which must be ")


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("model", "vgg16", "model in its header is 'vgg16', but must be a group of fields"),
        ("model.name", "", "model.name in its header is '', but must be a name"),
        ("model.weights", 3, "is 3, but must be a name or file of weights, or null"),
        ("model._target_", ["net"], "is ['net'], but must be an import path, or null"),
        ("model.kwargs", [], "is [], but must be a group of fields, or null"),
        ("model.seed", -1, "is -1, but must be a whole number from 0 to 4294967295"),
        ("weights_digest", None, "is None, but must be the digest of the network's weights"),
        ("activation_shape", [3, 4], "but must be three whole numbers from 1: filters, height"),
        ("activation_shape", [3, 4, 0], "is [3, 4, 0], but must be three whole numbers from 1"),
        ("input_transform.mean", [0.5, 0.5], "is [0.5, 0.5], but must be three numbers"),
        ("input_transform.mean", [0.5, float("nan"), 1], "but must be three numbers"),
        ("input_transform.std", [1, 0, 1], "is [1, 0, 1], but must be three numbers above 0"),
        ("input_transform.image_size", [16.0, 16.0], "but must be two whole numbers from 1"),
        ("tau", 1, "tau in its header is 1, but must be a number above 0 and below 1"),
        ("protocol.tau", "x", "cannot be read: protocol.tau=x must be a number"),
        ("protocol.lr", 10**400, "the protocol in its header cannot be read: "),
        ("protocol.input", "bit", "cannot be read: unknown value of protocol.input 'bit'"),
        ("protocol.newest", 1, "cannot be read: unknown option of protocol 'newest'"),
        ("data.mask_size", [8], "is [8], but must be two whole numbers from 1: height, width"),
        ("data.readable", True, "data.readable in its header is True, but must be a number of"),
        ("seed", 1 << 32, "is 4294967296, but must be a whole number from 0 to 4294967295"),
        ("seeds", 0, "is 0, but must be a whole number from 1"),
        ("versions.torch", 2, "versions in its header is {'net2vec_pl': '0', 'torch': 2}, but"),
        ("target", "segment", "is 'segment', but must be segmentation or classification"),
        ("deviations", "none", "is 'none', but must be a list of sentences"),
        ("vocabulary", {}, "vocabulary in its header is {}, but must be a list of concepts"),
        ("vocabulary", ["sky"], "concept 0 of the vocabulary in its header is 'sky', but must be"),
        ("vocabulary", [], "tensor weight is 2 x 3, but must be 0 x 3, of 0 concepts"),
        ("layer", "x" * 99, None),
    ],
)
def test_a_field_of_another_kind_is_named_with_what_it_is(
    field: str, value: Any, fault: str | None, path: Path
) -> None:
    edit_header(path, lambda header: put(header, field, value), path)
    if fault is None:
        assert load_bank(path).header[field] == value
    else:
        assert fault in refused(path)


@pytest.mark.parametrize(("key", "value"), [("name", "sky"), ("number", 1)])
def test_two_concepts_of_one_name_are_refused(key: str, value: Any, path: Path) -> None:
    edit_header(path, lambda header: header["vocabulary"][1].update({key: value}), path)
    assert refused(path) == f"two concepts of the vocabulary in its header have the same {key}"


WHERE = "of 2 concepts in the vocabulary and 3 filters in activation_shape"


@pytest.mark.parametrize(
    ("tensors", "header", "fault"),
    [
        ({"weight": None}, {}, f"it has no tensor weight, which must be 2 x 3, {WHERE}"),
        ({"threshold": None}, {}, f"it has no tensor threshold, which must be 3, {WHERE}"),
        ({"alpha": None}, {}, f"it has no tensor alpha, which must be 2, {WHERE}"),
        ({"weight": torch.ones(2, 4)}, {}, f"weight is 2 x 4, but must be 2 x 3, {WHERE}"),
        ({"weight": torch.ones(3, 2)}, {}, f"weight is 3 x 2, but must be 2 x 3, {WHERE}"),
        ({"weight": torch.tensor(1.0)}, {}, "weight is a single number, but must be 2 x 3"),
        ({"threshold": torch.ones(2)}, {}, f"threshold is 2, but must be 3, {WHERE}"),
        ({"alpha": torch.ones(3)}, {}, f"alpha is 3, but must be 2, {WHERE}"),
        ({"bias": torch.ones(3)}, {}, f"bias is 3, but must be 2, {WHERE}"),
        ({"scale": torch.ones(2)}, {}, f"scale is 2, but must be 3, {WHERE}"),
        ({"weight": torch.ones(2, 3).double()}, {}, "weight is of torch.float64, but must be of"),
        ({"other_seeds": torch.ones(1, 2, 2)}, {}, "other_seeds is 1 x 2 x 2, but must be seeds"),
        (
            {"other_seeds": torch.ones(2, 2, 3), "other_biases": torch.ones(1, 2)},
            {},
            f"other_biases is 1 x 2, but must be 2 x 2, {WHERE}",
        ),
        ({}, {"protocol": {"bias": True}}, f"it has no tensor bias, which must be 2, {WHERE}"),
        ({}, {"target": "classification"}, f"it has no tensor bias, which must be 2, {WHERE}"),
        ({}, {"protocol": {"input": "raw"}}, f"it has no tensor scale, which must be 3, {WHERE}"),
    ],
)
def test_tensors_that_do_not_fit_each_other_or_the_vocabulary_are_named(
    tensors: dict[str, Tensor | None], header: dict[str, Any], fault: str, path: Path
) -> None:
    if "protocol" in header:
        header = {"protocol": Protocol(**header["protocol"]).plain()}
    bank(**header).save(path)
    rewrite(path, tensors)
    assert fault in refused(path)


def rewrite(path: Path, tensors: dict[str, Tensor | None]) -> None:
    """Put some tensors in the place of those of a bank."""
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    kept = {n: t for n, t in (safetensors.torch.load_file(path) | tensors).items() if t is not None}
    safetensors.torch.save_file(kept, path, metadata)


def test_a_bank_that_reads_activations_or_classifies_has_what_it_needs(path: Path) -> None:
    for header, tensors in (
        ({"target": "classification"}, {"bias": torch.ones(2)}),
        ({"protocol": Protocol(input="raw").plain()}, {"scale": torch.ones(3)}),
        ({"protocol": Protocol(input="raw").plain(), "target": "classification"},
         {"bias": torch.ones(2)}),
    ):  # fmt: skip
        bank(**header).save(path)
        rewrite(path, dict(tensors))
        assert load_bank(path).names == ["sky", "sea"]


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"format_version": "1"}', '{"layer": "x"}'])
def test_a_header_of_something_else_is_no_bank(text: str, path: Path) -> None:
    edit_header(path, lambda _: text, path)
    with pytest.raises(RunFolderError, match=r"is a safetensors file, but not a concept bank\.$"):
        load_bank(path)


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_a_header_that_is_no_json_cannot_be_read(text: str, path: Path) -> None:
    edit_header(path, lambda _: text, path)
    with pytest.raises(RunFolderError, match=rf"bank {path} cannot be read: "):
        load_bank(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
PLAUSIBLE = st.sampled_from([1, 2, 3, 0.5, [3, 4, 4], [8, 8], [1, 1, 1], "bits", "raw", "sky"])


def asked(bank: Bank) -> None:
    """Ask a bank all that needs no network."""
    assert repr(bank) == f"Bank(2 concepts over 3 filters of {bank.header['model']['name']} " + (
        f"{bank.header['layer']})"
    )
    assert [n.cosine for n in bank.nearest(bank.names[0])] == pytest.approx([10 / 14])
    assert min(*bank.image_size, *bank.mask_size) >= 1
    assert bank.protocol.plain().keys() == Protocol().plain().keys()
    assert bank.to_conv2d().weight.shape == (2, 3, 1, 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    field=st.sampled_from([*FIELDS, "vocabulary", "format_version", "model.seed"]),
    value=st.just(ABSENT) | JSON | PLAUSIBLE,
)
@example(field="model.seed", value=None)
@example(field="input_transform.mean", value=[1, 1, 1])
@example(field="input_transform.std", value=[1, 1, 1])
def test_whatever_a_header_says_a_bank_works_or_ends_in_a_message(
    field: str, value: Any, path: Path
) -> None:
    edited = path.parent / "edited.safetensors"

    def change(header: dict[str, Any]) -> None:
        if value is not ABSENT or field in fields_of(header):
            put(header, field, value)

    edit_header(path, change, edited)
    try:
        bank = load_bank(edited)
    except RunFolderError as error:
        assert str(edited) in str(error)  # noqa: PT017
        return
    asked(bank)
    try:
        assert bank.logits(np.zeros((3, 16, 16), np.uint8)).shape[:2] == (1, 2)
    except Net2VecError as error:  # the network of a bank that never was
        assert str(error)  # noqa: PT017


@pytest.mark.parametrize("field", ["model.name", "seed", "data.digest", "module_path"])
def test_a_comparison_tells_of_it_too(field: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"sky": 0.5, "sea": 0.25})
    path = folder / "bank.safetensors"
    edit_header(path, lambda header: put(header, field), path)
    with pytest.raises(RunFolderError, match=rf"bank {path} cannot be used: .* no {field}, which"):
        read_entries(folder)


def test_a_prediction_ends_in_the_message(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_header(path, lambda header: put(header, "module_path"), path)
    (path.parent / "x.png").touch()
    arguments = ["task=predict", "bank=bank.safetensors", "images=x.png", "trainer=cpu"]
    assert run_cli(monkeypatch, path.parent, *arguments, "run.dir=out") == 1
    assert capsys.readouterr().err == (
        "error: bank bank.safetensors cannot be used: its header has no module_path, which must be "
        f"the path of a module. {MEANING}\n"
    )
