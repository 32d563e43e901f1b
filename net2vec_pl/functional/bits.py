"""Eight bits to a byte: what a thresholded layer answers, a 32nd of its float32 activations."""

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor


def pack_bits(bits: Bool[Tensor, "*B n"]) -> UInt8[Tensor, "*B bytes"]:
    """Pack the last axis, first bit highest; the last byte is filled up with zeros.

    Example:
        >>> pack_bits(torch.tensor([True, False, False, False, False, False, False, True, True]))
        tensor([129, 128], dtype=torch.uint8)
    """
    if bits.device.type == "cpu":  # several times faster than shifting in PyTorch
        return torch.from_numpy(np.packbits(bits.numpy(), axis=-1))
    padded = torch.nn.functional.pad(bits.view(torch.uint8), (0, -bits.shape[-1] % 8))
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    bytes_ = padded.view(*padded.shape[:-1], -1, 8) << shifts
    return bytes_.sum(-1).to(torch.uint8)


def unpack_bits(packed: UInt8[Tensor, "*B bytes"], count: int) -> Bool[Tensor, "*B n"]:
    """Undo :func:`pack_bits` on any device.

    Args:
        packed: Packed bits.
        count: How many bits the last axis held.
    """
    if packed.device.type == "cpu":
        return torch.from_numpy(np.unpackbits(packed.numpy(), axis=-1, count=count)).view(
            torch.bool
        )
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)
    return ((packed[..., None] >> shifts) & 1).flatten(-2)[..., :count].bool()
