"""Frozen networks and the names of their layers."""

from net2vec_pl.backbones.frozen import FrozenBackbone, build_backbone, read_layers
from net2vec_pl.backbones.layers import LayerInfo
from net2vec_pl.backbones.network import LIVE, LiveNetwork, NetworkSpec, copied
from net2vec_pl.backbones.precision import Precision
from net2vec_pl.backbones.registry import ARCHITECTURES, known_models
from net2vec_pl.backbones.scaling import InputScaling
from net2vec_pl.backbones.tracing import trace_layers

__all__ = [
    "ARCHITECTURES",
    "LIVE",
    "FrozenBackbone",
    "InputScaling",
    "LayerInfo",
    "LiveNetwork",
    "NetworkSpec",
    "Precision",
    "build_backbone",
    "copied",
    "known_models",
    "read_layers",
    "trace_layers",
]
