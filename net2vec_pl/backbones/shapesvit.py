"""ShapesViT: a small vision transformer that tells what a picture of ``data=shapes`` shows."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ShapesViT(nn.Module):
    """A class token and the patches of the image, four blocks, a norm and a linear head.

    Modules are named as in timm. On 96 x 96 pixels ``blocks.0`` to ``blocks.3`` and ``norm`` give
    145 tokens of 96 values: the class token, then 12 x 12 patches row by row. The head reads the
    class token and the largest response of the patches, as that of
    :class:`~net2vec_pl.backbones.shapesnet.ShapesNet` reads the mean and the largest one.

    The blocks are those of Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021,
    https://arxiv.org/abs/2010.11929. Patches are embedded by three convolutions, as in Xiao et al.,
    *Early Convolutions Help Transformers See Better*, NeurIPS 2021,
    https://arxiv.org/abs/2106.14881.

    Args:
        num_concepts: Concepts whose presence the head scores; the shipped weights score the same
            as those of ShapesNet.
    """

    patch_size = 8
    grid_size = (12, 12)

    def __init__(self, num_concepts: int = 54) -> None:
        super().__init__()
        width = 96
        self.patch_embed = nn.Sequential(
            *_halved(3, 24, kernel=5), *_halved(24, 48), nn.Conv2d(48, width, 3, 2, padding=1)
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, width, *self.grid_size))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(4)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(2 * width, num_concepts)

    def forward(self, image: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N concepts"]:
        """Return presence logits for images whose values were scaled to about [-2, 2]."""
        patches = self.patch_embed(image)
        patches = (patches + self._positions(patches.shape[2:])).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(image.shape[0], -1, -1), patches], dim=1)
        tokens = self.norm(self.blocks(tokens))
        logits: Tensor = self.head(torch.cat([tokens[:, 0], tokens[:, 1:].amax(1)], dim=1))
        return logits

    def _positions(self, grid: torch.Size) -> Float[Tensor, "1 K h w"]:
        """Return the embedding of each patch's position, resized for images of another size."""
        if grid == self.grid_size:
            return self.pos_embed
        return nn.functional.interpolate(self.pos_embed, size=grid, mode="bicubic")


class Block(nn.Module):
    """Attention and a perceptron, each on normalised tokens and added to what came in.

    Args:
        width: Values of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Float[Tensor, "N T K"]) -> Float[Tensor, "N T K"]:
        """Return the tokens with what the block adds."""
        tokens = tokens + self.attn(self.norm1(tokens))
        added: Tensor = self.mlp(self.norm2(tokens))
        return tokens + added


class Attention(nn.Module):
    """Self-attention in four heads.

    Args:
        width: Values of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "N T K"]) -> Float[Tensor, "N T K"]:
        """Return a mixture of the tokens for each of them."""
        query, key, value = self.qkv(tokens).unflatten(2, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


def _halved(inputs: int, outputs: int, kernel: int = 3) -> list[nn.Module]:
    """Return a convolution that halves height and width, its batch normalisation and a ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
