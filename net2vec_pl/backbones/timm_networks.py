"""Networks of timm by name, built as timm builds them for the size of the images."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from net2vec_pl.backbones.leftover import Leftover
from net2vec_pl.backbones.library import FILE_INSTEAD, LibraryNetwork, Size
from net2vec_pl.backbones.scaling import InputScaling
from net2vec_pl.errors import BackboneError, unknown

_FILES = ("model.safetensors", "pytorch_model.bin")  # of a repository of timm on the Hub


class TimmNetwork(LibraryNetwork):
    """``timm/NAME``; behind a dot the name may have a tag, which says whose weights are meant."""

    prefix: ClassVar[str] = "timm"
    package: ClassVar[str] = "timm"

    @property
    def scaling(self) -> InputScaling:
        """Mean and standard deviation as timm's configuration of the weights has them."""
        config = self._config
        return InputScaling.fitting(config.mean, config.std)

    def own_size(self, kwargs: Mapping[str, Any]) -> Size:
        """Return (H, W) of the images that it was trained on."""
        height, width = self._config.input_size[1:]
        return height, width

    @property
    def to_download(self) -> str | None:
        """The repository, or the address, that timm takes weights from; None if they are here."""
        config = self._config
        if repo := config.hf_hub_id:
            from huggingface_hub import try_to_load_from_cache

            files = [config.hf_hub_filename] if config.hf_hub_filename else _FILES
            here = any(isinstance(try_to_load_from_cache(repo, file), str) for file in files)
            return None if here else f"{repo} from the Hugging Face Hub"
        url = str(config.url or "")
        kept = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        return None if kept.is_file() else url or None

    def create(
        self, image_size: Size, kwargs: Mapping[str, Any], *, pretrained: bool
    ) -> tuple[nn.Module, Leftover]:
        """Build it by ``timm.create_model``."""
        # Only networks that are built for one size take it as an argument.
        size = {"img_size": image_size} if self._config.fixed_input_size else {}
        try:
            network: nn.Module = _timm().create_model(
                self.name, pretrained=pretrained, **{**size, **kwargs}
            )
        except Exception as error:  # of the network's own code, or of the download
            said = " ".join(str(error).split()).rstrip(".")
            remedy = f" {FILE_INSTEAD}" if pretrained else ""
            raise BackboneError(f"{self} cannot be built ({said}).{remedy}") from error
        return network, Leftover()

    def adapted(self, network: nn.Module, state: Any) -> Any:
        """Bring weights to a network as timm does: position embeddings to its size, old names."""
        adapt = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
        return state if adapt is None else adapt(state, network)

    @property
    def _config(self) -> Any:
        """What timm knows of the network and its weights.

        Raises:
            BackboneError: If there is no such network, or no such tag.
        """
        timm = _timm()
        network, _, tag = self.name.partition(".")
        if not timm.is_model(network):
            raise BackboneError(unknown("network of timm", network, timm.list_models()))
        try:
            return timm.get_pretrained_cfg(self.name, allow_unregistered=False)
        except RuntimeError as error:
            known = [name.partition(".")[2] for name in timm.list_pretrained(f"{network}.*")]
            raise BackboneError(unknown(f"tag of timm/{network}", tag, known)) from error


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise BackboneError(
            f"networks of timm need timm ({error}): pip install 'net2vec_pl[timm]'."
        ) from error
    return timm
