"""A bank in use: what it says of new images and of its concepts, and what other tools can load."""

from net2vec_pl.inference.bank import Bank, Neighbour, load_bank

__all__ = ["Bank", "Neighbour", "load_bank"]
