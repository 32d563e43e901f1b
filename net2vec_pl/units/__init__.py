"""What is probed at a layer: its filters, or other units that follow from them at each position."""

from net2vec_pl.units.choice import KINDS, UnitChoice
from net2vec_pl.units.transforms import Units, told, units_from

__all__ = ["KINDS", "UnitChoice", "Units", "told", "units_from"]
