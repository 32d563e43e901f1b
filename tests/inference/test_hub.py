"""Banks on the Hub: what is pushed comes back, and every refusal says what to do.

huggingface_hub itself runs, against a stand-in for the Hub on this machine.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from support.banks import made_up_header
from support.hub_server import TOKEN, Hub, Repo, hub_server

import net2vec_pl
from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.errors import ConfigError, RunFolderError
from net2vec_pl.inference.hub import fetch, push
from net2vec_pl.probes import BankFile
from net2vec_pl.records.run import ConceptRow
from net2vec_pl.report import hub_card

REPO = "owner/bank"
CARD = "---\ntags: [net2vec]\n---\n\n# A bank\n"


def bank_of(target: str = "segmentation") -> BankFile:
    concepts = [Concept(i, f"c{i}", "object", ("object",), True) for i in (1, 2)]
    return BankFile(
        weight=torch.randn(2, 5, generator=torch.Generator().manual_seed(0)),
        threshold=torch.arange(5.0),
        alpha=torch.ones(2),
        bias=torch.ones(2) if target == "classification" else None,
        vocabulary=Vocabulary(concepts),
        header=made_up_header(5, target=target),
    )


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub that huggingface_hub talks to, logged in as the owner, with an empty cache."""
    pytest.importorskip("huggingface_hub", reason="no huggingface_hub")
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between its attempts
    with hub_server() as known:
        template = f"{known.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", known.url)
        for module in (constants, file_download):  # older releases keep a copy
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield known
    fresh_session()


@pytest.fixture
def fresh_cache(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of somebody who has pushed nothing and is not logged in."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "fresh"))
    monkeypatch.delenv("HF_TOKEN")
    return tmp_path / "fresh"


def fresh_session() -> None:
    """Forget the connections: older releases decide when they open one whether it is offline."""
    from huggingface_hub.utils import _http

    getattr(_http, "reset_sessions", lambda: None)()


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    fresh_session()


def same(found: BankFile, bank: BankFile) -> bool:
    tensors = (torch.equal(getattr(found, n), getattr(bank, n)) for n in ("weight", "threshold"))
    return (
        all(tensors)
        and found.header == bank.header
        and found.vocabulary.names == bank.vocabulary.names
    )


# -------------------- there and back


def test_a_bank_that_was_learned_takes_its_scores_along(hub: Hub) -> None:
    bank = net2vec_pl.learn(
        "shapesnet", names=["sky", "tree"], analyses="none", beside=(), device="cpu",
        options={"data.num_images": 60, "data.image_size": 32, "protocol.epochs": 1},
    )  # fmt: skip
    assert bank.push_to_hub(REPO, license="mit") == "hf://owner/bank"
    repo = hub.repos[REPO]
    card = repo.commits[repo.refs["main"]]["README.md"].decode()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "mit"
    metrics = front["model-index"][0]["results"][0]["metrics"]
    mean = sum(row.multi_val for row in bank.scores) / 2
    assert metrics[0]["value"] == pytest.approx(mean, abs=5e-4)
    again = net2vec_pl.load_bank("hf://owner/bank")
    assert torch.equal(again["sky"], bank["sky"])
    picture = torch.zeros(3, 32, 32, dtype=torch.uint8)
    assert torch.equal(again.logits(picture), bank.logits(picture))
    with pytest.raises(RunFolderError, match="loaded from a file alone"):
        _ = again.scores
    again.push_to_hub("owner/again")  # without scores
    repo = hub.repos["owner/again"]
    assert b"model-index" not in repo.commits[repo.refs["main"]]["README.md"]


def test_folders_of_this_machine_are_not_told(hub: Hub) -> None:
    bank = bank_of()
    bank.header["model"]["weights"] = "/home/me/secret project/resnet.pth"
    net2vec_pl.Bank(bank).push_to_hub(REPO)
    repo = hub.repos[REPO]
    for content in repo.commits[repo.refs["main"]].values():
        assert b"secret" not in content
    assert net2vec_pl.load_bank("hf://owner/bank").header["model"]["weights"] == "resnet.pth"


@pytest.mark.parametrize(
    ("target", "file"),
    [("segmentation", "bank.safetensors"), ("classification", "classification.safetensors")],
)
def test_a_bank_comes_back_as_it_was_pushed(
    target: str, file: str, hub: Hub, request: pytest.FixtureRequest
) -> None:
    bank = bank_of(target)
    address = push(bank, REPO, CARD, message="A first bank")
    assert address == "hf://owner/bank"
    repo = hub.repos[REPO]
    assert repo.titles == ["A first bank"], "bank and card come in one commit"
    assert not repo.private
    assert repo.commits[repo.refs["main"]]["README.md"].decode() == CARD
    cache = request.getfixturevalue("fresh_cache")
    path = fetch(address)
    assert path.name == file
    assert path.is_relative_to(cache)
    assert same(BankFile.load(path), bank)
    assert same(net2vec_pl.load_bank(address).file, bank)
    assert hub.downloads == [file], "the second time it comes from the cache"


def test_a_second_push_replaces_the_first_and_revisions_tell_them_apart(hub: Hub) -> None:
    bank = bank_of()
    other = replace(bank, weight=-bank.weight)
    push(bank, REPO, CARD)
    repo = hub.repos[REPO]
    first = repo.refs["main"]
    repo.refs |= {"v1": first, "with/slash": first}
    push(other, REPO, CARD)
    assert same(BankFile.load(fetch("hf://owner/bank")), other)
    for revision in (first, "v1", "with%2Fslash"):
        assert same(BankFile.load(fetch(f"hf://owner/bank@{revision}")), bank)


def test_a_file_is_fetched_from_wherever_it_lies(hub: Hub, tmp_path: Path) -> None:
    bank_of("classification").save(tmp_path / "file")
    path = "late/my bank.safetensors"
    hub.repos[REPO] = Repo()
    first = hub.repos[REPO].add({path: (tmp_path / "file").read_bytes()}, "")
    hub.repos[REPO].add({path: b"something else"}, "")
    found = net2vec_pl.load_bank(f"hf://owner/bank@{first}/{path}").file
    assert same(found, bank_of("classification"))


@pytest.mark.usefixtures("hub")
def test_a_private_bank_is_read_with_the_token_that_is_given(
    request: pytest.FixtureRequest,
) -> None:
    push(bank_of(), REPO, CARD, private=True)
    request.getfixturevalue("fresh_cache")
    with pytest.raises(RunFolderError, match=r"hf://owner/bank: no such repository .* HF_TOKEN"):
        fetch("hf://owner/bank")
    assert same(BankFile.load(fetch("hf://owner/bank", token=TOKEN)), bank_of())


@pytest.mark.usefixtures("fresh_cache")
def test_a_bank_is_pushed_with_the_token_that_is_given(hub: Hub) -> None:
    push(bank_of(), REPO, CARD, token=TOKEN)
    assert hub.repos[REPO].titles == ["Upload a bank of concept embeddings"]


def test_the_card_heads_a_page_that_the_hub_can_index(hub: Hub) -> None:
    scores = [
        ConceptRow(
            id=i, name=f"c{i}", category="object", n_train=9, n_val=4, alpha=0.5, best_filter=0,
            single_train=0.1, single_val=0.1, multi_train=0.1, multi_val=0.1 * i, ap_val=0.2 * i,
            norm=1.0, status="ok",
        )
        for i in (1, 2)
    ]  # fmt: skip
    push(bank_of(), REPO, hub_card(bank_of(), REPO, scores))
    repo = hub.repos[REPO]
    _, front, text = repo.commits[repo.refs["main"]]["README.md"].decode().split("---\n", 2)
    (index,) = yaml.safe_load(front)["model-index"]
    (result,) = index["results"]
    assert index["name"] == "bank"
    assert [m["value"] for m in result["metrics"]] == [0.15, 0.3]
    assert 'net2vec_pl.load_bank("hf://owner/bank")' in text


def test_in_a_process_of_its_own_the_library_finds_its_way_by_the_environment(
    hub: Hub, tmp_path: Path
) -> None:
    push(bank_of(), REPO, CARD)
    environment = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(Path(net2vec_pl.__file__).parents[1]),
    }
    code = "import net2vec_pl; print(net2vec_pl.load_bank('hf://owner/bank'))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        check=True, capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip
    assert said.stdout == "Bank(2 concepts over 5 filters of shapesnet conv5)\n"
    assert list((tmp_path / "home").rglob("bank.safetensors"))


# -------------------- what is refused


@pytest.mark.parametrize(
    "address",
    [
        "hf://", "hf://bank", "hf://owner/", "hf://owner/bank/", "hf://owner/bank@",
        "hf://own er/b", "hf://owner/bank/folder", "hf://owner/bank/model.pt",
        "hf://owner/bank/../x.safetensors", "hf://owner/bank@a@b",
    ],
)  # fmt: skip
def test_a_malformed_address_is_named_with_the_forms_that_exist(address: str) -> None:
    with pytest.raises(ConfigError, match="is not the address of a bank") as caught:
        net2vec_pl.load_bank(address)
    assert repr(address) in str(caught.value)
    assert "hf://owner/name@revision" in str(caught.value)


@pytest.mark.usefixtures("hub")
def test_a_name_that_the_hub_does_not_allow_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^hf://owner/a--b: .*a--b"):
        fetch("hf://owner/a--b")
    with pytest.raises(ConfigError, match=r"^hf://owner/a--b: .*a--b"):
        push(bank_of(), "owner/a--b", CARD)


@pytest.mark.parametrize("repo", ["bank", "hf://owner/bank", "owner/bank/x", "owner/"])
def test_only_the_name_of_a_repository_can_be_pushed_to(repo: str) -> None:
    with pytest.raises(ConfigError, match="is not the name of a repository: owner/name"):
        push(bank_of(), repo, CARD)


@pytest.mark.parametrize("address", ["hf://owner/bnk", "hf://nobody/bank@v1"])
def test_a_repository_that_does_not_exist(address: str, hub: Hub) -> None:
    hub.repos[REPO] = Repo()
    with pytest.raises(RunFolderError, match=f"^{address}: no such repository can be read"):
        fetch(address)


def test_a_repository_with_restricted_access(hub: Hub, fresh_cache: Path) -> None:
    push(bank_of(), REPO, CARD, token=TOKEN)
    hub.repos[REPO].gated = True
    with pytest.raises(RunFolderError, match=r"access is restricted.*Ask for it.*HF_TOKEN"):
        fetch("hf://owner/bank")
    assert not list(fresh_cache.rglob("*.safetensors"))


def test_a_token_that_is_none(hub: Hub) -> None:
    hub.refusal = 401
    with pytest.raises(RunFolderError, match="no such repository can be read"):
        fetch("hf://owner/bank")


def test_a_repository_without_a_bank_lists_its_files(hub: Hub) -> None:
    hub.repos[REPO] = Repo()
    hub.repos[REPO].add({"README.md": b"", "late/bank.safetensors": b""}, "")
    with pytest.raises(RunFolderError, match="hf://owner/bank holds no bank: unknown file") as bare:
        fetch("hf://owner/bank")
    assert "Did you mean 'late/bank.safetensors'?" in str(bare.value)
    assert "Known: README.md, late/bank.safetensors." in str(bare.value)
    with pytest.raises(RunFolderError, match=r"unknown file of owner/bank 'late/b\.safe"):
        fetch("hf://owner/bank/late/b.safetensors")


def test_a_revision_that_does_not_exist_lists_those_that_do(hub: Hub) -> None:
    push(bank_of(), REPO, CARD)
    hub.repos[REPO].refs["v1.0"] = hub.repos[REPO].refs["main"]
    with pytest.raises(RunFolderError, match=r"hf://owner/bank@v1\.1 does not exist") as caught:
        fetch("hf://owner/bank@v1.1")
    assert "'v1.1'. Did you mean 'v1.0'? Known: main, v1.0." in str(caught.value)


def test_a_file_that_is_no_bank_is_refused_like_any_other(hub: Hub) -> None:
    hub.repos[REPO] = Repo()
    hub.repos[REPO].add({"bank.safetensors": b"cos\nsystem\n(S'echo'\ntR."}, "")
    with pytest.raises(RunFolderError, match="cannot be read"):
        net2vec_pl.load_bank("hf://owner/bank")


def test_offline_a_bank_comes_from_the_cache_or_not_at_all(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(bank_of("classification"), REPO, CARD)
    fetch("hf://owner/bank")
    offline(monkeypatch)
    assert fetch("hf://owner/bank").name == "classification.safetensors"
    for address in ("hf://owner/other", "hf://owner/bank@v1", "hf://owner/bank/x.safetensors"):
        with pytest.raises(RunFolderError, match=f"^{address}: HF_HUB_OFFLINE is set"):
            fetch(address)
    with pytest.raises(RunFolderError, match="hf://owner/bank: HF_HUB_OFFLINE is set"):
        push(bank_of(), REPO, CARD)
    assert len(hub.repos[REPO].titles) == 1


def test_a_hub_that_fails_is_not_taken_for_one_without_the_bank(hub: Hub) -> None:
    """Else a transient fault would hand out the classifiers of a repository that has both."""
    push(bank_of("classification"), REPO, CARD)
    fetch("hf://owner/bank/classification.safetensors")
    hub.refusal = 500
    with pytest.raises(RunFolderError, match=r"^hf://owner/bank: the Hub cannot be reached, or"):
        fetch("hf://owner/bank")


@pytest.mark.usefixtures("hub")
def test_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants, file_download

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", nowhere)
        template = f"{nowhere}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        for module in (constants, file_download):
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        with pytest.raises(RunFolderError, match="the Hub cannot be reached") as fetched:
            fetch("hf://owner/bank")
        with pytest.raises(RunFolderError, match="the Hub cannot be reached") as pushed:
            push(bank_of(), REPO, CARD)
    assert "Connect" in str(fetched.value)
    assert "Connect" in str(pushed.value)


@pytest.mark.parametrize("repo", [REPO, "other/bank"])
def test_a_repository_that_cannot_be_written(
    repo: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    if repo == REPO:
        monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(RunFolderError, match=rf"hf://{repo}: this repository cannot be written"):
        push(bank_of(), repo, CARD)
    assert not hub.repos


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (
        lambda: fetch("hf://owner/bank"),
        lambda: push(bank_of(), REPO, CARD),
        lambda: hub_card(bank_of(), REPO),
    ):
        with pytest.raises(ConfigError, match=r"pip install 'net2vec_pl\[hub\]'"):
            call()
