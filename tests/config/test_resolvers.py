"""Names that stay the same when a command is given again, and differ when it differs."""

import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from net2vec_pl.config.resolvers import (
    job_digest,
    register_resolvers,
    slug,
    sweep_name,
)
from net2vec_pl.options import quoted


def test_a_job_is_its_configuration_but_for_where_it_writes() -> None:
    base = {"seed": 0, "model": {"name": "a"}, "run": {"dir": "x"}, "logger": {"name": "csv"}}
    base["loader"] = {"workers": 0, "batch_size": 64}
    digest = job_digest(OmegaConf.create(base))
    workers = {"loader": {"workers": 2, "batch_size": 64}}
    for place in (
        workers,
        {"run": {"dir": "y"}},
        {"logger": {"name": "wandb"}},
        {"hydra": {"job": 1}},
    ):
        assert job_digest(OmegaConf.create(base | place)) == digest
    for decisive in ({"seed": 1}, {"model": {"name": "b"}}, {"loader": {"batch_size": 8}}):
        assert job_digest(OmegaConf.create(base | decisive)) != digest


def test_interpolations_count_by_their_values() -> None:
    given = OmegaConf.create({"model": {"layer": "conv5"}, "layer": "conv5"})
    default = OmegaConf.create({"model": {"layer": "conv5"}, "layer": "${model.layer}"})
    assert job_digest(given) == job_digest(default)


@pytest.mark.parametrize(
    ("overrides", "varied"),
    [
        (["model=alexnet,vgg16"], "model"),
        (["layer=[conv4,conv5]"], "single"),
        (["layer=[conv4,conv5],conv3"], "layer"),
        (["seed=range(0,5)", "protocol.tau=choice(0.01,0.05)"], "protocol.tau+seed"),
        (["'data.names=[a,b]'"], "single"),
        (["experiment=layers", "seed=0,1"], "layers-seed"),
        ([], "single"),
    ],
)
def test_a_sweep_is_named_after_what_varies(overrides: list[str], varied: str) -> None:
    assert sweep_name(overrides).rpartition("-")[0] == varied


def test_the_order_of_options_does_not_matter_and_their_values_do() -> None:
    assert sweep_name(["a=1,2", "b=3"]) == sweep_name(["b=3", "a=1,2"])
    assert sweep_name(["a=1,2"]) != sweep_name(["a=1,3"])
    assert sweep_name(["a=1,2"]) == sweep_name(["a=1,2", "logger=wandb", "loader.workers=0"])
    assert sweep_name([], {"model": "a,b"}) != sweep_name([], {"model": "a,c"})


def test_a_job_takes_the_name_over_that_its_sweep_had() -> None:
    register_resolvers()
    text = "${sweep_name:${given}}"
    sweep = OmegaConf.create({"given": ["a=1,2"], "name": text})
    name = sweep.name
    job = OmegaConf.create({"given": ["a=1"], "name": text})
    OmegaConf.copy_cache(sweep, job)
    assert job.name == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [("conv5", "conv5"), (["b", "a"], "b+a"), (None, "last"), ("", "last"), ("a/b c", "a_b_c")],
)
def test_a_name_makes_part_of_a_folder_name(name: object, expected: str) -> None:
    assert slug(name) == expected


@pytest.mark.parametrize(
    "value", ["plain", 'a "b"', "back\\slash", "it's, a=[b] {c} #1", '\\"', "end\\"]
)
def test_a_quoted_value_is_read_by_hydra_as_it_stands(value: str) -> None:
    override = OverridesParser.create().parse_override(f"name={quoted(value)}")
    assert override.value() == value


def test_names_of_sweeps_have_one_form() -> None:
    name = sweep_name(["experiment=layers", "seed=0,1", "model=alexnet"], {"layer": "a,b"})
    assert re.fullmatch(r"layers-layer\+seed-[0-9a-f]{8}", name)
    long = sweep_name([f"{'x' * 70}=0,1"])
    assert re.fullmatch(r"x{60}-[0-9a-f]{8}", long)
    assert sweep_name(["a=1"]) != sweep_name(["a=2"])  # what is fixed counts too


@pytest.mark.parametrize(
    "values",
    [
        "choice(a,b)",
        "range(3)",
        "interval(0,1)",
        "glob(*)",
        "shuffle(a,b)",
        "sort(a,b)",
        "tag(t,a)",
    ],
)
def test_what_a_function_lists_is_varied(values: str) -> None:
    assert sweep_name([f"seed={values}"]).startswith("seed-")
