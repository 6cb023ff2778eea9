"""The results that slth itself proves or measures."""

from __future__ import annotations

from slth.theory.references.reference import Reference

DERIVED: dict[str, Reference] = {
    "propagation": Reference(
        authors="slth",
        year=2026,
        arxiv="",
        statement="A kernel error ε' (L∞) changes a layer's output by at most d² c_in ε' ‖X‖_max: X⁺ and X⁻ have "
        "disjoint support, so both sign groups together cost no factor 2.",
        hypotheses="every sign group that the input needs is approximated within ε'",
        constant="explicit",
        checked="derived here",
    ),
    "first_moment": Reference(
        authors="slth",
        year=2026,
        arxiv="",
        statement="P(Y ≥ 1) ≤ E[Y] = Σ_k C(n, k) P_k for the number Y of subsets within ε of z: below the n with "
        "E[Y] = p, no method succeeds with probability p. To leading order E[Y] = 1 at n = D log2(1/ε).",
        hypotheses="i.i.d. candidates; P_k as slth.theory.hits computes it",
        constant="explicit",
        checked="derived here",
    ),
    "relax_scaling": Reference(
        authors="slth",
        year=2026,
        arxiv="",
        statement="Polynomial time, large D: L∞ error ≈ c D^{3/2}/n, with c ≈ 0.7 for greedy pursuit and c ≈ 0.35 for "
        "an LP vertex on the small-norm core with rounding and flips. A heuristic derivation and measurements.",
        hypotheses="normal (NSN) candidates of unit variance, targets of that size",
        constant="fitted",
        checked="derived here",
    ),
    "certified": Reference(
        authors="slth",
        year=2026,
        arxiv="",
        statement="Fixed-size multidimensional subset sum of NSN vectors: P(hit) ≥ P(W)²/Σ_j h_j m_j, weighted by "
        "1/P(hit | scale) over a window W of scales; proof in proofs_check/certified_width.md.",
        hypotheses="i.i.d. normal weights, |z_i| ≤ z_bound, ε > 0",
        constant="explicit",
        checked="derived here",
    ),
}
