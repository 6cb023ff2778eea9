# ---
# jupyter:
#   jupytext:
#     formats: py:percent,ipynb
# ---

# %% [markdown]
# # 03 · Inside an embedding: one channel, both signs, by hand
#
# Run time: about 3 seconds on one core. Needs nothing but the package.
#
# How does a subset sum become a convolution? We take one input channel of one layer and build its random replacement
# step by step in numpy and torch, without `find_ticket`. At the end we check that slth does the same.

# %%
# %matplotlib inline
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional

from slth import Problem, data, find_ticket, solve

# %% [markdown]
# ## The target
#
# A trained 3×3 kernel K that makes two output channels from one input channel. Flattened it is a vector of dimension
# D = 3·3·2 = 18.

# %%
rng = np.random.default_rng(3)
kernel = 0.5 * rng.standard_normal((2, 1, 3, 3))
D = kernel.size
image = data.load("digits", "test").images[:1].double() - 0.5  # of both signs
wanted = functional.conv2d(image, torch.from_numpy(kernel), padding=1)
print(f"D = {D}; the target makes {tuple(wanted.shape)} from {tuple(image.shape)}")

# %% [markdown]
# ## The random network
#
# A 1×1 layer with one weight u_t for each hidden channel t, a ReLU, then a 3×3 layer with slices V_t. All numbers are
# normal, none of them will ever change.

# %%
hidden = 1200
u = rng.standard_normal(hidden)
V = rng.standard_normal((hidden, 2, 3, 3))

# %% [markdown]
# ## What one hidden channel does
#
# It computes V_t ∗ relu(u_t·X). A ReLU network is positively homogeneous, so a positive u_t only scales: relu(u_t·X) =
# u_t·relu(X). A negative one sees the *negative part*: relu(u_t·X) = |u_t|·relu(−X). So hidden channels come in two
# groups, one for each part of the input.

# %%
t = int(np.flatnonzero(u < 0)[0])
left = torch.relu(u[t] * image)
right = abs(u[t]) * torch.relu(-image)
print(f"u = {u[t]:.3f}: relu(u·X) and |u|·relu(−X) differ by {float((left - right).abs().max()):.1g}")

# %% [markdown]
# ## Two subset sums
#
# X = relu(X) − relu(−X), so K∗X = K∗relu(X) + (−K)∗relu(−X). The positive group has to sum to K, and the negative group
# to **minus** K. The candidates are |u_t|·V_t: a normal number times a normal vector.

# %%
candidates = np.abs(u)[:, None] * V.reshape(hidden, D)
kept = np.zeros(hidden, dtype=bool)
for sign, group in ((+1, np.flatnonzero(u > 0)), (-1, np.flatnonzero(u < 0))):
    solution = solve(Problem(vectors=candidates[group], target=sign * kernel.ravel()), method="relax")
    kept[group[solution.selected]] = True
    print(f"{sign:+d}K: keep {solution.selected.sum()} of {len(group)}, largest error {solution.error:.4f}")

# %% [markdown]
# ## The ticket
#
# Remove all other hidden channels, and *nothing else*. What remains is an ordinary small network.

# %%
hidden_maps = torch.relu(functional.conv2d(image, torch.from_numpy(u[kept]).reshape(-1, 1, 1, 1)))
ticket = functional.conv2d(hidden_maps, torch.from_numpy(V[kept].transpose(1, 0, 2, 3).copy()), padding=1)
print(f"largest difference {float((ticket - wanted).abs().max()):.4f}, largest output {float(wanted.abs().max()):.2f}")

# %% [markdown]
# The bound that goes with it: each output sums at most 3·3·1 products, so its error is at most 9·ε·max|X|. On real
# inputs errors of both signs cancel, and the difference is far smaller.

# %%
summed = {+1: candidates[kept & (u > 0)].sum(axis=0), -1: -candidates[kept & (u < 0)].sum(axis=0)}
eps = max(np.abs(one - kernel.ravel()).max() for one in summed.values())
print(f"9·ε·max|X| = {9 * eps * float(image.abs().max()):.3f}")

# %%
axes = Figure(figsize=(7, 2.6), layout="constrained").subplots(1, 3)
span = float(wanted.abs().max())
pictures = {"target": wanted, "ticket": ticket, "10 × difference": 10 * (ticket - wanted)}
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture[0, 0], cmap="gray", vmin=-span, vmax=span)
    ax.set_title(title, fontsize=10)
    ax.set_axis_off()
axes[0].get_figure()

# %% [markdown]
# ## The same by slth
#
# `find_ticket` does this for every input channel of every layer, with random numbers from its own generator. Pass
# `input_range=(0, 1)` for inputs that are never negative: the second subset sum is not needed then, and the negative
# group is removed whole.

# %%
layer = torch.nn.Conv2d(1, 2, 3, padding=1, bias=False)
layer.weight.data = torch.from_numpy(kernel).float()
for input_range in (None, (0, 1)):
    report = find_ticket(layer, width=hidden, input_range=input_range).layers[0]
    print(f"input range {input_range}: D = {report.dimension}, kept {report.kept} of {report.usable} usable, "
          f"error {report.error:.4f}")  # fmt: skip

# %% [markdown]
# Why is this error so much smaller than ours? A factor on all V_t of a layer costs nothing: it only changes the unit in
# which the target is measured. slth chooses it (`scale="auto"`) so that the target is about ten candidates large, and
# the *relative* error falls, for the absolute error in units of a candidate hardly depends on the target. The study
# `scale` (`slth study run scale --out DIR`) shows how far that can be taken.
