"""What a run has finished, so that a second start in its folder goes on from there.

Each stage of a job leaves its result in ``state/``, with the digest of all that it depends on; the
fit leaves ``checkpoints/last.ckpt``. Files are written whole or not at all, so that a run killed at
any moment resumes to the same bank and the same tables. The run's own results replace ``state/`` in
the end.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from safetensors import SafetensorError, safe_open
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.runs.files import whole

_log = logging.getLogger(__name__)
Tensors = dict[str, Tensor]


class Stages:
    """The stages of one layer's job.

    Args:
        folder: Where the layer's results go.
        key: Plain JSON: everything that the results depend on.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.folder = folder
        self.key = blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()

    def once(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """Return the result of a stage: from its file if that is complete, else by making it.

        Either way it lies on the CPU, contiguous and outside of any graph; callers move what they
        need elsewhere.

        Args:
            name: Name of the stage.
            make: Makes the result, in every process; the first one writes it.
        """
        found = self.recall(name)
        if found is not None:
            _log.info("%s: already done, read from %s", name, self._path(name))
            return found
        made = {key: value.detach().cpu().contiguous() for key, value in make().items()}
        if processes.is_first():
            path = self._path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as part:
                part.write_bytes(safetensors.torch.save(made, {"key": self.key}))
        return made

    def recall(self, name: str) -> Tensors | None:
        """Return the result of a stage, on the CPU, if it is that of this very configuration."""
        return processes.from_first(lambda: self._load(self._path(name)))

    def checkpoint(self) -> Path | None:
        """Return the fit's checkpoint if it was made for this very configuration."""
        path = self.folder / "checkpoints" / "last.ckpt"
        return path if processes.from_first(lambda: self._fits(path)) else None

    def finish(self) -> None:
        """Remove what the run's own results replace."""
        if processes.is_first():
            shutil.rmtree(self.folder / "state", ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / "state" / f"{name}.safetensors"

    def _load(self, path: Path) -> Tensors | None:
        try:
            with safe_open(path, "pt") as file:
                key = (file.metadata() or {}).get("key")
            return safetensors.torch.load_file(path) if key == self.key else None
        except (OSError, SafetensorError):
            return None

    def _fits(self, path: Path) -> bool:
        if not path.exists():
            return False
        try:
            key = torch.load(path, map_location="cpu", weights_only=True).get("stage_key")
        except Exception as error:  # whatever torch.load raises at a damaged file
            _log.warning("%s is damaged (%s); the fit starts over", path, error)
            return False
        if key != self.key:
            _log.info("%s was saved with a different configuration; the fit starts over", path)
        return bool(key == self.key)


class WholeCheckpoints(TorchCheckpointIO):
    """Write checkpoints whole or not at all, on whichever file system."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write beside the place, then rename."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with whole(Path(path)) as part:
            torch.save(checkpoint, part)
