# ---
# jupyter:
#   jupytext:
#     formats: py:percent,ipynb
# ---

# %% [markdown]
# # 05 · Tickets found against tickets trained
#
# Run time: about 15 seconds on one core. Needs nothing but the package.
#
# There is more than one kind of lottery ticket. They differ in what is trained:
#
# | | weights | mask | sees data |
# |---|---|---|---|
# | slth's ticket | random, untouched | solved for, from a trained target | no (its target did) |
# | edge-popup | random, untouched | trained | yes |
# | iterative magnitude pruning | trained | from the trained weights | yes, again at every level |
#
# This is a demonstration on digits with one seed, not a comparison from which anything general follows.

# %%
# %matplotlib inline
import os
import time

from slth import data, figures, find_ticket
from slth.baselines import edge_popup, imp
from slth.baselines.digits import train_digits
from slth.baselines.recipe import Recipe
from slth.baselines.training import accuracy
from slth.networks import models

smoke = os.environ.get("SLTH_SMOKE") == "1"
train, test = data.load("digits", "train"), data.load("digits", "test")
results, seconds = {}, {}

# %% [markdown]
# ## The target

# %%
began = time.perf_counter()
target = train_digits(train, epochs=4 if smoke else 40)
seconds["target, trained"] = time.perf_counter() - began
results["target, trained"] = accuracy(target, test)
print(f"target: {results['target, trained']:.1%}")

# %% [markdown]
# ## Found: subset sums, no training
#
# The time is that of the search; it needs the target's weights, so the target's training belongs to its price.

# %%
began = time.perf_counter()
ticket = find_ticket(target, width=800 if smoke else 3000, example_input=test.images[:1], input_range=(0, 1))
seconds["ticket, found"] = time.perf_counter() - began
results["ticket, found"] = accuracy(ticket.folded(), test)
kept = sum(layer.weights for layer in ticket.layers)
print(f"ticket: {results['ticket, found']:.1%}; it keeps {kept:,} random numbers")

# %% [markdown]
# ## Trained mask: edge-popup
#
# Every weight of the *same architecture* gets random signs and a score. The scores are trained; the weights stay as
# they were drawn, which the hash of the weights shows.

# %%
recipe = Recipe(epochs=4 if smoke else 40, batch=64, learning_rate=0.1)
popup = edge_popup.find(models.digits_cnn(), train, density=0.5, recipe=recipe)
name = "edge-popup, 50 % kept"
results[name], seconds[name] = accuracy(popup.module(), test), popup.seconds
print(f"{name}: {results[name]:.1%}; weights untouched: {popup.untouched}")

# %% [markdown]
# ## Trained weights: iterative magnitude pruning
#
# Train, remove the smallest weights, rewind the others to their values at the start, train again, … Each level needs
# all those before it: its seconds are counted from the beginning.

# %%
recipe = Recipe(epochs=3 if smoke else 20, batch=64, optimiser="adam", learning_rate=3e-3, schedule="one-cycle")
began = time.perf_counter()
for level in imp.prune(models.digits_cnn(), train, recipe=recipe, rewind=0, densities=imp.schedule(0.3, 0.4)):
    name = f"IMP, {level.density:.0%} kept"
    results[name], seconds[name] = accuracy(level.network, test), time.perf_counter() - began
    print(f"{name}: {results[name]:.1%}")

# %% [markdown]
# ## Side by side
#
# Test accuracy against the seconds that each took on this machine. Read it with the table above in mind: the methods
# do not do the same thing, and only two of the three leave random weights as they were drawn.

# %%
for name, value in results.items():
    print(f"{name:24} {value:6.1%}  {seconds[name]:6.1f} s")

# %%
figures.search_cost({name: [(seconds[name], results[name])] for name in results}, unit="seconds, here").get_figure()
