"""Sparse autoencoders of each layout against their own formulas, and files that say too little."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from net2vec_pl.errors import ConfigError
from net2vec_pl.units import UnitChoice

K, U = 5, 8
RANDOM = torch.Generator().manual_seed(2)
X = torch.randn(200, K, generator=RANDOM)
W, B = torch.randn(U, K, generator=RANDOM), torch.randn(U, generator=RANDOM)
CENTRE, D = torch.randn(K, generator=RANDOM), torch.randn(U, K, generator=RANDOM)
T = torch.rand(U, generator=RANDOM)
SAELENS = {"W_enc": W.T.contiguous(), "b_enc": B, "W_dec": D, "b_dec": CENTRE}
OVERCOMPLETE = {
    "encoder.final_block.0.weight": W,
    "encoder.final_block.0.bias": B,
    "dictionary._weights": D,
}
LINEAR = {"encoder.weight": W, "encoder.bias": B, "decoder.weight": D.T.contiguous()}


def latents(
    folder: Path, tensors: dict[str, Tensor], config: dict[str, Any] | None = None, **options: Any
) -> Tensor:
    """Encode X by a file of some tensors."""
    path = folder / "sae.safetensors"
    save_file({name: value.clone() for name, value in tensors.items()}, path)
    if config is not None:
        (folder / "cfg.json").write_text(json.dumps(config))
    units = UnitChoice("sae", {"file": str(path), **options}).units(K)
    found: Tensor = units(X.T[None, :, :, None])[0, :, :, 0].T
    return found


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def top(values: Tensor, k: int) -> Tensor:
    """Keep the k largest of each row, one by one."""
    kept = torch.zeros_like(values)
    for row, out in zip(values, kept, strict=True):
        for at in sorted(range(len(row)), key=lambda i: -float(row[i]))[:k]:
            out[at] = row[at]
    return kept


@pytest.mark.parametrize("centred", [False, True])
def test_saelens(tmp_path: Path, centred: bool) -> None:
    config: dict[str, Any] = {"apply_b_dec_to_input": centred, "normalize_activations": "none"}
    pre = (X - CENTRE * centred) @ W.T + B
    close(latents(tmp_path, SAELENS, config | {"architecture": "standard"}), pre.relu())
    found = latents(tmp_path, SAELENS, config | {"architecture": "topk", "k": 3})
    close(found, top(pre.relu(), 3))
    assert ((found > 0).sum(1) <= 3).all()
    jump = {**SAELENS, "threshold": T}
    found = latents(tmp_path, jump, config | {"architecture": "jumprelu"})
    close(found, torch.where(pre > T, pre, 0).relu())
    assert ((pre > 0) & (found == 0)).any()
    # An older version: the threshold's logarithm.
    older = {**SAELENS, "log_threshold": T.log()}
    close(latents(tmp_path, older, config | {"architecture": "jumprelu"}), found)
    # Top-k selects by pre-activations times the length of the decoder's rows.
    scaled = config | {"architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True}
    close(latents(tmp_path, SAELENS, scaled), top((pre * D.norm(dim=1)).relu(), 3))


def test_saelens_of_older_versions(tmp_path: Path) -> None:
    config = {
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 2},
        "apply_b_dec_to_input": True,
    }
    close(latents(tmp_path, SAELENS, config), top(((X - CENTRE) @ W.T + B).relu(), 2))


def test_saelens_without_its_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not say what follows its linear map"):
        latents(tmp_path, SAELENS, centred=True)
    with pytest.raises(ConfigError, match=re.escape("units.centred=true or false")):
        latents(tmp_path, SAELENS, k=2)
    found = latents(tmp_path, SAELENS, k=2, centred=False)
    close(found, top((X @ W.T + B).relu(), 2))


def test_overcomplete(tmp_path: Path) -> None:
    pre = X @ W.T + B
    close(latents(tmp_path, OVERCOMPLETE, activation="relu"), pre.relu())
    close(latents(tmp_path, OVERCOMPLETE, k=2), top(pre.relu(), 2))
    close(latents(tmp_path, OVERCOMPLETE, threshold=0.7), torch.where(pre >= 0.7, pre, 0))
    jump = {**OVERCOMPLETE, "thresholds": T.log()}
    close(latents(tmp_path, jump), torch.where(pre.relu() < T, 0, pre.relu()))
    untied = {"encoder.weight": W, "dictionary._weights": D}
    close(latents(tmp_path, untied, k=2), top((X @ W.T).relu(), 2))
    norm = torch.nn.BatchNorm1d(U).eval()
    with torch.no_grad():
        for value in norm.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(U, generator=RANDOM) + 0.5)
        wanted = norm(pre).relu()
    state = {f"encoder.final_block.1.{name}": value for name, value in norm.state_dict().items()}
    close(latents(tmp_path, OVERCOMPLETE | state, activation="relu"), wanted)


def test_two_linear_layers(tmp_path: Path) -> None:
    close(latents(tmp_path, LINEAR, activation="relu"), (X @ W.T + B).relu())
    centred = ((X - CENTRE) @ W.T + B).relu()
    options: dict[str, dict[str, Any]] = {
        "bias": {},
        "b_dec": {},
        "decoder.bias": {"centred": True},
    }
    for name, given in options.items():
        close(latents(tmp_path, {**LINEAR, name: CENTRE}, activation="relu", **given), centred)
    # As dictionary_learning keeps a top-k encoder, before and after a threshold was found.
    topk = {**LINEAR, "b_dec": CENTRE, "k": torch.tensor(2), "threshold": torch.tensor(-1.0)}
    close(latents(tmp_path, topk), top(centred, 2))
    both = {**topk, "threshold": torch.tensor(0.6)}
    with pytest.raises(ConfigError, match="does not say what follows its linear map"):
        latents(tmp_path, both)
    close(latents(tmp_path, both, activation="topk"), top(centred, 2))
    close(latents(tmp_path, both, activation="jumprelu"), torch.where(centred > 0.6, centred, 0))


@pytest.mark.parametrize(
    ("tensors", "config", "options", "message"),
    [
        (
            {"a": W},
            None,
            {},
            "is of no layout that is known (SAELens, overcomplete, encoder.weight ",
        ),
        ({"W_enc": W}, None, {"k": 2}, "its encoder is 5 x 8 (latents x filters), but the layer"),
        (LINEAR, None, {}, "units.activation=relu, units.k=K for the K largest"),
        (LINEAR, None, {"activation": "topk"}, "does not say how many latents are kept: units.k=K"),
        (LINEAR, None, {"activation": "jumprelu"}, "has no threshold: units.threshold=T"),
        (LINEAR, None, {"k": 9}, "k of its latents is 9, but must be from 1 to 8"),
        ({**LINEAR, "decoder.bias": CENTRE}, None, {"k": 1}, "units.centred=true or false"),
        ({**LINEAR, "encoder.bias": CENTRE}, None, {"k": 1}, "its bias is of shape (5,), not (8,)"),
        (OVERCOMPLETE, None, {}, "read as overcomplete, does not say what follows its linear map"),
        (
            {**OVERCOMPLETE, "thresholds": T},
            None,
            {"k": 2},
            "says that its activation is jumprelu, not topk: leave out",
        ),
        (
            {**OVERCOMPLETE, "encoder.mlp_blocks.0.0.weight": W},
            None,
            {"k": 2},
            "has an encoder of several layers (encoder.mlp_blocks.0.0.weight)",
        ),
        (
            {**OVERCOMPLETE, "encoder.final_block.1.weight": B},
            None,
            {"k": 2},
            "normalises its latents at every position (layer norm)",
        ),
        (
            {"dictionary._weights": D},
            None,
            {"k": 2},
            "overcomplete, has no tensor 'encoder.weight'",
        ),
        (SAELENS, {"architecture": "gated"}, {}, "is a sparse autoencoder of the kind 'gated'"),
        (SAELENS, {"normalize_activations": "layer_norm"}, {}, "wants its input normalised (layer"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_to_do(
    tmp_path: Path,
    tensors: dict[str, Tensor],
    config: dict[str, Any] | None,
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        latents(tmp_path, tensors, config, **options)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        UnitChoice("sae", {"file": str(tmp_path / "none.safetensors")}).units(K)
    path = tmp_path / "sae.pt"
    torch.save(LINEAR, path)
    with pytest.raises(ConfigError, match="must be a safetensors file"):
        UnitChoice("sae", {"file": str(path)}).units(K)
    path = tmp_path / "sae.safetensors"
    save_file(SAELENS, path)
    (tmp_path / "cfg.json").write_text("{")
    with pytest.raises(ConfigError, match="json cannot be read"):
        UnitChoice("sae", {"file": str(path)}).units(K)
