"""Small transformers that need no other package: of patches, of windows, with a class token."""

import torch
from torch import Tensor, nn

Size = tuple[int, int]


class Attention(nn.Module):
    """Two heads whose inner modules give what is no map: keys of heads, and scores."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.q_norm, self.k_norm, self.attn_drop = nn.Identity(), nn.Identity(), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        n, count, width = x.shape
        q, k, v = self.qkv(x).reshape(n, count, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        scores = self.attn_drop((self.q_norm(q) @ self.k_norm(k).mT).softmax(-1))
        mixed: Tensor = self.proj((scores @ v).transpose(1, 2).flatten(2))
        return mixed


class Block(nn.Module):
    """A block of a transformer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width)
        self.norm2, self.mlp = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        grown: Tensor = x + self.mlp(self.norm2(x)).relu()
        return grown


class TinyViT(nn.Module):
    """Patches, tokens in front of them, blocks, a norm and a head; no embedding of positions.

    Patches are averaged before they are embedded, so that a turned image has turned tokens.

    Args:
        prefix: Tokens in front: a class token, and registers.
        fixed: The only size of images that it takes; None takes any.
        shuffled: Whether the patches come in an order of their own.
        end: Whether a norm follows the last block.
    """

    def __init__(
        self,
        prefix: int = 1,
        fixed: Size | None = None,
        *,
        shuffled: bool = False,
        end: bool = True,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.fixed, self.shuffled = fixed, shuffled
            self.pool, self.patch_embed = nn.AvgPool2d(8), nn.Conv2d(3, 12, 1)
            if prefix:
                self.cls_token = nn.Parameter(torch.randn(1, 1, 12))
            if prefix > 1:
                self.reg_token = nn.Parameter(torch.randn(1, prefix - 1, 12))
            self.blocks = nn.Sequential(*(Block(12) for _ in range(3)))
            self.norm = nn.LayerNorm(12) if end else nn.Identity()
            self.head_norm, self.head = nn.LayerNorm(12), nn.Linear(12, 5)

    def forward(self, images: Tensor) -> Tensor:
        if self.fixed is not None and images.shape[2:] != self.fixed:
            raise ValueError(f"images must be {self.fixed}")
        x = self.patch_embed(self.pool(images)).flatten(2).transpose(1, 2)
        if self.shuffled:
            order = torch.Generator().manual_seed(0)
            x = x[:, torch.randperm(x.shape[1], generator=order)]
        front = [getattr(self, name, None) for name in ("cls_token", "reg_token")]
        known = [token.expand(x.shape[0], -1, -1) for token in front if token is not None]
        x = self.norm(self.blocks(torch.cat([*known, x], dim=1)))
        scores: Tensor = self.head(self.head_norm(x[:, 0]))
        return scores


class Window(nn.Module):
    """Attention within windows of 2 x 2 patches, over maps with their filters last."""

    def __init__(self) -> None:
        super().__init__()
        self.attn, self.fold = Attention(12), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        n, h, w, width = x.shape
        windows = x.reshape(n, h // 2, 2, w // 2, 2, width).transpose(2, 3).reshape(-1, 4, width)
        mixed = self.fold(self.attn(windows)).reshape(n, h // 2, w // 2, 2, 2, width)
        unfolded: Tensor = mixed.transpose(2, 3).reshape(n, h, w, width)
        return x + unfolded


class Stage(nn.Module):
    """Half as many patches along each side, and then blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Window(), Window()])

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.avg_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        for block in self.blocks:
            x = block(x)
        return x


class TinySwin(nn.Module):
    """Two stages of windows, a norm and a head."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.patch_embed = nn.Conv2d(3, 12, 1)
            self.layers = nn.Sequential(Stage(), Stage())
            self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.layers(self.patch_embed(images).permute(0, 2, 3, 1))
        scores: Tensor = self.head(self.norm(x).mean((1, 2)))
        return scores
