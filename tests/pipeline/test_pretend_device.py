"""The jobs of a GPU, on a device that holds CPU tensors and refuses to mix them with plain ones.

What they leave equals byte for byte what the same jobs leave on the CPU: the sums are the same.
"""

import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from support.cli import QUICK, without
from support.planted_run import OPTIONS
from torch.utils import backend_registration

if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
    reason = "this PyTorch takes no backend in Python: tests/support/pretend_device.py needs one"
    pytest.skip(reason, allow_module_level=True)

from support.pretend_runs import CPU, PRETEND, STOPPED, Jobs, Told, told_of

PLANTED = [*without(OPTIONS, "trainer"), "layer=early"]
# Four batches an epoch; rows step in the midst of them.
SHORT = ["protocol.epochs=2", "loader.batch_size=8", "protocol.reference_batch_size=8"]
BARE = ["analysis=none", "report=false"]
FEW = [
    "analysis.permutations=2000",
    "analysis.penalties=2",
    "analysis.steps=2",
]
PREDICT = ["task=predict", "images='data/images/??.png'", "loader.workers=1"]
RUNS = {
    "memory": [*PLANTED, *SHORT, *BARE],
    "device": [*PLANTED[:-1], *SHORT, *BARE, "cache=device", "layer=[early,late]"],
    "disk": [*PLANTED, *SHORT, "cache=disk", "analysis=none"],
    "none": [*PLANTED, *SHORT, *BARE, *FEW, "cache=none", "analysis.names=[controls]"],
    "netdissect": ["protocol=netdissect", *PLANTED, *SHORT, "cache=device", "analysis=none"],
    "best": ["protocol=best", *PLANTED, *SHORT, "cache=device", "analysis=basic", "seeds=2"],
    "all": [*PLANTED, "protocol.epochs=2", "target=both", "seeds=2", "analysis=all", *FEW],
    # Masks are larger than the grid here.
    "drawn": [*without(QUICK, "trainer", "report"), "cache=device"],
    "masks": [*PREDICT, "bank=best", "probabilities=true", "callbacks.progress=false"],
    "classes": [*PREDICT, "bank=all/classification.safetensors", "callbacks.progress=false"],
}
# All is scored and analysed by then.
STOPS = {"all": "net2vec_pl.job.leave_report", "none": "net2vec_pl.job._write_banks"}

IMAGES = "sorted(map(str, Path('data/images').glob('0?.png')))"
BANKS = [
    f"net2vec_pl.load_bank('{path}', device=d).{method}({IMAGES}).tolist()"
    for path, method in [
        ("memory", "segment"),
        ("best", "logits"),
        ("best", "probabilities"),
        ("drawn", "score"),
        ("all/classification.safetensors", "score"),
    ]
]
MIXED = "RuntimeError: Expected all tensors to be on the same device"
NO_NUMPY = "TypeError: can't convert pretend:0 device type tensor to numpy"
# Expression -> how what it gives or raises begins, and how often the host waits for the device.
RULES = {
    "x + torch.ones(6)": (MIXED, 0),
    "torch.ones(6).add_(x)": (MIXED, 0),
    "torch.stack([x, torch.ones(6)])": (MIXED, 0),
    "torch.ones(6)[x.long()]": (MIXED, 0),
    "torch.where(x > 2, x, torch.ones(6))": (MIXED, 0),
    "x.index_put_((torch.tensor([0]),), torch.ones(1))": (MIXED, 0),
    "torch.matmul(x[None], x[:, None], out=torch.zeros(1, 1))": (MIXED, 0),
    "x.numpy()": (NO_NUMPY, 0),
    "np.asarray(x)": (NO_NUMPY, 0),
    "x + 1": ("Pretend(tensor([1., 2., 3., 4., 5., 6.]))", 0),
    "x * torch.tensor(2.0)": ("Pretend(tensor([ 0.,  2.,  4.,  6.,  8., 10.]))", 0),
    "x[torch.tensor([5, 0])]": ("Pretend(tensor([5., 0.]))", 0),
    "x[x.long()[2:]]": ("Pretend(tensor([2., 3., 4., 5.]))", 0),
    "x.masked_fill_(x > 2, 0)": ("Pretend(tensor([0., 1., 2., 0., 0., 0.]))", 0),
    "torch.tensor([1.5, 2], device=d) + torch.zeros(2, device=d)": ("Pretend(tensor([1.5", 0),
    "torch.ones(2).to(d).copy_(torch.zeros(2))": ("Pretend(tensor([0., 0.]))", 0),
    "(x.add_(1) is x, x.view(2, 3).zero_().shape, x + 0)": (
        "(True, torch.Size([2, 3]), Pretend(t",
        0,
    ),
    "x[x > 3]": ("Pretend(tensor([4., 5.]))", 1),
    "x.cpu()": ("tensor([0., 1., 2., 3., 4., 5.])", 1),
    "torch.zeros(6).copy_(x)": ("tensor([0., 1., 2., 3., 4., 5.])", 1),
    "x.tolist()": ("[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]", 1),
    "x[2].item()": ("2.0", 1),
    "bool((x > 1).any())": ("True", 1),
    "(x > 4).nonzero().cpu()": ("tensor([[5]])", 2),
}
STAGE = (
    "[(v.device.type, v.is_contiguous(), v.tolist()) for stages in [Stages(Path('stage'), {})] "
    "for v in stages.once('scores', lambda: {'v': x.view(2, 3).T}).values()]"
)
JOBS = Jobs(RUNS, STOPS, [*BANKS, STAGE, STAGE + " ", *RULES])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pretend")


@pytest.fixture(scope="module")
def told(folder: Path) -> Told:
    return told_of(JOBS, folder)


def results(run: Path) -> dict[str, bytes]:
    """Return all that a run leaves, but what names its device, its options and its folder."""
    own = (".hydra/", "checkpoints/", "hparams.yaml", "train.log", "state/")
    paths = {path.relative_to(run).as_posix(): path for path in run.rglob("*") if path.is_file()}
    return {
        name: _without_place(path.read_bytes())
        if name.endswith("report.html")
        else path.read_bytes()
        for name, path in paths.items()
        if not name.startswith(own) and "/checkpoints/" not in name and "/hparams" not in name
    }


def _without_place(page: bytes) -> bytes:
    """Leave out device, folder, date and command."""
    own = rb"<dd>(cpu|pretend:0|/[^<]*|\d{4}-[^<]*)</dd>|<code>[^<]*run.dir=[^<]*</code>"
    return re.sub(own, b"", page)


@pytest.mark.parametrize("name", RUNS)
def test_a_job_on_the_device_leaves_what_it_leaves_on_the_cpu(
    name: str, told: Told, folder: Path
) -> None:
    assert told.statuses[CPU][name] == [0]
    assert told.statuses[PRETEND][name][-1] == 0
    expected, found = (results(folder / place / name) for place in (CPU, PRETEND))
    assert expected
    assert [n for n in expected | found if expected.get(n) != found.get(n)] == []
    log = (folder / PRETEND / name / "train.log").read_text(encoding="utf-8")
    assert "on pretend:0" in log if name in ("masks", "classes") else "device pretend:0" in log


@pytest.mark.parametrize(("name", "least"), [("all", 20), ("none", 5)])
def test_a_stopped_run_recalls_its_stages_to_the_device(
    name: str, least: int, told: Told, folder: Path
) -> None:
    assert told.statuses[PRETEND][name] == [130, 0]
    before, expected = results(folder / STOPPED / name), results(folder / CPU / name)
    tables = {n for n in expected if n.endswith(".csv") and n != "findings.csv"}
    assert {n for n in before if n.endswith(".csv")} >= tables
    assert [n for n in before if before[n] != expected[n]] == []
    log = (folder / PRETEND / name / "train.log").read_text(encoding="utf-8")
    stages = sorted((folder / STOPPED / name / "state").rglob("*.safetensors"))
    assert len(stages) > least
    recalled = {s.stem for s in stages if f"{s.stem}: already done" in log}
    # Thresholds alone are not asked for as a stage, where no bits are kept.
    assert {s.stem for s in stages} - recalled <= ({"thresholds"} if name == "none" else set())
    assert not (folder / PRETEND / name / "state").exists()
    assert "fit: resuming after epoch 2 of 2" in log


@pytest.mark.parametrize("name", ["memory", "best"])
def test_a_checkpoint_of_the_device_is_that_of_the_cpu(name: str, told: Told, folder: Path) -> None:
    one, other = (
        torch.load(folder / place / name / "checkpoints" / "last.ckpt", weights_only=True)
        for place in (CPU, PRETEND)
    )
    assert sorted(one["state_dict"]) == sorted(other["state_dict"])
    for key in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(one[key], other[key], rtol=0, atol=0)


@pytest.mark.parametrize("expression", BANKS)
def test_a_loaded_bank_answers_on_the_device_as_on_the_cpu(expression: str, told: Told) -> None:
    expected, _ = told.values[CPU][expression]
    found, waits = told.values[PRETEND][expression]
    assert expected.startswith("[[")
    assert found == expected
    assert waits > 0  # it has been there


def test_a_stage_gives_back_the_same_whether_it_was_made_on_a_device_or_recalled(
    told: Told,
) -> None:
    expected = repr([("cpu", True, [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]])])
    for place in (CPU, PRETEND):
        assert told.values[place][STAGE][0] == expected
        assert told.values[place][STAGE + " "][0] == expected  # recalled


@pytest.mark.parametrize("expression", RULES)
def test_the_device_refuses_and_waits_as_cuda_does(expression: str, told: Told) -> None:
    value, waits = told.values[PRETEND][expression]
    begins, expected = RULES[expression]
    assert value.startswith(begins)
    assert waits == expected


# In one batch, by the file that causes them; a batch in which a row steps has one more.
BITS = {"functional/fired.py": 1, "training/rowwise.py": 3, "training/segmentation.py": 2}
WAITS = {
    "memory": BITS,
    "device": BITS,
    "disk": BITS,
    "none": BITS | {"functional/fired.py": 2},  # where the network fired
    "netdissect": BITS,
    "best": {
        "functional/dense.py": 1,
        "functional/pixels.py": 1,  # do its two banks weigh pixels alike?
        "training/rowwise.py": 3,
        "training/segmentation.py": 2,
    },
}


@pytest.mark.parametrize("name", WAITS)
def test_the_host_waits_for_the_device_so_often_in_a_training_batch(name: str, told: Told) -> None:
    without_step, with_step = told.waits[name][1:3]
    expected = WAITS[name]
    assert by_file(without_step) == expected, without_step
    more = {"training/rowwise.py": expected["training/rowwise.py"] + 1}
    assert by_file(with_step) == expected | more, with_step


def by_file(waits: dict[str, int]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for line, count in waits.items():
        sums[line.partition(":")[0]] += count
    return dict(sums)
