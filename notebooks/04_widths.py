# ---
# jupyter:
#   jupytext:
#     formats: py:percent,ipynb
# ---

# %% [markdown]
# # 04 · Widths against theory
#
# Run time: about 16 seconds on one core. Needs nothing but the package.
#
# How wide must a random network be? We look at what theory says of one layer, then we measure, then we put both into
# one picture.

# %%
# %matplotlib inline
import os

from slth import figures
from slth.errors import InputError
from slth.experiments.engine.study import Row
from slth.experiments.studies.width import STUDY, WidthPoint
from slth.theory import bounds, certified, thresholds

smoke = os.environ.get("SLTH_SMOKE") == "1"

# %% [markdown]
# ## Every bound that applies to one layer
#
# A 3×3 layer with 6 inputs and 12 outputs in a network of 4 layers whose output may be off by 0.1. A letter C is a
# constant that its theorem leaves open; slth does not print a plain number for such a bound.

# %%
layer = bounds.Layer(name="conv2", d=3, c_in=6, c_out=12, depth=4, eps=0.1, delta=0.1)
print(f"D = {layer.dimension}, tolerance of one subset sum {layer.tolerance:.2g}\n")
for entry in bounds.for_layer(layer):
    print(f"{entry.key:20} {entry.bound if entry.bound is not None else entry.note.splitlines()[0][:90]}")

# %% [markdown]
# With C = 1 assumed, the bound is a number, and it says what was assumed.

# %%
print(bounds.compute("dacunha2023", d=3, c_in=6, c_out=12, depth=4, eps=0.1, constant=1.0))

# %% [markdown]
# ## One subset sum: necessary, proved, published
#
# The first moment says how many candidates are necessary: with fewer than half a solution expected, success is less
# likely than not. The certified width is proved to suffice for the same probability, with every constant explicit.

# %%
D, tolerances = 6, (0.2, 0.1) if smoke else (0.2, 0.1, 0.05, 0.02)
first = [thresholds.width(D=D, eps=eps, z=0.5, count=0.5).n for eps in tolerances]
proofs = [certified.width(D, eps, 0.5, 0.5) for eps in tolerances]
ax = figures.width_against_eps(
    eps=tolerances,
    curves={
        "necessary for probability ½: fewer than half a solution expected below": first,
        "certified: proved to suffice with probability ½, |z| ≤ ½": [proof.n for proof in proofs],
        "D⁶ log³(D/ε), its C = 1 assumed": [proof.published_form for proof in proofs],
    },
    dimension=D,
)
ax.get_figure()

# %% [markdown]
# A hypothesis that does not hold is an error or a violation, never a silent number.

# %%
try:
    certified.width(D, 0.7, 0.5, 0.5)
except InputError as refusal:
    print(refusal)

# %% [markdown]
# ## Measured
#
# The study `width` finds tickets of the digits CNN in parents of growing width. A study is a function of a point and a
# seed, so we can call it here; `slth study run width --out DIR` runs the whole of it, stores every row, and resumes
# where it was interrupted.

# %%
rows = []
for width in (200, 400, 800) if smoke else (200, 400, 800, 1600, 3200, 6400):
    point = WidthPoint(width=width, epochs=3 if smoke else 40)
    result = STUDY.run(point, 0)
    rows.append(Row(key=str(width), study="width", point=point.model_dump(), seed=0, status="done", result=result))
    print(f"width {width:5,}: ticket {result['accuracy']['ticket']:.1%}, target {result['accuracy']['target']:.1%}")

# %% [markdown]
# The study turns its rows into text that is computed from the numbers, a table and a figure.

# %%
growth, accuracy = STUDY.sections(rows)
print(growth.text)
growth.figure.get_figure()

# %%
print(accuracy.text)
accuracy.figure.get_figure()
