# ---
# jupyter:
#   jupytext:
#     formats: py:percent,ipynb
# ---

# %% [markdown]
# # 01 · Quickstart: target → ticket → picture
#
# Run time: about 15 seconds on one core. Needs nothing but the package. Open it with jupytext, or run it as a script.
#
# A *target* is a trained network. A *parent* is a random network, fixed by a seed. A *ticket* is the part of the
# parent that does what the target does. Nothing in it was trained; it was found by subset sum.

# %%
# %matplotlib inline
import os

from slth import data, figures, find_ticket
from slth.baselines.digits import train_digits
from slth.tickets import evaluate

smoke = os.environ.get("SLTH_SMOKE") == "1"
target = train_digits(data.load("digits", "train"), epochs=3 if smoke else 40)
test = data.load("digits", "test")

# %% [markdown]
# Pixels are never negative, so we say `input_range=(0, 1)`: only hidden channels with a positive 1×1 weight can
# contribute then. `width` is the number of random hidden channels for each input channel.

# %%
ticket = find_ticket(
    target, width=400 if smoke else 5000, example_input=test.images[:1], input_range=(0, 1), progress=True
)
for layer in ticket.layers:
    print(f"{layer.name}: D = {layer.dimension}, kept {layer.kept:,} of {layer.usable:,}, {layer.relative_rms:.2%} off")

# %% [markdown]
# Does it work, and would *any* choice of as many channels have worked?

# %%
for score in evaluate(ticket, test):
    print(f"{score.name:16} accuracy {score.accuracy:.1%}, agrees with the target on {score.agreement:.1%}")

# %% [markdown]
# Every error can be recomputed from the seed, in exact arithmetic.

# %%
print(ticket.verify())

# %%
figures.filters_side_by_side(ticket).get_figure()
