"""The literature of trained tickets: the methods that the baselines implement, and the measures that compare them."""

from __future__ import annotations

from slth.theory.references.reference import Reference

TRAINED_TICKETS: dict[str, Reference] = {
    "ramanujan2020": Reference(
        authors="Ramanujan, Wortsman, Kembhavi, Farhadi, Rastegari",
        year=2020,
        arxiv="1911.13299",
        statement=(
            "edge-popup: scores of frozen random weights, trained through the top fraction of each layer with a "
            "straight-through gradient"
        ),
        hypotheses="none: an algorithm",
        constant="none",
        checked="no, from memory",
    ),
    "sreenivasan2022": Reference(
        authors="Sreenivasan, Sohn, Yang, Grinde, Nagle, Wang, Xing, Lee, Papailiopoulos",
        year=2022,
        arxiv="2202.12002",
        statement=(
            "Rare Gems: Gem-Miner, rounded and iteratively frozen scores with an L2 regulariser; sanity checks of"
            " a ticket"
        ),
        hypotheses="none: an algorithm",
        constant="none",
        checked="in later papers",
    ),
    "tsayag2026": Reference(
        authors="Tsayag, Lindenbaum",
        year=2026,
        arxiv="2603.08914",
        statement="stochastic gates on frozen weights find strong tickets without a straight-through estimator",
        hypotheses="none: an algorithm",
        constant="none",
        checked="in its abstract",
    ),
    "yamada2020": Reference(
        authors="Yamada, Lindenbaum, Negahban, Kluger",
        year=2020,
        arxiv="1810.04247",
        statement="Gaussian gates clip(μ + σε, 0, 1), ε standard normal; expected number of open gates Σ Φ(μ/σ)",
        hypotheses="none: an algorithm",
        constant="none",
        checked="no, from memory",
    ),
    "frankle2020": Reference(
        authors="Frankle, Dziugaite, Roy, Carbin",
        year=2020,
        arxiv="1912.05671",
        statement=(
            "rewinding to an early step; linear mode connectivity: the error barrier between two children of one start"
        ),
        hypotheses="none: an algorithm",
        constant="none",
        checked="no, from memory",
    ),
    "paul2021": Reference(
        authors="Paul, Ganguli, Dziugaite",
        year=2021,
        arxiv="2107.07075",
        statement="EL2N and GraNd scores of examples early in training",
        hypotheses="none: a definition",
        constant="none",
        checked="no, from memory",
    ),
    "paul2022": Reference(
        authors="Paul, Larsen, Ganguli, Frankle, Dziugaite",
        year=2022,
        arxiv="2206.01278",
        statement="lottery tickets on a data diet: a small random or an easy subset suffices for the rewind point",
        hypotheses="none: an experiment",
        constant="none",
        checked="in later papers",
    ),
    "sapkota2023": Reference(
        authors="Sapkota, Wang, Tao, Yu",
        year=2023,
        arxiv="",
        statement=(
            "distributionally robust ensemble of edge-popup tickets: softmax-weighted losses of different "
            "hardness, mean of logits"
        ),
        hypotheses="none: an algorithm",
        constant="none",
        checked="in later papers",
    ),
    "lee2019": Reference(
        authors="Lee, Ajanthan, Torr",
        year=2019,
        arxiv="1810.02340",
        statement="SNIP: connection sensitivity |g·w| at initialisation",
        hypotheses="none: an algorithm",
        constant="none",
        checked="no, from memory",
    ),
    "wang2020": Reference(
        authors="Wang, Zhang, Grosse",
        year=2020,
        arxiv="2002.07376",
        statement="GraSP: −w·Hg, what removing a weight does to the gradient's norm",
        hypotheses="none: an algorithm",
        constant="none",
        checked="no, from memory",
    ),
    "tanaka2020": Reference(
        authors="Tanaka, Kunin, Yamins, Ganguli",
        year=2020,
        arxiv="2006.05467",
        statement=(
            "SynFlow: iterative, data-free saliency |∂R/∂θ·θ| of the network of absolute weights on an all-ones input"
        ),
        hypotheses="none: an algorithm",
        constant="none",
        checked="no, from memory",
    ),
    "su2020": Reference(
        authors="Su, Chen, Cai, Wu, Gao, Wang, Lee",
        year=2020,
        arxiv="2009.11094",
        statement="random tickets: layer-wise smart ratios are what pruning at initialisation is worth",
        hypotheses="none: an experiment",
        constant="none",
        checked="no, from memory",
    ),
    "li2017": Reference(
        authors="Li, Kadav, Durdanovic, Samet, Graf",
        year=2017,
        arxiv="1608.08710",
        statement="filter pruning by the L1 norm of a filter's weights",
        hypotheses="none: an algorithm",
        constant="none",
        checked="no, from memory",
    ),
    "fang2023": Reference(
        authors="Fang, Ma, Song, Mi, Wang",
        year=2023,
        arxiv="2301.12900",
        statement="DepGraph (torch-pruning): coupled channels are found and removed together",
        hypotheses="none: an algorithm",
        constant="none",
        checked="no, from memory",
    ),
    "guo2017": Reference(
        authors="Guo, Pleiss, Sun, Weinberger",
        year=2017,
        arxiv="1706.04599",
        statement="expected calibration error and reliability diagrams",
        hypotheses="none: a definition",
        constant="none",
        checked="no, from memory",
    ),
}
