"""bank.safetensors: what goes in comes out, and nothing else is taken for a bank."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from support.banks import made_up_header

from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.errors import RunFolderError
from net2vec_pl.probes import BankFile

SKY = Concept(9, "sky", "object", ("object", "part"), True)


def bank(bias: bool) -> BankFile:
    return BankFile(
        weight=torch.randn(1, 4),
        threshold=torch.rand(4),
        alpha=torch.rand(1),
        bias=torch.randn(1) if bias else None,
        scale=torch.rand(4) if bias else None,
        other_seeds=torch.randn(2, 1, 4),
        other_biases=torch.randn(2, 1) if bias else None,
        vocabulary=Vocabulary([SKY]),
        header=made_up_header(4, layer="conv4"),
    )


@pytest.mark.parametrize("bias", [False, True])
def test_a_bank_reads_back_as_it_was(bias: bool, tmp_path: Path) -> None:
    saved = bank(bias)
    saved.save(tmp_path / "bank.safetensors")
    loaded = BankFile.load(tmp_path / "bank.safetensors")
    assert loaded.header == saved.header
    assert loaded.vocabulary == saved.vocabulary
    for name in ("weight", "threshold", "alpha", "bias", "scale", "other_seeds", "other_biases"):
        given, found = getattr(saved, name), getattr(loaded, name)
        assert (given is None) == (found is None)
        assert given is None or torch.equal(given, found)
    assert (loaded.bias is None) == (not bias)
    assert [p.name for p in tmp_path.iterdir()] == ["bank.safetensors"]


def test_what_is_no_bank_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    with pytest.raises(RunFolderError, match="cannot be read"):
        BankFile.load(path)
    path.write_bytes(b"no bank at all")
    with pytest.raises(RunFolderError, match="cannot be read"):
        BankFile.load(path)
    safetensors.torch.save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(RunFolderError, match="not a concept bank"):
        BankFile.load(path)


def test_a_bank_of_a_newer_format_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("net2vec_pl.probes.bank_file.FORMAT_VERSION", 99)
    bank(False).save(tmp_path / "bank.safetensors")
    monkeypatch.undo()
    with pytest.raises(RunFolderError, match="has format 99; this version reads up to 1"):
        BankFile.load(tmp_path / "bank.safetensors")
