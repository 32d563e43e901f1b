"""``task=layers``: all that it prints of small networks, whose shapes follow from their modules."""

import re

import pytest
from support.cli import composed
from torch import Tensor, nn

from net2vec_pl.tasks.layers import layers


class Uneven(nn.Module):
    """Steps that differ along height and width, and divide neither."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(3, 6, 3, stride=(3, 2), padding=1)
        self.act = nn.ReLU()
        self.down = nn.MaxPool2d((1, 2))
        self.norm = nn.BatchNorm2d(6)
        self.fixed = nn.AdaptiveAvgPool2d((2, 3))
        self.tokens = nn.Identity()
        self.flat = nn.Flatten()
        self.head = nn.Linear(36, 5)
        self.pair = Pair()
        self.idle = nn.Conv2d(1, 1, 1)
        nn.init.constant_(self.head.bias, -9.0)  # whatever the weights that are drawn

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.down(self.act(self.wide(image))))
        x = self.fixed(x)
        self.tokens(x.flatten(2).transpose(1, 2))
        self.pair(x)
        scores: Tensor = self.head(self.flat(x))
        return scores


class Pair(nn.Module):
    """Gives no tensor."""

    def forward(self, x: Tensor) -> dict[str, int]:
        return {"x": len(x)}


OPTIONS = ["task=layers", "model=custom", f"model._target_={__name__}.Uneven"]
# On images of 46 x 32. Where cells do not divide the image, a stride is how many of 64 more pixels
# bring one more cell: 46 -> 16 and 110 -> 37, so 64 / 21. Of the fixed ones 46 / 2 and 32 / 3.
ROWS = {
    "wide": ["Conv2d", "6", "16 x 16", "3.05 x 2", "any sign"],
    "act": ["ReLU", "6", "16 x 16", "3.05 x 2", ">= 0"],
    "down": ["MaxPool2d", "6", "16 x 8", "3.05 x 4", ">= 0"],
    "norm": ["BatchNorm2d", "6", "16 x 8", "3.05 x 4", ">= 0"],
    "fixed": ["AdaptiveAvgPool2d", "6", "2 x 3", "23 x 10.7", ">= 0"],
    "tokens": ["Identity", "6", "6 tokens", ">= 0"],
    "flat": ["Flatten", "36", "vector", ">= 0"],
    "head": ["Linear", "5", "vector", "any sign"],
}
IDLE = "Modules without output: 2 (1 never called by the network, 1 return no tensor)."
VECTORS = "A vector is read with target=classification only."
TOKENS = "Tokens are no map: they cannot be read."


def told(
    capsys: pytest.CaptureFixture[str], *overrides: str
) -> tuple[str, dict[str, list[str]], list[str]]:
    """Return the title, the cells of the rows by their names, and the lines below the table."""
    layers(composed(*OPTIONS, *overrides))
    title, _, heading, _, *lines = capsys.readouterr().out.splitlines()
    assert re.split(r"\s{2,}", heading.strip()) == [
        "layer= (module)", "type", "filters", "h x w", "stride", "values",
    ]  # fmt: skip
    end = next(i for i, line in enumerate(lines) if not line.strip())
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines[:end]]
    return title.strip(), {row[0]: row[1:] for row in rows}, lines[end + 1 :]


def test_every_module_has_its_row_with_what_it_gives(capsys: pytest.CaptureFixture[str]) -> None:
    title, rows, below = told(capsys, "image_size=[46,32]", "show=all")
    assert title == "custom on images of 46 x 32"
    assert list(rows.items()) == list((ROWS | {"fixed": [*ROWS["fixed"], "default"]}).items())
    assert below == [VECTORS, TOKENS, IDLE]


def test_those_that_layer_all_reads_are_shown_with_those_chosen_and_others_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, rows, below = told(capsys, "image_size=[46,32]", "layer=down")
    # Of maps of one size the last, and the one that was chosen.
    shown = {name: ROWS[name] for name in ("act", "down", "norm", "fixed")}
    assert list(rows.items()) == list((shown | {"down": [*ROWS["down"], "chosen"]}).items())
    assert below == ["Hidden (show=all lists them): maps: 1, vectors: 2, tokens: 1.", IDLE]


def test_a_classifier_of_images_may_read_vectors_too(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["image_size=[46,32]", "target=classification"]
    _, rows, below = told(capsys, *options, "layer=[head]")
    shown = {name: ROWS[name] for name in ("act", "norm", "fixed")}
    assert rows == shown | {"head": [*ROWS["head"], "chosen"]}
    assert below == [VECTORS, "Hidden (show=all lists them): maps: 2, vectors: 1, tokens: 1.", IDLE]
