"""The command line without a run: options of a stopped run, the wording of mistakes, statuses."""

import errno
import re
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from support.cli import composed, run_cli

from net2vec_pl import cli
from net2vec_pl.config import command_line
from net2vec_pl.errors import DataError, RunFolderError, SweepError
from net2vec_pl.sweeps import DIGEST


def stopped_run(folder: Path, *options: str) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(list(options)), folder / ".hydra" / "overrides.yaml")
    return folder


# -------------------- a run that is resumed


def test_a_stopped_run_goes_on_with_its_options_and_what_is_given_besides_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    stopped_run(tmp_path / "out", "seed=3", "trainer.devices=1", "run.dir=elsewhere", "layer=conv4")
    given = ["run.resume=out", "trainer.devices=2", "logger=none"]
    expected = [
        "seed=3",
        "trainer.devices=2",
        f'run.dir="{tmp_path}/out"',
        "layer=conv4",
        f'run.resume="{tmp_path}/out"',
        "logger=none",
        "hydra.mode=RUN",
    ]
    assert command_line.recalled(given) == expected
    assert command_line.recalled(expected) == expected


def test_a_stopped_run_goes_on_with_its_flags_too(tmp_path: Path) -> None:
    run = stopped_run(tmp_path / "out", "seed=3")
    OmegaConf.save(OmegaConf.create(["--config-dir=mine"]), run / ".hydra" / "flags.yaml")
    assert command_line.recalled([f"run.resume={run}"])[:2] == ["--config-dir=mine", "seed=3"]


def test_the_last_folder_to_resume_counts_and_null_is_none(tmp_path: Path) -> None:
    stopped_run(tmp_path / "one", "seed=1")
    stopped_run(tmp_path / "two", "seed=2")
    one, two, none = f"run.resume={tmp_path}/one", f"run.resume={tmp_path}/two", "run.resume=null"
    assert command_line.recalled([one, two])[0] == "seed=2"
    assert command_line.recalled([none, one])[0] == "seed=1"
    assert command_line.recalled([one, none, "seed=5"]) == [one, none, "seed=5"]
    assert command_line.recalled(["seed=5"]) == ["seed=5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run.resume="], "run.resume is empty; name the folder of the run to resume."),
        (["run.resume=x", "-m"], "run.resume names a single run; leave out --multirun."),
        (["run.resume=x", "--multirun"], "run.resume names a single run; leave out --multirun."),
        (
            ["run.resume=/x/y"],
            "run.resume=/x/y is not a run folder: /x/y/.hydra/overrides.yaml is missing. "
            "Name the folder that a run printed, or that holds its .hydra/.",
        ),
    ],
)
def test_what_cannot_be_resumed_is_said(arguments: list[str], message: str) -> None:
    with pytest.raises(RunFolderError) as caught:
        command_line.recalled(arguments)
    assert str(caught.value) == message


# -------------------- what Hydra says, in our words


@pytest.mark.parametrize(
    ("file", "extra"),
    [
        ("hydra/launcher/joblib", "joblib"),
        ("hydra/launcher/submitit_local", "slurm"),
        ("hydra/launcher/submitit_slurm", "slurm"),
        ("hydra/launcher/ray", "ray"),
        ("hydra/sweeper/optuna", "optuna"),
    ],
)
def test_an_absent_plugin_names_the_extra_that_brings_it(file: str, extra: str) -> None:
    expected = f"{file} is a plug-in: pip install 'net2vec_pl[{extra}]' brings it."
    assert command_line.explain(MissingConfigException("no such file", file)) == expected
    extras = (Path(__file__).parents[2] / "setup.cfg").read_text().split("options.extras_require")
    assert re.search(rf"^{extra} =", extras[1], re.MULTILINE)


def test_an_unknown_choice_names_those_of_its_group() -> None:
    assert command_line.explain(MissingConfigException("no such file", "cache/dsk")) == (
        "unknown choice of cache 'dsk'. Did you mean 'disk'? Known: device, disk, memory, none."
    )
    # Files with an underscore in front are parts of others.
    assert "Known: all, basic, causal, none." in command_line.explain(
        MissingConfigException("", "analysis/x")
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cache.dir", "the option cache.dir belongs to another choice of cache=."),
        ("data.root", "the option data.root belongs to another choice of data=."),
        ("runs", "the option runs belongs to another task."),
    ],
)
def test_an_option_of_another_choice_or_task_is_no_unknown_one(name: str, message: str) -> None:
    assert (
        command_line.explain(ConfigCompositionException(f"Could not override '{name}'.")) == message
    )


def test_an_unknown_option_names_near_ones_of_every_group() -> None:
    text = command_line.explain(ConfigCompositionException("Could not override 'protocol.taw'."))
    assert text.startswith("unknown option 'protocol.taw'. Did you mean 'protocol.tau'")
    assert text.endswith(" more. `--help` shows every option.")


def test_a_value_that_must_be_given_is_named_in_full() -> None:
    with pytest.raises(MissingMandatoryValue) as caught:
        OmegaConf.create({"model": {"kind": "???"}}).model.kind  # noqa: B018
    expected = "the option model.kind must be given: model.kind=VALUE."
    assert command_line.explain(caught.value) == expected


def test_other_faults_are_those_of_the_command_line_or_of_the_configuration() -> None:
    broken = ConfigCompositionException("no good ")
    assert command_line.explain(broken) == "the command line cannot be read: no good"
    broken.__cause__ = ValueError("a tab")
    assert command_line.explain(broken) == "the command line cannot be read: no good (a tab)"
    fault = OmegaConfBaseException("a tab is no good")
    fault.__cause__ = ValueError("a tab")
    assert command_line.explain(fault) == "the configuration cannot be read: a tab is no good"


def test_options_are_those_of_all_choices_and_tasks_and_no_others() -> None:
    options = command_line._all_options()
    assert len(options) == len(set(options))
    assert {"seed", "layer", "data", "data.root", "data.num_images", "runs", "bank"} <= {*options}
    assert {"cache.max_gib", "cache.dir", "protocol.classification.lr", "loader.workers"} <= {
        *options
    }
    assert not [
        name for name in options if {"hydra", "defaults", "experiment"} & {*name.split(".")}
    ]
    assert not [name for name in options if name.startswith("task.")]


def test_networks_without_a_file_are_torchvisions_each_by_its_own_name() -> None:
    command_line._register_other_models(["seed=1", "model=vgg16,regnet_y_400mf,shufflenet_v2_x0_5"])
    stored = ConfigStore.instance().repo["model"]
    names = [stored[f"{name}.yaml"].node.name for name in ("regnet_y_400mf", "shufflenet_v2_x0_5")]
    assert names == ["regnet_y_400mf", "shufflenet_v2_x0_5"]
    assert "vgg16.yaml" not in stored


@pytest.mark.parametrize(
    "values",
    [
        "{}",
        "shapesnet,{},timm/vit_tiny_patch16_224",
        "choice(shapesnet,{})",
    ],
)
@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("timm/vit_small_patch14_dinov2.lvd142m", "timm"),
        ("hf/facebook/dinov2-small", "hf"),
        ("hf//tmp/saved/net_1", "hf"),
        ("hf/./saved", "hf"),
        ("deeplabv3_resnet50", "torchvision"),
    ],
)
def test_a_network_of_a_library_is_a_choice_of_model(name: str, choice: str, values: str) -> None:
    command_line._register_other_models(["-m", f"model={values.format(name)}"])
    config = composed(f"model={name}")
    file = OmegaConf.load(command_line.config_dir() / "model" / f"{choice}.yaml")
    assert config.model == OmegaConf.merge(file, {"name": name})
    assert re.fullmatch(r"runs/[\w.+-]+", config.run.dir)


def test_the_choice_of_a_name_is_its_file_its_library_or_torchvision() -> None:
    names = ["vgg16", "timm/resnet18", "hf/owner/name", "timm", "timm/", "tim/resnet18", "vit_b_16"]
    assert [command_line.model_choice(name) for name in names] == [
        "vgg16", "timm", "hf", "timm", "torchvision", "torchvision", "torchvision"
    ]  # fmt: skip


def test_conf_lies_at_the_top_of_a_checkout() -> None:
    assert command_line.config_dir() == Path(__file__).parents[2] / "conf"


# -------------------- how a command ends


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (DataError("a fault."), 1, "error: a fault.\n"),
        (KeyboardInterrupt(), 130, "error: interrupted; files written so far are kept.\n"),
        (
            OSError(errno.EACCES, "Permission denied", "out"),
            1,
            "error: cannot write out: Permission denied. Choose another run.dir.\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left"),
            1,
            "error: the disk is full: [Errno 28] No space left. Files written so far are kept; "
            "free some space and rerun.\n",
        ),
        (
            OSError(errno.EDQUOT, "Quota"),
            1,
            f"error: the disk is full: [Errno {errno.EDQUOT}] Quota. Files written so far are "
            "kept; free some space and rerun.\n",
        ),
    ],
)
def test_a_command_that_fails_ends_in_one_message_and_its_status(
    error: BaseException,
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_config: object) -> None:
        raise error

    monkeypatch.setattr(cli, "_do", lambda _name, config: fail(config))
    assert run_cli(monkeypatch, tmp_path, "analysis=none") == status
    assert capsys.readouterr().err == message


def test_a_fault_of_ours_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_config: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "_do", lambda _name, config: fail(config))
    with pytest.raises(ZeroDivisionError):
        run_cli(monkeypatch, tmp_path)


def test_one_process_speaks_for_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for rank, said in (("0", "error: no\n"), ("1", "")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        with pytest.raises(SystemExit) as stop:
            cli._fail("no")
        assert stop.value.code == 1
        assert capsys.readouterr().err == said


def test_a_job_that_is_not_its_sweeps_does_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[object] = []
    monkeypatch.setattr(cli, "_do", lambda _name, config: done.append(config))
    monkeypatch.setattr(command_line, "job_digest", lambda _config: "abcd")
    for digest, status in (("abcd", 0), ("abce", 1)):
        monkeypatch.setenv(DIGEST, digest)
        assert run_cli(monkeypatch, tmp_path) == status
    assert len(done) == 1
    assert (
        "this job's configuration differs from the one its sweep composed; start the sweep again."
        in (capsys.readouterr().err)
    )


@pytest.mark.parametrize("task", ["doctor", "layers", "predict", "compare"])
def test_only_runs_are_jobs_of_a_sweep(task: str) -> None:
    with pytest.raises(SweepError) as caught:
        command_line._dispatch_job(OmegaConf.create({"task": task}))
    assert str(caught.value) == f"task={task} cannot be part of a sweep; leave out --multirun."
