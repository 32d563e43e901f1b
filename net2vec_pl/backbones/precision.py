"""How exactly a frozen network multiplies. The bank is float32 whatever is chosen here."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import torch


class Precision(Enum):
    """Precision of a network's products.

    Attributes:
        TF32: float32 whose products are rounded to 10 bits of mantissa, on CUDA devices that have
            it (elsewhere float32).
        FLOAT32: float32 throughout.
        BF16: bfloat16 by autocast. Some 2 % of the bits at the paper's tau come out otherwise.
    """

    TF32 = "tf32"
    FLOAT32 = "float32"
    BF16 = "bf16"

    @contextmanager
    def running(self, device: torch.device) -> Iterator[None]:
        """Run what follows on a device at this precision, and leave the settings as they were."""
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        before = matmul.allow_tf32, cudnn.allow_tf32
        try:
            matmul.allow_tf32 = cudnn.allow_tf32 = self is Precision.TF32
            with torch.autocast(device.type, torch.bfloat16, enabled=self is Precision.BF16):
                yield
        finally:
            matmul.allow_tf32, cudnn.allow_tf32 = before
