"""Every source the project leans on, once. Docstrings name a key in their ``Source:`` line."""

from __future__ import annotations

from slth.theory.literature import LITERATURE
from slth.theory.reference import Reference

REFERENCES: dict[str, Reference] = {
    **LITERATURE,
    "salmon2011": Reference(
        authors="J. Salmon, M. Moraes, R. Dror, D. Shaw",
        year=2011,
        arxiv="",
        statement="Philox4x32-10: a counter-based random number generator with random access.",
        hypotheses="",
        constant="none",
        wording="recalled",
    ),
    "he2016": Reference(
        authors="K. He, X. Zhang, S. Ren, J. Sun",
        year=2016,
        arxiv="1512.03385",
        statement="Residual networks; ResNet-20 for 32×32 images.",
        hypotheses="",
        constant="none",
        wording="recalled",
    ),
    "simonyan2014": Reference(
        authors="K. Simonyan, A. Zisserman",
        year=2014,
        arxiv="1409.1556",
        statement="Networks of 3×3 convolutions and max-pooling.",
        hypotheses="",
        constant="none",
        wording="recalled",
    ),
    "howard2017": Reference(
        authors="A. Howard et al.",
        year=2017,
        arxiv="1704.04861",
        statement="Depthwise-separable convolutions.",
        hypotheses="",
        constant="none",
        wording="recalled",
    ),
    "martin1979": Reference(
        authors="G. N. N. Martin",
        year=1979,
        arxiv="",
        statement="Range coding: arithmetic coding byte by byte, within a bit or so of the probability model.",
        hypotheses="",
        constant="none",
        wording="recalled",
    ),
    "horowitz1974": Reference(
        authors="E. Horowitz, S. Sahni",
        year=1974,
        arxiv="",
        statement="Subset sum by meet in the middle in 2^{n/2} time and space.",
        hypotheses="",
        constant="none",
        wording="recalled",
    ),
    "karmarkar1982": Reference(
        authors="N. Karmarkar, R. Karp",
        year=1982,
        arxiv="",
        statement="Number partitioning by differencing; on random numbers it leaves n^{−Θ(log n)}.",
        hypotheses="i.i.d. numbers of a continuous law, D = 1",
        constant="unspecified",
        wording="recalled",
    ),
    "barany1981": Reference(
        authors="I. Bárány, V. Grinberg",
        year=1981,
        arxiv="",
        statement="A null-space walk moves a point of the box to one with at most D fractional entries, sum unchanged.",
        hypotheses="",
        constant="none",
        wording="recalled",
    ),
    "frankle2019": Reference(
        authors="J. Frankle, M. Carbin",
        year=2019,
        arxiv="1803.03635",
        statement="The lottery ticket hypothesis; the Conv-2 architecture.",
        hypotheses="",
        constant="none",
        wording="recalled",
    ),
    "delattre2023": Reference(
        authors="B. Delattre, Q. Barthélemy, A. Araujo, A. Allauzen",
        year=2023,
        arxiv="2305.16173",
        statement="Gram iteration: G ← G*G gives upper bounds ‖G‖_F^{2^{−i}} on a spectral norm that converge fast; "
        "for convolutions, at every frequency of the kernel's Fourier transform.",
        hypotheses="",
        constant="none",
        wording="recalled",
    ),
    "propagation": Reference(
        authors="slth",
        year=2026,
        arxiv="",
        statement="A kernel error ε' (L∞) changes a layer's output by at most d² c_in ε' ‖X‖_max: X⁺ and X⁻ have "
        "disjoint support, so both sign groups together cost no factor 2.",
        hypotheses="every sign group that the input needs is approximated within ε'",
        constant="explicit",
        wording="derived",
    ),
    "first_moment": Reference(
        authors="slth",
        year=2026,
        arxiv="",
        statement="P(Y ≥ 1) ≤ E[Y] = Σ_k C(n, k) P_k for the number Y of subsets within ε of z: below the n with "
        "E[Y] = p, no method succeeds with probability p. To leading order E[Y] = 1 at n = D log2(1/ε).",
        hypotheses="i.i.d. candidates; P_k as slth.theory.hits computes it",
        constant="explicit",
        wording="derived",
    ),
    "relax_scaling": Reference(
        authors="slth",
        year=2026,
        arxiv="",
        statement="Polynomial time, large D: L∞ error ≈ c D^{3/2}/n, with c ≈ 0.7 for greedy pursuit and c ≈ 0.35 for "
        "an LP vertex on the small-norm core with rounding and flips. A heuristic derivation and measurements.",
        hypotheses="normal (NSN) candidates of unit variance, targets of that size",
        constant="fitted",
        wording="derived",
    ),
}
