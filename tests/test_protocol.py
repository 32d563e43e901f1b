import re
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from net2vec_pl.errors import ConfigError
from net2vec_pl.protocol import ClassificationProtocol, Protocol

# Where we differ from what the paper's code does, on purpose: its learning rate knew no mask size,
# its rows came in their own order, and its networks were scaled as Caffe's were.
OURS = [
    "lr_scaling = area (paper: none)",
    "shuffle = True (paper: False)",
    "scaling = model (paper: paper)",
]
AS_PUBLISHED: dict[str, Any] = {"lr_scaling": "none", "shuffle": False, "scaling": "paper"}


def test_defaults_are_the_papers() -> None:
    protocol = Protocol()
    assert (protocol.tau, protocol.threshold_images, protocol.align_corners) == (0.005, "all", True)
    assert (protocol.loss, protocol.bias) == ("agreement", False)
    assert (protocol.lr, protocol.momentum, protocol.epochs) == (1e-4, 0.9, 30)
    assert protocol.reference_batch_size == 64


def test_the_learning_rate_is_for_masks_of_112_pixels_and_scales_with_their_area() -> None:
    assert Protocol().lr_for((112, 112)) == 1e-4
    assert Protocol().lr_for((48, 48)) == pytest.approx(1e-4 * (112 / 48) ** 2)
    assert Protocol(lr_scaling="none").lr_for((48, 48)) == 1e-4


def test_defaults_name_what_differs_from_the_paper() -> None:
    assert Protocol().deviations() == OURS


def test_the_papers_own_choices_deviate_in_nothing() -> None:
    assert Protocol(**AS_PUBLISHED).deviations() == []
    assert Protocol(name="mine", **AS_PUBLISHED).deviations() == []


def test_the_papers_values_read_from_a_file_deviate_in_nothing() -> None:
    read = {"tau": float("0.005"), "lr": float("1e-4"), "loss": "".join(["agree", "ment"])}
    assert Protocol.parse(AS_PUBLISHED | read).deviations() == []


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("tau", 0.01, "tau = 0.01 (paper: 0.005)"),
        ("threshold_images", "train", "threshold_images = train (paper: all)"),
        ("align_corners", False, "align_corners = False (paper: True)"),
        ("loss", "bce", "loss = bce (paper: agreement)"),
        ("bias", True, "bias = True (paper: False)"),
        ("lr", 0.1, "lr = 0.1 (paper: 0.0001)"),
        ("momentum", 0.0, "momentum = 0.0 (paper: 0.9)"),
        ("epochs", 1, "epochs = 1 (paper: 30)"),
        ("reference_batch_size", 16, "reference_batch_size = 16 (paper: 64)"),
        ("lr_scaling", "area", OURS[0]),
        ("shuffle", True, OURS[1]),
        ("scaling", "model", OURS[2]),
    ],
)
def test_a_deviation_is_listed_alone(option: str, value: object, text: str) -> None:
    changed: dict[str, Any] = {**AS_PUBLISHED, option: value}
    assert Protocol(**changed).deviations() == [text]


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("tau", 0.0, "above 0 and below 1; the paper takes 0.005"),
        ("tau", 1.0, "above 0 and below 1"),
        ("tau", float("nan"), "above 0 and below 1"),
        ("lr", 0.0, "above 0"),
        ("lr", -1e-4, "above 0"),
        ("lr", float("nan"), "above 0"),
        ("momentum", 1.0, "at least 0 and below 1"),
        ("momentum", -0.1, "at least 0 and below 1"),
        ("epochs", 0, "at least 1"),
        ("reference_batch_size", 0, "at least 1"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(
    option: str, value: float, allowed: str
) -> None:
    wrong: dict[str, Any] = {option: value}
    text = f"protocol.{option}={value} is out of range: it must be {allowed}"
    with pytest.raises(ConfigError, match=re.escape(text)):
        Protocol(**wrong)
    with pytest.raises(ConfigError, match=re.escape(text)):
        Protocol.parse(wrong)


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [
        ("loss", "bse", "Did you mean 'bce'? Known: agreement, bce."),
        ("threshold_images", "val", "Known: all, train."),
        ("scaling", "papr", "Did you mean 'paper'? Known: model, paper."),
    ],
)
def test_an_unknown_choice_is_named_with_those_that_exist(
    option: str, value: str, known: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Protocol.parse({option: value})
    text = str(caught.value)
    assert f"unknown value of protocol.{option} '{value}'" in text
    assert known in text


def test_an_unknown_option_is_named_with_near_ones() -> None:
    with pytest.raises(ConfigError, match=r"option of protocol 'epoch'\. Did you mean 'epochs'"):
        Protocol.parse({"epoch": 3})


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        ("epochs", 1.5, "a whole number"),
        ("epochs", True, "a whole number"),
        ("tau", "0.005", "a number"),
        ("lr", True, "a number"),
        ("lr", None, "a number"),
        ("bias", "no", "true or false"),
        ("shuffle", 1, "true or false"),
        ("name", 3, "a name"),
    ],
)
def test_a_value_of_another_type_is_named(option: str, value: object, kind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Protocol.parse({option: value})
    assert str(caught.value) == f"protocol.{option}={value} must be {kind}."


def test_whole_numbers_are_numbers() -> None:
    protocol = Protocol.parse({"lr": 1, "momentum": 0})
    assert (protocol.lr, protocol.momentum) == (1.0, 0.0)
    assert isinstance(protocol.lr, float)


def test_parse_takes_every_option() -> None:
    protocol = Protocol(name="mine", loss="bce", epochs=2, shuffle=False, tau=0.01)
    assert Protocol.parse(protocol.plain()) == protocol
    assert Protocol.parse({}) == Protocol()


def test_a_protocol_does_not_change() -> None:
    protocol = Protocol()
    with pytest.raises(FrozenInstanceError):
        protocol.epochs = 3  # type: ignore[misc]
    with pytest.raises(ConfigError):
        replace(protocol, epochs=0)


def test_classifiers_are_trained_as_the_papers_stored_results() -> None:
    assert Protocol().classification == ClassificationProtocol(
        lr=0.1, momentum=0.9, epochs=30, lr_step=15, lr_factor=0.1, batch_size=64
    )


def test_options_of_classification_are_read_checked_and_listed_by_their_dotted_names() -> None:
    protocol = Protocol.parse(AS_PUBLISHED | {"classification": {"lr": 1, "lr_step": 7}})
    assert protocol.classification == ClassificationProtocol(lr=1.0, lr_step=7)
    assert protocol.deviations() == [
        "classification.lr = 1.0 (paper: 0.1)",
        "classification.lr_step = 7 (paper: 15)",
    ]
    for options, text in (
        ({"step": 1}, "unknown option of protocol.classification 'step'."),
        ({"lr_factor": 0}, "protocol.classification.lr_factor=0.0 is out of range"),
        ({"momentum": 1}, "protocol.classification.momentum=1.0 is out of range"),
        ({"batch_size": 0}, "protocol.classification.batch_size=0 is out of range"),
        ({"epochs": 2.5}, "protocol.classification.epochs=2.5 must be a whole number"),
        (3, "protocol.classification=3 must be a group of options"),
    ):
        with pytest.raises(ConfigError, match=re.escape(text)):
            Protocol.parse({"classification": options})


def test_a_cosine_falls_from_the_full_rate_to_half_of_it_halfway() -> None:
    protocol = Protocol(lr=0.5, lr_scaling="none", lr_decay="cosine", epochs=4)
    expected = [0.5, 0.25 * (1 + 0.5**0.5), 0.25, 0.25 * (1 - 0.5**0.5)]
    assert [protocol.lr_for((9, 9), epoch) for epoch in range(4)] == pytest.approx(expected)
    assert [Protocol(lr=0.5).lr_for((112, 112), epoch) for epoch in (0, 29)] == [0.5, 0.5]


def test_the_rate_of_sgd_alone_knows_the_area_of_masks() -> None:
    assert Protocol(lr=0.5).lr_for((56, 28)) == 0.5 * 8
    assert Protocol(lr=0.5, optimizer="adam").lr_for((56, 28)) == 0.5
