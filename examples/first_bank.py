# %% [markdown]
# # A first bank
# Train embeddings of a few concepts, read the tables of the run, find nearest concepts, segment new
# images, and convert the bank to a plain convolution. It takes about 15 seconds on one core and
# downloads nothing.

# %%
"""A first bank: train it, read its scores, compare concepts, segment images, convert it."""

import csv
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # saves figures without a window; remove this line in a notebook

import matplotlib.pyplot as plt
import torch

import net2vec_pl
from net2vec_pl.data import ShapesReader

RUN = Path("first_bank")

# %% [markdown]
# ## Train
# The same job as on the command line, with fewer images, epochs and concepts than the default, and
# with `protocol=best`, the most accurate protocol.

# %%
CONCEPTS = ["sky", "sea", "grass", "house", "roof", "wall", "tree", "crown", "trunk", "person"]
if not RUN.exists():
    options = ["data.num_images=240", f"data.names=[{','.join(CONCEPTS)}]", "protocol=best"]
    options += ["protocol.epochs=10", "analysis=none", "trainer=cpu", "loader.workers=0"]
    command = [sys.executable, "-m", "net2vec_pl", *options, f"run.dir={RUN}"]
    subprocess.run(command, check=True)

# %% [markdown]
# ## Read the tables
# They hold the set IoU on val of the best single filter and of the learned combination.

# %%
with (RUN / "concepts.csv").open(encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
for row in rows:
    single, multi = float(row["single_val"]), float(row["multi_val"])
    print(
        f"{row['name']:8} filter {row['best_filter']:>3}: {single:.3f}   combination: {multi:.3f}"
    )

# %% [markdown]
# ## Compare embeddings
# Which concepts are nearest to a concept, and what is a house without its walls?

# %%
bank = net2vec_pl.load_bank(RUN)
for concept in ("house", "tree"):
    near = ", ".join(f"{n.name} {n.cosine:.2f}" for n in bank.nearest(concept, k=3))
    print(f"{concept}: {near}")
print("house - wall:", bank.arithmetic("house - wall", k=1)[0].name)

# %% [markdown]
# ## Segment new images
# `segment` takes files, PIL images, arrays and tensors; here two images drawn from another seed.

# %%
drawn = ShapesReader(num_images=40, seed=1)
SHOWN = ["sky", "house", "tree"]
likely = bank.score([drawn[i].image for i in range(len(drawn))], SHOWN)
chosen = likely[:, 1:].amin(1).argsort(descending=True)[:2].tolist()
pictures = torch.stack([drawn[i].image for i in chosen])
masks = bank.segment(pictures, SHOWN, size=bank.image_size)

# %%
figure, axes = plt.subplots(2, 1 + len(SHOWN), figsize=(9, 5), layout="constrained")
for line, picture, found in zip(axes, pictures, masks, strict=True):
    line[0].imshow(picture.permute(1, 2, 0))
    line[0].set_title("picture")
    for axis, name, mask in zip(line[1:], SHOWN, found, strict=True):
        axis.imshow(torch.where(mask, picture, picture // 5).permute(1, 2, 0))
        axis.set_title(name)
for axis in axes.flat:
    axis.set_axis_off()
figure.savefig("masks.png", dpi=120)

# %% [markdown]
# ## Convert it
# This makes the bank a plain `torch.nn.Conv2d`, for code that does not use this project. Its input
# depends on the protocol: with `protocol=best` it is the roots of the activations.

# %%
convolution = bank.to_conv2d(SHOWN)
with torch.no_grad():
    logits = convolution(bank.backbone(pictures).sqrt())
difference = (logits - bank.logits(pictures, SHOWN)).abs().max()
print(convolution)
print(f"largest difference from the bank's own logits: {difference:.1e}")
