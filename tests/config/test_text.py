"""Options that are text stay text, whatever Hydra would take them for."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from support.cli import composed, run_cli

from net2vec_pl import cli
from net2vec_pl.config import command_line
from net2vec_pl.config.known import _NAMED, _PLAIN
from net2vec_pl.config.text import TEXT, text_kept

PATHS = (
    "2024_05_01", "1_000", "1e5", "on", "yes", "true", "False", "0x10", "007", "1:30", "inf", "nan",
    "-5", "1.0", "a b", "a=b", "50%", "a$b", "{x}", "/a{b}c", "it's", "/a[1]", "/a[1", "a(b)", "(b",
    "#x", "a;b", "a&b", "<x>", "!x", "天空", "é", "C:\\x", "*.jpg", "a\\", 'say "a"', "[a", "a]b",
)  # fmt: skip


def read(value: str, option: str = "data.root") -> object:
    (kept,) = text_kept([f"{option}={value}"])
    return OverridesParser.create().parse_override(kept).value()


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_read_as_it_stands(path: str) -> None:
    assert read(path) == path
    assert read(path, "+run.dir") == path
    if not {*path} & {*"[](\\"}:  # brackets without a partner and a backslash take in the comma
        assert read(f"[{path},b]", "data.names") == [path, "b"]


@given(value=st.text("ab1_0.e-+ =,[](){}'\"\\$~:", min_size=1, max_size=9))
def test_to_keep_text_twice_is_to_keep_it_once(value: str) -> None:
    once = text_kept([f"data.root={value}"])
    assert text_kept(once) == once


@given(value=st.text(min_size=1, max_size=9).filter(lambda text: not {*text} & {*",[](){}'\"\\$~"}))
def test_text_without_marks_of_hydras_own_is_read_as_it_stands(value: str) -> None:
    if value.strip().lower() != "null" and value.isprintable():
        assert read(value) == value.strip()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("data.root=null", "data.root=null"),
        ("data.root=", "data.root="),
        ("data.root=${oc.env:DATA}", "data.root=${oc.env:DATA}"),
        ("run.dir=runs/${now:%H:%M}", "run.dir=runs/${now:%H:%M}"),
        ("data.root='1'", "data.root='1'"),
        ('data.root="a,b",3', 'data.root="a,b","3"'),
        (r'data.root="a\",b",3', r'data.root="a\",b","3"'),
        ("layer=1,conv2", 'layer="1",conv2'),
        (r"data.root=a\,1", r"data.root=a\,1"),
        ("layer=[1,a],[2]", 'layer=["1",a],["2"]'),
        ("layer=choice(1,[2,b])", 'layer=choice("1",["2",b])'),
        ("data.names=[1e5, on, 007, null]", 'data.names=["1e5", on, 007, null]'),
        ("layer={a:1}", "layer={a:1}"),
        ("++data.root=7", '++data.root="7"'),
        ("~data.root", "~data.root"),
        ("seed=1_000", "seed=1_000"),
        ("protocol.lr=1e5", "protocol.lr=1e5"),
        ("-m", "-m"),
    ],
)
def test_what_hydra_reads_right_is_left_to_it(given: str, kept: str) -> None:
    assert text_kept([given]) == [kept]


def test_the_home_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert text_kept(["data.root=~/a b", "data.root='~/x'"]) == [
        'data.root="/home/me/a b"', "data.root='~/x'"
    ]  # fmt: skip


def test_options_of_text_are_options() -> None:
    own = {f"{group}.{name}" for group, names in _PLAIN.items() for name in names}
    own |= {f"{g}.{name}" for g, of in _NAMED.items() for names in of.values() for name in names}
    own |= {"model._target_", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"}
    own |= {f"{group}.name" for group in _NAMED}
    assert {*TEXT} <= own | {*command_line._all_options()}


def test_a_run_a_resumed_run_and_a_job_have_the_same_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(
        cli, "_do", lambda _name, config: seen.append((config.run.dir, config.data.names))
    )
    given = ["run.dir=2026_09_30", "data.names=[1e5,on,007]"]
    assert run_cli(monkeypatch, tmp_path, *given) == 0
    assert seen == [("2026_09_30", ["1e5", "on", "007"])]
    hydra = tmp_path / "2026_09_30" / ".hydra"
    hydra.mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(given), hydra / "overrides.yaml")
    assert run_cli(monkeypatch, tmp_path, "run.resume=2026_09_30") == 0
    assert seen[1] == (str(tmp_path / "2026_09_30"), ["1e5", "on", "007"])
    config = composed(*text_kept(["data=broden", "data.root=2024_05_01"]))
    assert OmegaConf.create(OmegaConf.to_yaml(config)).data.root == "2024_05_01"
