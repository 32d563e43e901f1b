# %% [markdown]
# # A first bank
# Learn embeddings of a few concepts, read the scores, find nearest concepts, segment new images,
# and convert the bank to a plain convolution. It takes about 15 seconds on one core and downloads
# nothing.

# %%
"""A first bank: learn it, read its scores, compare concepts, segment images, convert it."""

import matplotlib

matplotlib.use("Agg")  # saves figures without a window; remove this line in a notebook

import matplotlib.pyplot as plt
import torch

import net2vec_pl
from net2vec_pl.datasets import ShapesReader

# %% [markdown]
# ## Learn
# The network is the small one that comes with the package; a live `torch.nn.Module` does as well.
# The images are drawn from a seed. `protocol="best"` is the most accurate protocol, here with fewer
# epochs.

# %%
CONCEPTS = ["sky", "sea", "grass", "house", "roof", "wall", "tree", "crown", "trunk", "person"]
bank = net2vec_pl.learn(
    "shapesnet",
    data=ShapesReader(num_images=240),
    names=CONCEPTS,
    protocol="best",
    options={"protocol.epochs": 10},
)
print(bank)

# %% [markdown]
# ## Read the scores
# The set IoU on val of the best single filter and of the learned combination. Each run also states
# findings, each with its interval.

# %%
for row in bank.scores:
    print(
        f"{row.name:8} filter {row.best_filter:>3}: {row.single_val:.3f}"
        f"   combination: {row.multi_val:.3f}"
    )
print(bank.findings[0].statement)

# %% [markdown]
# ## Compare embeddings
# Which concepts are nearest to a concept, and what is a house without its walls?

# %%
for concept in ("house", "tree"):
    near = ", ".join(f"{n.name} {n.cosine:.2f}" for n in bank.nearest(concept, k=3))
    print(f"{concept}: {near}")
print("house - wall:", bank.arithmetic("house - wall", k=1)[0].name)

# %% [markdown]
# ## Segment new images
# `segment` takes files, PIL images, arrays and tensors; here two images drawn from another seed.
# Figures of the run are drawn on axes of yours: here its scores, and how alike its concepts are.

# %%
drawn = ShapesReader(num_images=40, seed=1)
SHOWN = ["sky", "house", "tree"]
likely = bank.score([drawn[i].image for i in range(len(drawn))], SHOWN)
chosen = likely[:, 1:].amin(1).argsort(descending=True)[:2].tolist()
pictures = torch.stack([drawn[i].image for i in chosen])
masks = bank.segment(pictures, SHOWN, size=bank.image_size)

# %%
figure = plt.figure(figsize=(9, 9), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=[5, 4])
axes = above.subplots(2, 1 + len(SHOWN))
for line, picture, found in zip(axes, pictures, masks, strict=True):
    line[0].imshow(picture.permute(1, 2, 0))
    line[0].set_title("image")
    for axis, name, mask in zip(line[1:], SHOWN, found, strict=True):
        axis.imshow(torch.where(mask, picture, picture // 5).permute(1, 2, 0))
        axis.set_title(name)
for axis in axes.flat:
    axis.set_axis_off()
left, right = below.subplots(1, 2)
bank.plot.levels(left)
bank.plot.similarity(right)
figure.savefig("first_bank.png", dpi=120)

# %% [markdown]
# ## Keep it
# Nothing has been written so far. A bank is one file; the page has all results and opens from disk.

# %%
bank.save("first_bank.safetensors")
bank.report("first_bank.html")

# %% [markdown]
# ## Convert it
# This makes the bank a plain `torch.nn.Conv2d`, for code that does not use this project. Its input
# depends on the protocol: with `protocol="best"` it is the roots of the activations.

# %%
convolution = bank.to_conv2d(SHOWN)
with torch.no_grad():
    logits = convolution(bank.backbone(pictures).sqrt())
difference = (logits - bank.logits(pictures, SHOWN)).abs().max()
print(convolution)
print(f"largest difference from the bank's own logits: {difference:.1e}")
