"""Published bounds on widths and sample sizes: the sources of :mod:`slth.theory.bounds`.

Raise a ``checked`` tag only after reading the source.
"""

from __future__ import annotations

from slth.theory.references.reference import Reference

PUBLISHED_BOUNDS: dict[str, Reference] = {
    "dacunha2023": Reference(
        authors="A. da Cunha, F. d'Amore, E. Natale",
        year=2023,
        arxiv="2311.09858",
        statement="Structured pruning (channel-blocked masks and filter removal) of a random CNN with "
        "n_i ≥ C d_i^12 c_i^6 log³(d_i² c_i c_{i-1} ℓ/ε) approximates every target CNN within ε with probability 1−ε.",
        hypotheses="kernels with ‖K‖₁ ≤ 1, inputs in [−1, 1], zero padding, no bias, normal weights",
        constant="unspecified",
        checked="no, from memory",
    ),
    "nsn_mrss": Reference(
        authors="A. da Cunha, F. d'Amore, E. Natale",
        year=2023,
        arxiv="2311.09858",
        statement="k ≥ C D³ log(D/ε) and n ≥ k²: with constant probability k of n NSN vectors Y_i = Z·Z_i sum to "
        "within ε (L∞) of z.",
        hypotheses="0 < ε ≤ 1/4, ‖z‖₁ ≤ √k",
        constant="unspecified",
        checked="no, from memory",
    ),
    "ferre2026": Reference(
        authors="D. Ferré, F. Mallmann-Trenn et al.",
        year=2026,
        arxiv="2603.02234",
        statement="Approximating one bias-free ReLU neuron within ε by neuron pruning of a random two-layer ReLU "
        "network takes Ω(1/ε) hidden neurons; weight pruning takes O(log(1/ε)).",
        hypotheses="one bias-free ReLU neuron; neuron pruning alone, no blocked mask before it",
        constant="unspecified",
        checked="in its abstract",
    ),
    "lueker1998": Reference(
        authors="G. Lueker",
        year=1998,
        arxiv="",
        statement="n = O(log(1/ε)) uniform samples: with high probability every z in [−1, 1] is a subset sum within ε.",
        hypotheses="i.i.d. U[−1, 1], D = 1",
        constant="unspecified",
        checked="in later papers",
    ),
    "dacunha2023rss": Reference(
        authors="A. da Cunha, F. d'Amore, F. Giroire, H. Lesfari, E. Natale, L. Viennot",
        year=2023,
        arxiv="2204.13929",
        statement="n = O(log(1/ε)) samples: with high probability every z in [−1/2, 1/2] is a subset sum within ε; "
        "an elementary proof.",
        hypotheses="i.i.d. U[−1, 1], D = 1",
        constant="unspecified",
        checked="in its abstract",
    ),
    "becchetti2022": Reference(
        authors="L. Becchetti, A. da Cunha, A. Clementi, F. d'Amore, H. Lesfari, E. Natale, L. Trevisan",
        year=2022,
        arxiv="2207.13944",
        statement="n = O(D³ log(1/ε)(log(1/ε) + log D)) random vectors have subset sums within ε of every z "
        "in [−1, 1]^D.",
        hypotheses="i.i.d. vectors of a continuous law around the origin",
        constant="unspecified",
        checked="in the paper",
    ),
    "borst2023": Reference(
        authors="S. Borst, D. Dadush, S. Huiberts, D. Mikulincer, S. Tiwari",
        year=2023,
        arxiv="2012.08346, 2203.11863",
        statement="{0,1}-combinations of random vectors that hit a target, by a Fourier proof, for wider laws.",
        hypotheses="i.i.d. vectors",
        constant="unspecified",
        checked="in its abstract",
    ),
    "malach2020": Reference(
        authors="E. Malach, G. Yehudai, S. Shalev-Shwartz, O. Shamir",
        year=2020,
        arxiv="2002.00585",
        statement="Weight pruning of a random network of depth 2ℓ and width poly(d, n, ℓ, 1/ε, log(1/δ)) approximates "
        "a ReLU network of depth ℓ and width n within ε with probability 1−δ.",
        hypotheses="bounded weights and inputs, weight pruning",
        constant="unspecified",
        checked="no, from memory",
    ),
    "orseau2020": Reference(
        authors="L. Orseau, M. Hutter, O. Rivasplata",
        year=2020,
        arxiv="2006.12156",
        statement="A logarithmic factor of neurons per weight of the target suffices.",
        hypotheses="weight pruning",
        constant="unspecified",
        checked="in its abstract",
    ),
    "pensia2020": Reference(
        authors="A. Pensia, S. Rajput, A. Nagle, H. Vishwakarma, D. Papailiopoulos",
        year=2020,
        arxiv="2006.07990",
        statement="A layer of ‖W‖ ≤ 1 is approximated within ε by masking a random one with n ≥ C d₁ log(2 d₁ d₂/ε) "
        "hidden units: every weight is a subset sum of about log(1/ε) random ones.",
        hypotheses="‖x‖ ≤ 1, entries U[−1, 1], weight pruning",
        constant="unspecified",
        checked="in the paper",
    ),
    "dacunha2022cnn": Reference(
        authors="A. da Cunha, E. Natale, L. Viennot",
        year=2022,
        arxiv="",
        statement="A random CNN with O(k log(kℓ/min(ε, δ))) parameters holds an ε-approximation of a CNN with k.",
        hypotheses="kernels with ‖·‖₁ ≤ 1, weight pruning",
        constant="unspecified",
        checked="in part",
    ),
    "burkholz2022": Reference(
        authors="R. Burkholz",
        year=2022,
        arxiv="2205.02321, 2205.02343",
        statement="Depth ℓ+1 suffices for most activations, for convolutional and residual networks, at a quadratic "
        "overhead against pensia2020.",
        hypotheses="weight pruning",
        constant="unspecified",
        checked="in later papers",
    ),
    "plantnseek2022": Reference(
        authors="J. Fischer, R. Burkholz",
        year=2022,
        arxiv="2111.11153",
        statement="A random network holds a given ticket with P ≥ Π_l (1 − Σ_i (1 − ε_l^{k_i})^{n_l}); where it does "
        "not, the ticket is planted as ground truth.",
        hypotheses="k_i parameters of target neuron i, n_l random neurons in layer l, uniform entries",
        constant="explicit",
        checked="in the paper",
    ),
    "natale2024": Reference(
        authors="E. Natale, D. Ferré, G. Giambartolomei, F. Giroire, F. Mallmann-Trenn",
        year=2024,
        arxiv="2410.14754",
        statement="n ≥ c log2(k/ε)/H2(k/n): for each z in [−√k, √k], P(∃ S, |S| = k, |Σ_S − z| < ε) ≥ c'; with the "
        "logarithm squared, all such z at once with probability 1−ε.",
        hypotheses="1 ≤ k ≤ n/2, D = 1",
        constant="unspecified",
        checked="in the paper",
    ),
    "kumar2025": Reference(
        authors="A. Kumar, E. Natale",
        year=2025,
        arxiv="2508.11020",
        statement="Quantised targets are represented exactly at width O(d log(1/δ)); Ω(d² log(1/δ)) parameters are "
        "necessary. δ is the precision of the target's values.",
        hypotheses="quantised target, weight pruning",
        constant="unspecified",
        checked="in the paper",
    ),
    "otsuka2025": Reference(
        authors="H. Otsuka, D. Chijiwa, Y. Okoshi, D. Fujiki, S. Takeuchi, M. Motomura",
        year=2025,
        arxiv="2511.04217",
        statement="Attention heads: n ≥ C d log(…/ε) hidden dimensions hold an ε-approximation.",
        hypotheses="weight pruning of a random multi-head attention",
        constant="unspecified",
        checked="in the paper",
    ),
    "npp": Reference(
        authors="D. Gamarnik, E. Kızıldağ; P. Turner, R. Meka, P. Rigollet",
        year=2021,
        arxiv="2103.01369, 1910.13972",
        statement="Partitioning n normal vectors of dimension m: the least discrepancy is Θ(√n 2^{-n/m}); known "
        "polynomial-time methods reach e^{-Ω(log² n/m)}, and only for m = O(√log n).",
        hypotheses="m constant 1, or ω(1) ≤ m ≤ o(n)",
        constant="unspecified",
        checked="in the paper",
    ),
}
