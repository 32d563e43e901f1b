"""Checkpoints of the layouts in which people have them, all of one small network."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

State = dict[str, Tensor]
Layout = Callable[[nn.Module], Any]


class Small(nn.Module):
    """A network with the names of a ResNet."""

    def __init__(self, classes: int = 10, width: int = 6) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(nn.Conv2d(4, width, 3, stride=2, padding=1), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(width, 8, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(8, classes)

    def features(self, images: Tensor) -> Tensor:
        """Return what layer2 gives."""
        maps: Tensor = self.layer2(self.layer1(self.bn1(self.conv1(images))))
        return maps

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.features(images).mean((2, 3)))
        return logits


class Wrapped(nn.Module):
    """A network whose own name for a part of it is ``module``."""

    def __init__(self) -> None:
        super().__init__()
        self.module = Small()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.module(images)
        return logits


def source(kind: type[nn.Module] = Small, seed: int = 7, **kwargs: Any) -> nn.Module:
    """Return a network with random weights whose norms have statistics too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kind(**kwargs)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean = torch.randn(module.num_features)
                module.running_var = torch.rand(module.num_features) + 0.5
                module.num_batches_tracked = torch.tensor(11)
    return network.eval()


def under(prefix: str, *copies: str) -> Layout:
    """Return a layout whose keys have a prefix; copies with other values stand in front of it."""

    def layout(network: nn.Module) -> State:
        other = source(seed=8).state_dict()
        return {
            f"{p}{k}": v
            for p, state in (
                *((copied, other) for copied in copies),
                (prefix, network.state_dict()),
            )
            for k, v in state.items()
        }

    return layout


def nested(name: str, inner: Layout = nn.Module.state_dict, **beside: Any) -> Layout:
    """Return a layout that keeps the state dict under a name, beside what training needs."""

    def layout(network: nn.Module) -> dict[str, Any]:
        trained = copy.deepcopy(network)
        optimizer = torch.optim.Adam(trained.parameters())
        trained(torch.zeros(1, 3, 16, 16)).sum().backward()
        optimizer.step()
        return {"epoch": 3, name: inner(network), "optimizer": optimizer.state_dict(), **beside}

    return layout


def _bare(network: nn.Module) -> State:
    return {k: v for k, v in network.state_dict().items() if not k.startswith("fc.")}


def _parallel_features(network: nn.Module) -> State:
    """Return what the ImageNet example saves of an AlexNet: only its features are in parallel."""
    return {k.replace("layer1.", "layer1.module."): v for k, v in network.state_dict().items()}


def _compiled_parts(network: nn.Module) -> State:
    return {
        f"module.{k.replace('layer2.', 'layer2._orig_mod.')}": v
        for k, v in network.state_dict().items()
    }


def _lightning(network: nn.Module) -> dict[str, Any]:
    state = OrderedDict((f"model.{k}", v) for k, v in network.state_dict().items())
    state["criterion.weight"] = torch.ones(10)
    return {
        "epoch": 3, "global_step": 90, "pytorch-lightning_version": "2.5.0", "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}}}, "callbacks": {}, "optimizer_states": [],
        "lr_schedulers": [], "hparams_name": "kwargs", "hyper_parameters": {"lr": 0.1},
    }  # fmt: skip


def _moco(network: nn.Module) -> dict[str, Any]:
    towers = under("module.encoder_q.", "module.encoder_k.")(network)
    heads = {k.replace(".fc.", ".fc.2."): v for k, v in towers.items() if ".fc." in k}
    state = {k: v for k, v in towers.items() if ".fc." not in k} | heads
    queue = {"module.queue": torch.zeros(8, 5), "module.queue_ptr": torch.zeros(1).long()}
    return {"epoch": 3, "arch": "small", "state_dict": state | queue, "optimizer": {"state": {}}}


def _dino(network: nn.Module) -> dict[str, Any]:
    head = {"head.mlp.0.weight": torch.ones(2, 8), "head.last_layer.weight_g": torch.ones(2, 1)}
    student = source(seed=8)
    return {
        "student": {f"module.{k}": v for k, v in (_backbone(student) | head).items()},
        "teacher": _backbone(network) | head,
        "dino_loss": {"center": torch.zeros(1, 2)},
    }


def _backbone(network: nn.Module) -> State:
    return {f"backbone.{k}": v for k, v in _bare(network).items()}


def _swav(network: nn.Module) -> State:
    state = {f"module.{k}": v for k, v in _bare(network).items()}
    heads = {
        "module.projection_head.0.weight": torch.ones(2, 8),
        "module.prototypes.weight": torch.ones(3, 2),
    }
    return state | heads


def _averaged(network: nn.Module) -> State:
    state: State = AveragedModel(network).state_dict()
    return state


def _copy_in_front(network: nn.Module) -> dict[str, Any]:
    return {"params_ema": source(seed=8).state_dict(), "params": network.state_dict()}


def _four_deep(network: nn.Module) -> dict[str, Any]:
    return {"a": {"b": {"c": {"model": network.state_dict()}}}}


def _in_parts(network: nn.Module) -> dict[str, Any]:
    return {"backbone": _bare(network), "head": {"weight": network.state_dict()["fc.weight"]}}


# Layout -> what it holds, and the prefix that is stripped of its keys.
LAYOUTS: dict[str, tuple[Layout, str]] = {
    "plain": (nn.Module.state_dict, ""),
    "state_dict": (nested("state_dict"), "state_dict."),
    "model": (nested("model"), "model."),
    "model_state_dict": (nested("model_state_dict"), "model_state_dict."),
    "net": (nested("net"), "net."),
    "network": (nested("network"), "network."),
    "DeepSpeed": (nested("module"), "module."),
    "a copy in front": (_copy_in_front, "params."),
    "a copy behind": (
        nested("state_dict", state_dict_ema=source(seed=8).state_dict()), "state_dict."
    ),
    "DistributedDataParallel": (under("module."), "module."),
    "torch.compile": (under("_orig_mod."), "_orig_mod."),
    "compiled and parallel": (
        nested("model", under("module._orig_mod.")), "model.module._orig_mod."
    ),
    "features in parallel": (nested("state_dict", _parallel_features), "state_dict."),
    "compiled parts, in parallel": (_compiled_parts, ""),
    "Lightning": (_lightning, "state_dict.model."),
    "MoCo": (_moco, "state_dict.module.encoder_q."),
    "DINO": (_dino, "teacher.backbone."),
    "SwAV": (_swav, "module."),
    "distillation": (
        nested("state_dict", under("teacher.backbone.", "student.")), "state_dict.teacher.backbone."
    ),
    "AveragedModel": (_averaged, "module."),
    "bare": (_bare, ""),
    "in parts": (_in_parts, "backbone."),
    "encoder": (under("encoder."), "encoder."),
    "four deep": (_four_deep, "a.b.c.model."),
}  # fmt: skip
