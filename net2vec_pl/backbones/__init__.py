"""Frozen networks and the names of their layers."""

from net2vec_pl.backbones.frozen import FrozenBackbone, build_backbone
from net2vec_pl.backbones.layers import LayerInfo, trace_layers
from net2vec_pl.backbones.registry import ARCHITECTURES, known_models
from net2vec_pl.backbones.scaling import InputScaling

__all__ = [
    "ARCHITECTURES",
    "FrozenBackbone",
    "InputScaling",
    "LayerInfo",
    "build_backbone",
    "known_models",
    "trace_layers",
]
