# ---
# jupyter:
#   jupytext:
#     formats: py:percent,ipynb
# ---

# %% [markdown]
# # 06 · Your own model and data
#
# Run time: about 6 seconds on one core. Needs nothing but the package.
#
# Any network that `torch.fx` can trace is a target: convolutions, linear layers, BatchNorm, residual additions,
# pooling, element-wise activations. Here is one of our own, with a skip connection, on data that are no images.

# %%
# %matplotlib inline
import os
import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_wine
from torch import nn

from slth import figures, find_ticket, load_ticket
from slth.data import Split
from slth.errors import InputError
from slth.tickets import evaluate

smoke = os.environ.get("SLTH_SMOKE") == "1"

# %% [markdown]
# ## Your data
#
# A `Split` is two tensors: inputs float32 with their batch axis first, and integer labels. The chemistry of 178 wines
# from three growers, in units of each column's standard deviation, as a signal of length 13.

# %%
wine = load_wine()
inputs = torch.from_numpy((wine.data - wine.data.mean(axis=0)) / wine.data.std(axis=0)).float().unsqueeze(1)
labels = torch.from_numpy(wine.target)
held_out = torch.arange(len(labels)) % 3 == 0
train, test = Split(inputs[~held_out], labels[~held_out]), Split(inputs[held_out], labels[held_out])
print(f"{len(train)} wines to learn from, {len(test)} held out, inputs {tuple(test.images.shape[1:])}")


# %% [markdown]
# ## Your model


# %%
class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        self.second = nn.Conv1d(8, 8, 3, padding=1)
        self.head = nn.Linear(8 * 13, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = x + torch.relu(self.second(x))
        return self.head(x.flatten(1))


torch.manual_seed(0)
model = Mine()
optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(20 if smoke else 100):
    optimiser.zero_grad()
    nn.functional.cross_entropy(model(train.images), train.labels).backward()
    optimiser.step()
model = model.eval()
# %% [markdown]
# ## Its ticket
#
# These inputs have both signs, so `input_range` is left out, and the first layer needs two subset sums for each
# channel. Behind a ReLU slth knows by itself that nothing is negative. Widths may differ from layer to layer.

# %%
width = {"conv": 400, "linear": 200} if smoke else {"conv": 3000, "linear": 1500}
ticket = find_ticket(model, width=width, example_input=test.images[:1])
for layer in ticket.layers:
    kept = f"kept {layer.kept:6,} of {layer.usable:7,}"
    print(f"{layer.name:8} D = {layer.dimension:3}  {kept}  off by {layer.relative_rms:.2%}")

# %%
for score in evaluate(ticket, test):
    print(f"{score.name:16} accuracy {score.accuracy:.1%}, agrees with the target on {score.agreement:.1%}")

# %%
figures.error_per_layer(ticket).get_figure()

# %% [markdown]
# ## Part of a network
#
# `skip` and `only` leave layers as they were trained; the target says what fraction of it a ticket would be.

# %%
part = find_ticket(model, width=width, example_input=test.images[:1], skip=["head"])
print(f"{part.target.coverage:.0%} of the trained numbers are replaced: {[layer.name for layer in part.layers]}")

# %% [markdown]
# ## What cannot be done is said before any work starts

# %%
try:
    find_ticket(nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4)), width=100)
except InputError as refusal:
    print(refusal)

# %% [markdown]
# ## Keep it
#
# The file holds a seed and which channels are kept, no weights. Whoever has it can compute the network again, and
# check every error against the target that lies beside it.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = ticket.save(Path(folder) / "mine.slth")
    print(f"{path.stat().st_size:,} bytes for {ticket.kept_channels:,} channels")
    print(load_ticket(path).verify())

# %% [markdown]
# From the command line the same is `slth ticket find --model mymodel.py:trained --width conv=3000,linear=1500 --out
# mine.slth`, with a function `trained()` in `mymodel.py` that returns your model. Inside torch, `ticket.to_module()` is
# an ordinary module: use it, export it, look into it.

# %%
module = ticket.to_module()
print(sum(values.numel() for values in module.state_dict().values()), "numbers, all of them random or zero")
