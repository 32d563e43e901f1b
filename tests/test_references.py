"""Nothing that runs report moves unseen: tables against those of the day they were last looked at.

On a machine like the one on which a reference was made, with the same libraries, every table is the
same byte for byte. Elsewhere sums end in other bits, and the columns that a reference keeps are
held to the tolerances below. A change that is meant to move a number makes the references anew,

    NET2VEC_NEW_REFERENCES=1 python -m pytest tests/test_references.py -m "slow or not slow"

and says so under *Numbers* in the changelog.
"""

import math
import os
from pathlib import Path

import pytest
from support.cli import run_cli
from support.real import LAYER, first_rows
from support.references import Reference, machine
from threadpoolctl import threadpool_limits

# Of a score in [0, 1], and the share of rows in which a name may be another, such as a best filter.
TOLERANCE, OTHERS = 0.01, 0.1
PROTOCOLS = ("paper", "netdissect", "best")
COMMON = ["loader.workers=0", "callbacks.progress=false", "trainer=cpu", "report=false"]
ALONE = ["beside=[]"]
FEW = [
    "target=both", "analysis=all", "analysis.permutations=500",
    "analysis.penalties=2", "analysis.steps=2", "protocol.epochs=2",
    "protocol.classification.epochs=3",
]  # fmt: skip
SHAPES = ["data.num_images=100", "data.image_size=48", *FEW, *ALONE]
CASES = [
    *(pytest.param(f"shapes-small-{p}", [*SHAPES, f"protocol={p}"]) for p in PROTOCOLS),
    pytest.param(
        "shapes-layers", [*SHAPES[:3], "layer=[conv3,conv5]", "seeds=2", *FEW[-2:], *ALONE]
    ),
    pytest.param("shapes-paper", ["analysis=all", *ALONE], marks=pytest.mark.slow),
    pytest.param("shapes-small-lda", [*SHAPES[:2], "protocol=lda", *FEW[1:4]]),
    *(pytest.param(f"camvid-small-{p}", [*FEW, *ALONE, f"protocol={p}"]) for p in PROTOCOLS),
    pytest.param("camvid-small-lda", [*FEW[2:4], "analysis=basic", "protocol=lda"]),
]


def on_camvid(shared: Path, folder: Path, name: str) -> list[str]:
    """Return what reads the real images, all of them or few, through the real network."""
    root = shared / "data" / "camvid_broden_224"
    if "small" in name:
        root = first_rows(root, folder / "few", 40)
    # A bank's header names the file as it was given: not by where it lies on this machine.
    (folder / "imagenet.pth").symlink_to(
        (shared / "weights" / "mobilenet_v2_imagenet_plain_fp16.pth").resolve()
    )
    network = ["model=mobilenet_v2", "model.weights=imagenet.pth", f"layer={LAYER}"]
    return ["data=broden", f"data.root={root}", *network]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_run_gives_what_it_gave(
    name: str,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if name.startswith("camvid"):
        options = [*on_camvid(request.getfixturevalue("shared"), tmp_path, name), *options]
    # Pictures take most of the time, and are not compared.
    monkeypatch.setattr("net2vec_pl.studies.study.save_figure", lambda *_: None)
    with threadpool_limits(1):
        assert run_cli(monkeypatch, tmp_path, *COMMON, *options, "run.dir=out") == 0
    found = Reference.of(tmp_path / "out")
    if "NET2VEC_NEW_REFERENCES" in os.environ:
        found.save(name)
        pytest.fail(f"references/{name}.json was made anew: look at what moved, and commit it")
    expected = Reference.load(name)
    assert list(found.digests) == list(expected.digests)
    if machine() == expected.machine:
        moved = [n for n, digest in expected.digests.items() if found.digests[n] != digest]
        assert found.columns == expected.columns
        assert not moved
    for table, columns in expected.columns.items():
        for column, cells in columns.items():
            check(found.columns[table][column], cells, f"{table}: {column}")


def check(found: list[str], expected: list[str], what: str) -> None:
    """Compare the cells of a column with those of another machine."""
    assert len(found) == len(expected), what
    apart = [pair for pair in zip(found, expected, strict=True) if not near(*pair)]
    assert len(apart) <= OTHERS * len(expected), f"{what}: {apart}"


def near(found: str, expected: str) -> bool:
    """Return whether two cells say the same, but for rounding."""
    try:
        one, other = float(found), float(expected)
    except ValueError:
        return found == expected
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or found == expected


def test_cells_that_differ_by_more_than_rounding_are_told() -> None:
    assert near("nan", "nan")
    assert near("0.3141", "0.3142")
    assert not near("0.31", "0.33")
    assert not near("combination", "single filter")
    with pytest.raises(AssertionError, match="gain: "):
        check(["0.1"] * 8 + ["0.2"] * 2, ["0.1"] * 10, "gain")
    check(["0.1"] * 9 + ["0.2"], ["0.1"] * 10, "gain")
