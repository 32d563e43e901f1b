"""Follow the concepts of a network while it learns: a callback of Lightning."""

from dataclasses import asdict
from functools import reduce
from inspect import signature
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from net2vec_pl.api.data import ProbeData
from net2vec_pl.api.learning import learn
from net2vec_pl.api.request import Request
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.inference import Bank
from net2vec_pl.records import Table
from net2vec_pl.records.run import GrowthRow

_DEVICES = ("cpu", "cuda")  # scores are float64, which others lack
_NAMED = 20  # with more concepts than that, only means are logged
# Arguments of learn that a training or its callback decides.
_NOT_TAKEN = (
    "network", "layer", "data", "weights", "device", "devices", "target", "logger", "folder",
)  # fmt: skip
_USUAL = {"protocol": "lda", "analyses": "none", "beside": ()}  # in closed form: no training within


class ConceptProbe(pl.Callback):
    """Learn the concepts of a layer every few epochs, and log how they grow.

    The module itself is left as it is: a copy is probed, in eval mode. Several processes probe in
    the first one. Images reach it as ``scaling`` says, by default as torchvision's networks want
    them: give the scaling of your training.

    Logged are ``concepts/set_iou``, the mean val set IoU, and ``concepts/cosine``, the mean cosine
    of each vector with the one before; of up to 20 concepts also theirs, such as
    ``concepts/set_iou/sky``. Other callbacks may monitor them.

    Args:
        layer: Path of a module within the network.
        data: Images and masks, as :func:`~net2vec_pl.learn` takes them.
        every_n_epochs: How often; it also probes before the first epoch.
        network: Name of the attribute of the LightningModule that takes images; the module itself
            if None.
        prefix: First part of the names that are logged.
        options: Other arguments of :func:`~net2vec_pl.learn`, but for those that the training
            decides (``weights``, ``device``, ``devices``, ``logger``) and for ``target`` and
            ``folder``. Unlike there, the protocol is ``"lda"``, which needs no training, without
            analyses and other probes.

    Attributes:
        history: A row for every concept and probing; see
            :class:`~net2vec_pl.records.run.GrowthRow`.
        bank: The latest bank; None before the first.

    Raises:
        ConfigError: If an argument cannot be used.
        DataError: If the data cannot be read.

    Example:
        >>> probe = ConceptProbe("layer4", data=dataset, names=["dog"])  # doctest: +SKIP
        >>> pl.Trainer(callbacks=[probe]).fit(module)  # doctest: +SKIP
        >>> probe.history.to_pandas()  # doctest: +SKIP
    """

    def __init__(
        self,
        layer: str,
        data: ProbeData = "shapes",
        *,
        every_n_epochs: int = 1,
        network: str | None = None,
        prefix: str = "concepts",
        **options: Any,
    ) -> None:
        if not isinstance(every_n_epochs, int) or every_n_epochs < 1:
            raise ConfigError(f"every_n_epochs={every_n_epochs} must be a whole number from 1.")
        if not isinstance(layer, str):
            raise ConfigError(
                f"layer={layer} must be one layer; follow others by a ConceptProbe each, with a "
                "prefix of its own."
            )
        self._layer, self._network = layer, network
        self._every, self._prefix = every_n_epochs, prefix
        self._options = _options(data, options)
        self.history: Table[GrowthRow] = Table()
        self.bank: Bank | None = None
        self._before: dict[str, Tensor] = {}

    @property
    def state_key(self) -> str:
        """What the checkpoint calls it: several may follow one training."""
        return self._generate_state_key(layer=self._layer, prefix=self._prefix)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forget an earlier training when another begins."""
        if stage == "fit" and trainer.current_epoch == 0:
            self.history, self._before, self.bank = Table(), {}, None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Probe the network as it is before it learns."""
        if not self.history:
            self._probe(trainer, pl_module, epoch=0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Probe the network, and log what was found."""
        epoch = trainer.current_epoch + 1
        if epoch % self._every == 0:
            pl_module.log_dict(self._probe(trainer, pl_module, epoch))

    def state_dict(self) -> dict[str, Any]:
        """Return the history, for the checkpoint of a training that goes on later."""
        return {"history": [asdict(row) for row in self.history], "before": self._before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Undo :meth:`state_dict`."""
        self.history = Table(GrowthRow(**row) for row in state["history"])
        self._before = state["before"]

    def _probe(
        self, trainer: pl.Trainer, module: pl.LightningModule, epoch: int
    ) -> dict[str, float]:
        """Probe in the first process, and return to all what is logged."""
        rows: list[GrowthRow] = []
        failure = None
        if trainer.is_global_zero:
            try:
                rows = self._learned(trainer, module, epoch)
            except Exception as error:  # the others would wait for ever
                failure = error
        rows, failure = trainer.strategy.broadcast((rows, failure))
        if failure is not None:
            raise failure
        self.history += rows
        return self._logged(rows)

    def _learned(
        self, trainer: pl.Trainer, module: pl.LightningModule, epoch: int
    ) -> list[GrowthRow]:
        device = module.device if module.device.type in _DEVICES else "cpu"
        self.bank = learn(self._part(module), self._layer, device=device, **self._options)
        vectors = {name: self.bank[name] for name in self.bank}
        before, self._before = self._before, vectors
        return [
            GrowthRow(
                epoch,
                trainer.global_step,
                row.name,
                row.category,
                row.multi_val,
                row.norm,
                _cosine(vectors.get(row.name), before.get(row.name)),
            )
            for row in self.bank.scores
        ]

    def _part(self, module: pl.LightningModule) -> nn.Module:
        """Return what takes images."""
        if self._network is None:
            return module
        try:
            found = reduce(getattr, self._network.split("."), module)
        except AttributeError as error:
            known = [name for name, _ in module.named_children()]
            kind = type(module).__name__
            raise ConfigError(unknown(f"network of {kind}", self._network, known)) from error
        assert isinstance(found, nn.Module)
        return found

    def _logged(self, rows: list[GrowthRow]) -> dict[str, float]:
        values: dict[str, float] = {}
        for measure in ("set_iou", "cosine"):
            of = {row.name: float(getattr(row, measure)) for row in rows}
            finite = {name: value for name, value in of.items() if value == value}
            values[f"{self._prefix}/{measure}"] = fmean(finite.values()) if finite else nan
            if len(rows) <= _NAMED:
                values |= {f"{self._prefix}/{measure}/{name}": v for name, v in finite.items()}
        return values


def _options(data: ProbeData, options: dict[str, Any]) -> dict[str, Any]:
    """Check arguments of learn before a training starts, and open the data once."""
    usual = {name: parameter.default for name, parameter in signature(learn).parameters.items()}
    known = [name for name in usual if name not in _NOT_TAKEN]
    for name in options:
        if name not in known:
            raise ConfigError(unknown("argument of ConceptProbe", name, known))
    whole = usual | _USUAL | options | {"data": data}
    request = Request(whole | {"network": "shapesnet", "layer": None}, Path())
    plan, given = request.plan, request.data
    _ = plan.options, plan.questions, plan.concepts, plan.on_error, plan.scan  # all checked
    if given.reader is None or given.reader is data:
        return _USUAL | options | {"data": data}
    of_dataset = ("names", "split", "groups", "image_size", "mask_size")
    kept = {name: value for name, value in options.items() if name not in of_dataset}
    return _USUAL | kept | {"data": given.reader}


def _cosine(vector: Tensor | None, before: Tensor | None) -> float:
    if vector is None or before is None or len(vector) != len(before):
        return nan
    return float(cosine_similarity(vector.double(), before.double(), dim=0, eps=1e-300))
