"""Networks of Hugging Face by name, as ``transformers.AutoModel`` builds them."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from net2vec_pl.backbones.leftover import Leftover
from net2vec_pl.backbones.library import FILE_INSTEAD, LibraryNetwork, Size
from net2vec_pl.backbones.scaling import InputScaling
from net2vec_pl.errors import BackboneError

_FILES = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)  # fmt: skip
# Argument of ``forward`` with which networks fit their position embeddings to any image.
_POSITIONS = "interpolate_pos_encoding"


class HuggingFaceNetwork(LibraryNetwork):
    """``hf/OWNER/NAME``, a repository of the Hub, or ``hf/FOLDER``, as ``save_pretrained`` wrote.

    Of a network of images and text it is the image tower. Code that comes with a repository is
    never run.
    """

    prefix: ClassVar[str] = "hf"
    package: ClassVar[str] = "transformers"

    @property
    def scaling(self) -> InputScaling:
        """Mean and standard deviation of the image processor that comes with the network."""
        self._config({})
        what = f"{self} says no mean and std of its input"
        remedy = (
            "Give those it was trained with: model.scaling=torchvision, half, unit or "
            "{mean: [r, g, b], std: [r, g, b]}."
        )
        with _explained(what, remedy) as transformers:
            processor = transformers.AutoImageProcessor.from_pretrained(
                self._place, trust_remote_code=False
            )
            if not getattr(processor, "do_normalize", True):
                return InputScaling.named("unit")
            return InputScaling.fitting(processor.image_mean, processor.image_std)

    def own_size(self, kwargs: Mapping[str, Any]) -> Size | None:
        """Return (H, W) of the images that its configuration names."""
        size = getattr(self._config(kwargs), "image_size", None)
        sides = [size, size] if isinstance(size, int) else [*(size or ())]
        return (sides[0], sides[1]) if len(sides) == 2 else None

    @property
    def to_download(self) -> str | None:
        """The repository, unless its weights are in the cache."""
        from huggingface_hub import try_to_load_from_cache

        place = self._place
        here = Path(place).is_dir() or any(
            isinstance(try_to_load_from_cache(place, file), str) for file in _FILES
        )
        return None if here else f"{place} from the Hugging Face Hub"

    def create(
        self, image_size: Size, kwargs: Mapping[str, Any], *, pretrained: bool
    ) -> tuple[nn.Module, Leftover]:
        """Build it by ``AutoModel``; it fits its position embeddings when images come."""
        config = self._config(kwargs)
        if not pretrained:
            with _explained(f"{self} cannot be built", "") as transformers:
                network = transformers.AutoModel.from_config(config, trust_remote_code=False)
            return _for_any_size(network, str(self)), Leftover()
        with _explained(f"{self} cannot be built with its weights", FILE_INSTEAD) as transformers:
            network, told = transformers.AutoModel.from_pretrained(
                self._place,
                config=config,
                revision=kwargs.get("revision", "main"),
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
            )
        own = network.state_dict()
        absent = {key: key for key in sorted(told["missing_keys"]) if key in own}
        for key in absent:  # of a pooler: the digest must not depend on what was drawn for it
            own[key].zero_()
        return _for_any_size(network, str(self)), Leftover("weights", str(self), absent)

    def adapted(self, network: nn.Module, state: Any) -> Any:
        """Return the entries by the names that they have in transformers today.

        A file has those of the first version that had the network.
        """
        with _explained(f"{self} cannot read such weights", ""):
            own: Any = type(network)
            filled, told = own.from_pretrained(
                None, config=network.config, state_dict=dict(state), output_loading_info=True
            )
        given = filled.state_dict()
        return {name: given[name] for name in given if name not in told["missing_keys"]}

    @property
    def _place(self) -> str:
        """A folder, where there is one of this name, or the name of a repository."""
        folder = Path(self.name).expanduser()
        return str(folder) if folder.is_dir() else self.name

    def _config(self, kwargs: Mapping[str, Any]) -> Any:
        """Return the configuration of the network, or of its image tower."""
        what, remedy = f"{self} cannot be found", "Give hf/OWNER/NAME of the Hub, or hf/FOLDER."
        with _explained(what, remedy) as transformers:
            config = transformers.AutoConfig.from_pretrained(
                self._place, trust_remote_code=False, **kwargs
            )
        return getattr(config, "vision_config", config)


@contextmanager
def _explained(what: str, remedy: str) -> Iterator[Any]:
    """Give transformers, which reports nothing meanwhile; whatever it raises ends in one message.

    Args:
        what: What is wrong then.
        remedy: What to do about it.

    Raises:
        BackboneError: If transformers is missing or raises anything.
    """
    try:
        import transformers
    except ImportError as error:
        raise BackboneError(
            f"networks of Hugging Face need transformers ({error}): pip install 'net2vec_pl[hf]'."
        ) from error
    logging: Any = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    except Exception as error:  # of the Hub, of a file, or of the network's own code
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise BackboneError(f"{what} ({said}). {remedy}".rstrip()) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _for_any_size(network: nn.Module, name: str) -> nn.Module:
    """Let a network fit its position embeddings to any image.

    Raises:
        BackboneError: If it takes no images.
    """
    if getattr(network, "main_input_name", "") != "pixel_values":
        raise BackboneError(f"{name} is a {type(network).__name__}, which takes no images.")
    if _POSITIONS in inspect.signature(network.forward).parameters:
        network.register_forward_pre_hook(_ask_for_positions, with_kwargs=True)
    return network


def _ask_for_positions(
    network: nn.Module, images: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return images, {**kwargs, _POSITIONS: True}
