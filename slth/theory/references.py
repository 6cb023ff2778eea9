"""Every source the project leans on, once. Docstrings name a key in their ``Source:`` line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One source.

    Attributes:
        authors, year, arxiv: who, when, and the arXiv number ("" when there is none we know).
        statement: what is used of it.
        hypotheses: under which it holds.
        constant: ``explicit``, ``unspecified``, ``fitted`` or ``none`` (no constant in it).
        wording: ``seen`` (read in the source), ``recalled`` (not confirmed) or ``derived`` (proved or measured here).
    """

    authors: str
    year: int
    arxiv: str
    statement: str
    hypotheses: str
    constant: str
    wording: str


REFERENCES: dict[str, Reference] = {
    "dacunha2023": Reference(
        authors="A. da Cunha, F. d'Amore, E. Natale",
        year=2023,
        arxiv="2311.09858",
        statement="Structured pruning (channel-blocked masks and filter removal) of a random CNN with "
        "n_i ≥ C d_i^12 c_i^6 log³(d_i² c_i c_{i-1} ℓ/ε) approximates every target CNN within ε with probability 1−ε.",
        hypotheses="kernels with ‖K‖₁ ≤ 1, inputs in [−1, 1], zero padding, no bias, normal weights",
        constant="unspecified",
        wording="recalled",
    ),
    "becchetti2022": Reference(
        authors="L. Becchetti, A. da Cunha, A. Clementi, F. d'Amore, H. Lesfari, E. Natale, L. Trevisan",
        year=2022,
        arxiv="2207.13944",
        statement="n = O(D³ log(1/ε)(log(1/ε) + log D)) random vectors have subset sums within ε of every z "
        "in [−1, 1]^D.",
        hypotheses="i.i.d. vectors of a continuous law around the origin",
        constant="unspecified",
        wording="seen",
    ),
    "pensia2020": Reference(
        authors="A. Pensia, S. Rajput, A. Nagle, H. Vishwakarma, D. Papailiopoulos",
        year=2020,
        arxiv="2006.07990",
        statement="A layer of ‖W‖ ≤ 1 is approximated within ε by masking a random one with n ≥ C d₁ log(2 d₁ d₂/ε) "
        "hidden units: every weight is a subset sum of about log(1/ε) random ones.",
        hypotheses="‖x‖ ≤ 1, entries U[−1, 1], weight pruning",
        constant="unspecified",
        wording="seen",
    ),
    "dacunha2022cnn": Reference(
        authors="A. da Cunha, E. Natale, L. Viennot",
        year=2022,
        arxiv="",
        statement="A random CNN with O(k log(kℓ/min(ε, δ))) parameters holds an ε-approximation of a CNN with k.",
        hypotheses="kernels with ‖·‖₁ ≤ 1, weight pruning",
        constant="unspecified",
        wording="recalled",
    ),
    "salmon2011": Reference(
        authors="J. Salmon, M. Moraes, R. Dror, D. Shaw",
        year=2011,
        arxiv="",
        statement="Philox4x32-10: a counter-based random number generator with random access.",
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
    "certified": Reference(
        authors="slth",
        year=2026,
        arxiv="",
        statement="Fixed-size multidimensional subset sum of NSN vectors: P(hit) ≥ P(W)²/Σ_j h_j m_j, weighted by "
        "1/P(hit | scale) over a window W of scales; proof in proofs_check/certified_width.md.",
        hypotheses="i.i.d. normal weights, |z_i| ≤ z_bound, ε > 0",
        constant="explicit",
        wording="derived",
    ),
    "johansson2017": Reference(
        authors="F. Johansson",
        year=2017,
        arxiv="1611.02831",
        statement="Arb: midpoint-radius interval arithmetic with rigorous enclosures of special functions.",
        hypotheses="",
        constant="none",
        wording="recalled",
    ),
    "laurent2000": Reference(
        authors="B. Laurent, P. Massart",
        year=2000,
        arxiv="",
        statement="P(χ²_k ≥ k + 2√(kx) + 2x) ≤ e^{−x} and P(χ²_k ≤ k − 2√(kx)) ≤ e^{−x}.",
        hypotheses="x > 0",
        constant="explicit",
        wording="recalled",
    ),
}
