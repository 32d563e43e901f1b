"""From the command line to objects: the only room that knows Hydra and omegaconf."""

from typing import TypeAlias

from omegaconf import DictConfig

Config: TypeAlias = DictConfig

__all__ = ["Config"]
