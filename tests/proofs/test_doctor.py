"""``task=doctor`` on the planted world: every line, against counts and sizes worked out by hand."""

import math
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support import planted_run
from support.cli import composed
from support.planted_run import CONCEPTS, FILTERS, LATE, OPTIONS, SIZE, draw, write_world

from net2vec_pl.backbones.weights import load_weights, weights_digest
from net2vec_pl.config.plan import Plan
from net2vec_pl.doctor import data, forecast, machine, versions
from net2vec_pl.doctor import options as checks
from net2vec_pl.doctor.checks import in_gib
from net2vec_pl.doctor.examination import NotReadyError
from net2vec_pl.doctor.found import Found
from net2vec_pl.pipeline import storage
from net2vec_pl.tasks.doctor import doctor

GIB = 1 << 30
DRAWN = draw()
TRAIN, ALL = int(DRAWN.is_train.sum()), len(DRAWN.is_train)
NAMES = list(CONCEPTS)
GRID = SIZE * SIZE
PAGE = "page=samples.html writes a page of images with their masks"
Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("world")
    write_world(folder)
    return folder


@pytest.fixture(autouse=True)
def _known_machine(world: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand in a machine of known size, and have sizes told in bytes."""
    monkeypatch.chdir(world)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(machine, "num_cores", lambda: 6)
    for room in (machine, forecast):
        monkeypatch.setattr(room, "memory", lambda: (8 * GIB, 5 * GIB))
        monkeypatch.setattr(room, "in_gib", lambda size: f"{size} bytes")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(9 * GIB, 2 * GIB, 7 * GIB))
    before = sorted(world.rglob("*"))
    yield
    assert sorted(world.rglob("*")) == before  # nothing is written


Lines = dict[str, list[tuple[str, str]]]


def sections(text: str) -> Lines:
    """Section -> (verdict, text) of its lines; a line that goes on is joined by newlines."""
    found: Lines = {}
    for line in text.splitlines():
        if not line.startswith(" "):
            here = found[line] = list[tuple[str, str]]()
        elif line.startswith(" " * 11):
            verdict, words = here.pop()
            here.append((verdict, f"{words}\n{line.strip()}"))
        else:
            verdict, words = line.split(maxsplit=1)
            here.append((verdict, words))
    return found


def told(capsys: pytest.CaptureFixture[str], *overrides: str) -> Lines:
    doctor(composed("task=doctor", *OPTIONS, "run.dir=new", "sample=47", *overrides))
    return sections(capsys.readouterr().out)


def to_fix(*overrides: str) -> list[str]:
    """Return what must be fixed, one text each, without their numbers."""
    with pytest.raises(NotReadyError) as error:
        doctor(composed("task=doctor", *OPTIONS, "run.dir=new", "sample=47", *overrides))
    head, *lines = str(error.value).splitlines()
    assert head == "not ready. To fix:"
    fixes: list[str] = []
    for line in lines:
        if line.startswith(f"  {len(fixes) + 1}. "):
            fixes.append(line[5:])
        else:
            fixes[-1] += f"\n{line.strip()}"
    return fixes


def digest(world: Path) -> str:
    network = planted_run.PlantedNetwork()
    load_weights(network, str(world / "network.safetensors"), model="custom")
    return weights_digest(network)


# -------------------- by hand


def kept(names: list[str], filters: int, rows: list[int]) -> float:
    """Bytes of four per bit set, and of packed masks with two numbers of each pair."""
    pairs = sum(int(DRAWN.present[row, NAMES.index(name)]) for name in names for row in rows)
    return 4 * len(rows) * filters * GRID * 0.3 + pairs * (GRID / 8 + 8)


def tails(filters: int) -> int:
    """Bytes of the largest values: a value and its place, twice."""
    values = ALL * GRID
    return 24 * filters * (math.floor(0.3 * (values - 1)) + 2)


def run_folder(concepts: int, filters: int, layers: int, seeds: int = 1) -> int:
    return layers * (64 << 20) + 64 * concepts * filters * seeds


def on_disk(rows: int, *layers: int) -> int:
    """Bits, eight a byte, and five maps of two bytes a pixel packed to an eighth."""
    return sum(rows * (filters * GRID // 8 + 5 * GRID * 2 // 8) for filters in layers)


def memory(kept: float, tails: int, processes: int = 1) -> str:
    needed = processes * (GIB + round(kept)) + tails
    return (
        f"memory: some {needed} bytes, of which {processes * round(kept)} bytes are kept and at "
        f"most {tails} bytes are for thresholds; {5 * GIB} bytes are free"
    )


# -------------------- all lines


def test_every_line_of_a_run_that_would_work(
    capsys: pytest.CaptureFixture[str], world: Path
) -> None:
    found = told(capsys, "layer=[early,late]", "target=both", "data.min_val=3", "seeds=2")
    assert list(found) == [
        "versions", "options", "data", "network", "machine", "forecast", "ready",
    ]  # fmt: skip
    del found["versions"]
    assert {verdict for lines in found.values() for verdict, _ in lines} == {"ok"}
    assert [text for _, text in found["options"]] == [
        "segmentation and classification, protocol=paper, 30 epochs",
        "analyses: worth, intervals, sharing, space",
        "logger=csv",
        "Lightning takes trainer={'accelerator': 'cpu', 'devices': 1}",
    ]
    park = DRAWN.present[:, NAMES.index("park-s")]
    train, val = (int((park & of).sum()) for of in (DRAWN.is_train, ~DRAWN.is_train))
    assert [text for _, text in found["data"]] == [
        f"data: {TRAIN} train and {ALL - TRAIN} val images of 12 x 12, masks of 12 x 12",
        *(
            f"{category}: {TRAIN} train and {ALL - TRAIN} val images annotated, masks"
            for category in ("object", "part", "color")
        ),
        f"scene: {train} train and {val} val images annotated, labels of whole images",
        "segmentation: 7 of 8 concepts asked for, object 3, part 2, color 2",
        "classification: 8 of 8 concepts asked for, object 3, part 2, color 2, scene 1",
        "all 47 rows: images and masks can be read",
        "segmentation: 6 concepts are probed, object 3, part 1, color 2",
        "segmentation: 1 skipped, for too few images: fin",
        "classification: 7 concepts are probed, object 3, part 1, color 2, scene 1",
        "classification: 1 skipped, for too few images: fin",
        PAGE,
    ]
    assert [text for _, text in found["network"]] == [
        f"custom with weights network.safetensors, digest {digest(world)}",
        "layer early (module early): 16 filters of 12 x 12 on images of 12 x 12",
        f"layer late (module late): {len(LATE)} filters of 12 x 12 on images of 12 x 12",
        "analyses: the layers have the filters and concepts they ask for",
    ]
    assert [text for _, text in found["machine"]] == [
        "6 cores, 0 processes that read",
        f"memory: {8 * GIB} bytes, {5 * GIB} bytes of it free",
        "no GPU",
        "trainer= takes cpu, processes: 1",
        f"run.dir: {world} has {7 * GIB} bytes free",
    ]
    probed = [name for name in NAMES if name not in ("fin", "park-s")]
    filters = FILTERS + len(LATE)
    stays = kept(probed, filters, list(range(ALL)))
    assert [text for _, text in found["forecast"]] == [
        f"the run folder takes at most some {run_folder(6, filters, 2, 2)} bytes of disk",
        f"cache=memory: cached activations need about {round(stays)} bytes, of {4 * GIB} "
        "bytes allowed",
        memory(stays, tails(FILTERS) + tails(len(LATE))),
    ]
    assert found["ready"] == []


def test_too_few_train_images_leave_concepts_out_too(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "layer=early", "data.min_train=13")
    assert [text for _, text in found["data"]][-3:] == [
        "segmentation: 3 concepts are probed, object 1, part 1, color 1",
        "segmentation: 4 skipped, for too few images: cup, dog, fin, grey-c",
        PAGE,
    ]


def test_a_sample_tells_what_occurs_in_it_and_is_scaled_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 20.0])
    monkeypatch.setattr(data, "perf_counter", lambda: next(clock))
    found = told(capsys, "sample=20", "seed=4", "data.names=[fin,dog,park-s]", "target=both")
    rows = np.sort(np.random.default_rng(4).choice(ALL, 20, replace=False)).tolist()
    assert [text for _, text in found["data"]][5:] == [
        "segmentation: 2 of 3 concepts asked for, object 1, part 1",
        "classification: 3 of 3 concepts asked for, object 1, part 1, scene 1",
        "20 of 47 rows, drawn: images and masks can be read",
        "a run reads all 47 rows first, which takes some 47 s; sample=47 does so here",
        "segmentation: 2 of 2 concepts occur in these rows, object 1, part 1",
        "classification: 3 of 3 concepts occur in these rows, object 1, part 1, scene 1",
        PAGE,
    ]
    having = [r for r in rows if any(DRAWN.present[r, NAMES.index(n)] for n in ("dog", "fin"))]
    stays = round(kept(["dog", "fin"], len(LATE), having)) * ALL / 20
    assert [text for _, text in found["forecast"]][1:] == [
        f"cache=memory: cached activations need about {round(stays)} bytes, of {4 * GIB} "
        "bytes allowed",
        memory(stays, tails(len(LATE))),
    ]


def test_a_long_time_is_told_in_minutes_and_what_does_not_occur_is_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 20.0])
    monkeypatch.setattr(data, "perf_counter", lambda: next(clock))
    without = next(
        seed
        for seed in range(99)
        if not DRAWN.present[
            np.random.default_rng(seed).choice(ALL, 5, replace=False), NAMES.index("fin")
        ].any()
    )
    found = told(capsys, "sample=5", f"seed={without}", "data.names=[fin]")
    assert found["data"][7:] == [
        ("ok", "a run reads all 47 rows first, which takes some 3 min; sample=47 does so here"),
        ("warning", "segmentation: 0 of 1 concepts occur in these rows"),
        ("ok", PAGE),
    ]
    assert list(found)[-1] == "ready, warnings: 1"


def test_a_cache_on_disk_is_forecast_where_it_would_lie(
    capsys: pytest.CaptureFixture[str], world: Path
) -> None:
    found = told(capsys, "layer=[early,late]", "cache=disk", "cache.dir=elsewhere")
    needed = on_disk(ALL, FILTERS, len(LATE))
    assert [text for _, text in found["forecast"]] == [
        f"the run folder takes at most some {run_folder(7, 30, 2)} bytes of disk",
        f"the cache takes at most {needed} bytes of disk in {world / 'elsewhere'}",
        memory(0, tails(FILTERS) + tails(len(LATE))),
    ]
    assert found["machine"][-1] == ("ok", f"cache.dir: {world} has {7 * GIB} bytes free")


def test_several_processes_pass_bits_over_the_run_folder_and_keep_them_each(
    capsys: pytest.CaptureFixture[str], world: Path
) -> None:
    options = ["layer=early", "trainer.devices=2", "+trainer.strategy=ddp"]
    found = told(capsys, *options)
    stays = kept(NAMES[:-1], FILTERS, list(range(ALL)))
    assert [text for _, text in found["forecast"]][1:] == [
        f"cache=memory: cached activations need about {round(stays)} bytes, of {4 * GIB} "
        "bytes allowed",
        f"the cache takes at most {on_disk(ALL, FILTERS)} bytes of disk in {world / 'new'}",
        memory(stays, tails(FILTERS), processes=2),
    ]
    assert ("ok", "trainer= takes cpu, processes: 2") in found["machine"]


def test_what_is_kept_on_a_device_takes_no_memory(capsys: pytest.CaptureFixture[str]) -> None:
    stays = kept(NAMES[:-1], FILTERS, list(range(ALL)))
    found = told(capsys, "layer=early", "cache=device")
    assert [text for _, text in found["forecast"]][1:] == [
        f"cache=device: cached activations need about {round(stays)} bytes, of {16 * GIB} "
        "bytes allowed",
        memory(0, tails(FILTERS)),
    ]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["cache=none"], "cache=none: activations are not kept"),
        (
            ["cache=disk", "protocol.input=raw"],
            "cache=disk: activations are not kept (only bits can be kept on disk or shared between "
            "processes)",
        ),
    ],
)
def test_where_nothing_is_kept_that_is_a_warning(
    options: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(capsys, "layer=early", *options)
    assert found["forecast"][1:] == [
        ("warning", f"{what}; the network runs in every epoch"),
        ("ok", memory(0, tails(FILTERS))),
    ]


def test_activations_that_are_kept_take_two_bytes_each(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "layer=early", "protocol.input=raw")
    stays = kept(NAMES[:-1], FILTERS, list(range(ALL))) + 2 * ALL * FILTERS * GRID
    assert found["forecast"][1][1].startswith(
        f"cache=memory: cached activations need about {round(stays)} bytes, of"
    )


def test_a_cache_that_would_not_fit_is_told_with_what_would_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "kept_bytes", lambda _setup, **_raw: 10 * GIB)
    found = told(capsys, "layer=early", "cache.max_gib=3")
    assert found["forecast"][1:] == [
        (
            "warning",
            f"cache=memory: activations need about {10 * GIB} bytes, more than cache.max_gib "
            "allows: they are not kept, and the network runs in every epoch. cache.max_gib=12 "
            "would keep them; cache=disk needs no memory",
        ),
        ("ok", memory(0, tails(FILTERS))),
    ]
    monkeypatch.setattr(storage, "kept_bytes", lambda _setup, **_raw: 3 * GIB)
    found = told(capsys, "layer=early", "cache.max_gib=3")  # as much as is allowed
    assert [verdict for verdict, _ in found["forecast"]] == ["ok"] * 3
    assert found["forecast"][2][1] == memory(3 * GIB, tails(FILTERS))


def test_classifiers_keep_nothing_and_need_no_thresholds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = told(capsys, "layer=early", "target=classification")
    assert [text for _, text in found["forecast"]] == [
        f"the run folder takes at most some {run_folder(8, FILTERS, 1)} bytes of disk",
        memory(0, 0),
    ]
    assert found["options"][0][1] == "classification, protocol=paper, 30 epochs"


# -------------------- what is not as it should be


def test_too_little_memory_or_disk_is_to_be_mended_with_what_there_is(
    monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    stays = kept(NAMES[:-1], FILTERS, list(range(ALL)))
    exactly = GIB + round(stays) + tails(FILTERS)
    folder = run_folder(7, FILTERS, 1)
    for room in (machine, forecast):
        monkeypatch.setattr(room, "memory", lambda: (GIB, exactly))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(0, 0, folder))
    doctor(composed("task=doctor", *OPTIONS, "run.dir=new", "sample=47", "layer=early"))
    for room in (machine, forecast):
        monkeypatch.setattr(room, "memory", lambda: (GIB, exactly - 1))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(0, 0, folder - 1))
    assert to_fix("layer=early") == [
        f"the run folder takes at most some {folder} bytes of disk, which has {folder - 1} bytes: "
        "free some, or choose another run.dir",
        f"{memory(stays, tails(FILTERS)).replace(str(5 * GIB), str(exactly - 1))}. Fewer layers at "
        "once, cache=disk, or a machine with more",
    ]
    needed = on_disk(ALL, FILTERS)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(0, 0, needed - 1))
    assert to_fix("layer=early", "cache=disk", "cache.dir=there")[1] == (
        f"the cache takes at most {needed} bytes of disk in {world / 'there'}, which has "
        f"{needed - 1} bytes: free some, or name another cache.dir"
    )


def test_random_weights_are_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "layer=early", "model.weights=null")
    assert found["network"][0] == ("warning", "custom has random weights: model.weights=null")
    assert list(found)[-1] == "ready, warnings: 1"


@pytest.mark.parametrize("skip", [False, True])
def test_twelve_rows_that_cannot_be_read_are_named_and_the_rest_counted(
    skip: bool, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world / "data", tmp_path / "data")
    images = sorted(p for p in (tmp_path / "data" / "images").glob("*.png") if "_" not in p.stem)
    for image in images[:14]:
        image.unlink()
    options = ["layer=early", f"data.root={tmp_path / 'data'}"]
    if skip:
        verdict, text = told(capsys, *options, "data.on_error=skip")["data"][6]
        assert verdict == "warning"
        first = "all 47 rows: 14 cannot be read, and a run leaves them out"
    else:
        (text,) = to_fix(*options)
        first = "all 47 rows: 14 cannot be read; data.on_error=skip goes on without such rows"
    head, *lines, last = text.splitlines()
    assert (head, last) == (first, "and 2 more")
    assert [line.split(": ")[0] for line in lines] == [image.name for image in images[:12]]


def test_a_split_without_images_is_to_be_mended(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "data", tmp_path / "data")
    index = tmp_path / "data" / "index.csv"
    index.write_text(index.read_text().replace(",val,", ",train,"))
    assert "data has no val image" in to_fix("layer=early", f"data.root={tmp_path / 'data'}")


def test_gpus_are_told_and_one_that_is_left_idle_is_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: (3 + gpu, 9 + gpu))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda gpu: f"card {gpu}")
    config = composed("task=doctor", *OPTIONS, "run.dir=new")
    found, plan = Found(1), Plan(config, ("sample", "page"))
    list(checks.options(plan, found))
    list(checks.trainer(plan, found))
    told = [(check.verdict, check.text) for check in machine.devices(plan, found)]
    assert told[2:] == [
        ("ok", "GPU 0: card 0, 9 bytes, 3 bytes of it free"),
        ("ok", "GPU 1: card 1, 10 bytes, 4 bytes of it free"),
        ("ok", "trainer= takes cpu, processes: 1"),
        ("warning", "there is a GPU, and trainer= leaves it idle; trainer=auto takes it"),
    ]


def test_what_readers_hand_over_is_counted_to_the_byte(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_SHARED", tmp_path)
    options = ["layer=early", "loader.workers=3", "loader.batch_size=10"]
    needed = 3 * 2 * 10 * (3 * GRID + 4 * 4 * GRID)  # of an image, and of a map a category
    real = Usage(0, 0, 7 * GIB)
    for free, warned in ((needed, False), (needed - 1, True)):
        monkeypatch.setattr(
            shutil,
            "disk_usage",
            lambda path, free=free: Usage(0, 0, free) if path == tmp_path else real,
        )
        lines = told(capsys, *options)["machine"]
        warnings = [text for verdict, text in lines if verdict == "warning"]
        assert warnings == ([
            f"3 processes that read may hold {needed} bytes in {tmp_path}, which has {free} "
            "bytes: a smaller loader.batch_size, loader.workers=0, or more shared memory for the "
            "container"
        ] if warned else [])  # fmt: skip


def test_memory_is_what_the_system_says_or_a_container_allows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\n")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    limits = [tmp_path / "memory.max", tmp_path / "limit_in_bytes"]
    monkeypatch.setattr(machine, "_LIMITS", tuple(map(str, limits)))
    assert machine.memory() == (900 << 10, 400 << 10)
    limits[0].write_text("max\n")
    limits[1].write_text(f"{500 << 10}\n")
    assert machine.memory() == (500 << 10, 400 << 10)
    limits[0].write_text(f"{300 << 10}\n")
    assert machine.memory() == (300 << 10, 300 << 10)


def test_images_are_classified_by_vectors_too_but_not_segmented(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["layer=head", "model._target_=support.small_networks.Tower", "model.weights=null"]
    layer = "layer head (module head): 5 filters of 1 x 1 on images of 12 x 12"
    assert ("ok", layer) in told(capsys, *options, "target=classification")["network"]
    (text,) = to_fix(*options)
    assert text.startswith("layer 'head' of custom gives an output of shape (5,)")


def test_another_python_than_is_needed_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.9.1")
    fixes = [check.text for check in versions.check_versions() if check.verdict == "fix"]
    assert fixes == ["python>=3.11 is needed, not 3.9.1"]


def test_sizes_are_told_in_gib_from_a_tenth_of_one() -> None:
    assert in_gib(107_374_182) == "102 MiB"
    assert in_gib(107_374_183) == "0.10 GiB"
    assert in_gib(5 * GIB // 2) == "2.50 GiB"
