"""ShapesNet: a small convolutional network that tells what a picture of ``data=shapes`` shows."""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ShapesNet(nn.Module):
    """Five convolutions and a linear head on their mean and largest responses.

    ``conv1`` to ``conv5`` end in their ReLU; pooling stands between them, so that a layer is read
    by its name. On 96 x 96 pixels they give 32x48x48, 48x24x24, 64x24x24, 96x12x12 and 128x12x12.

    Args:
        num_concepts: Concepts whose presence the head scores; the shipped weights score the 54
            concepts of the shapes dataset that are not colours, in the order of its vocabulary.
    """

    def __init__(self, num_concepts: int = 54) -> None:
        super().__init__()
        self.conv1 = _conv_block(3, 32, kernel=5, stride=2)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = _conv_block(32, 48)
        self.conv3 = _conv_block(48, 64)
        self.pool3 = nn.MaxPool2d(2)
        self.conv4 = _conv_block(64, 96)
        self.conv5 = _conv_block(96, 128)
        self.head = nn.Linear(2 * 128, num_concepts)

    def forward(self, image: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N concepts"]:
        """Return presence logits for images whose values were scaled to about [-2, 2]."""
        low = self.conv3(self.conv2(self.pool1(self.conv1(image))))
        high = self.conv5(self.conv4(self.pool3(low)))
        logits: Tensor = self.head(torch.cat([high.mean((2, 3)), high.amax((2, 3))], dim=1))
        return logits


def _conv_block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a padded convolution, its batch normalisation and a ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(
        OrderedDict(conv=conv, norm=nn.BatchNorm2d(outputs), relu=nn.ReLU(inplace=True))
    )
