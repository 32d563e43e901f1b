"""The planted errors of ``make mutants`` still fit the code that they are planted in."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LISTS = sorted((ROOT / "tests" / "mutants").glob("*.toml"))


@pytest.mark.parametrize("path", LISTS, ids=lambda p: p.stem)
def test_every_planted_error_fits_once_and_its_tests_exist(path: Path) -> None:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "scripts" / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    mutants = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutants)
    found = mutants.read_list(path)
    assert found
    for test in found[0].tests:
        assert (ROOT / test).exists(), test
    for mutant in found:
        text = (ROOT / mutant.file).read_text(encoding="utf-8")
        compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")
