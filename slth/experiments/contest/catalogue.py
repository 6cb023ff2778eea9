"""What the methods of the contest are, in a line each, for lists and refusals: torch is not imported."""

from __future__ import annotations

_AT_INITIALISATION = {
    "random": "any weights",
    "magnitude": "the smallest weights",
    "snip": "those whose removal changes the loss least, by its gradient",
    "grasp": "those whose removal raises the gradient most",
    "synflow": "those with the least synaptic flow",
}

SUMMARIES: dict[str, str] = {
    "dense": "the whole network, trained",
    "edge-popup": "scores of frozen random weights, the top fraction of each layer (strong)",
    "gates": "stochastic gates on frozen random weights, filters or channels (strong)",
    "gem-miner": "rounded scores of frozen random weights, the lowest removed for good (strong; made to be fine-tuned)",
    "imp": "iterative magnitude pruning with rewinding",
    **{
        name: f"removes {what}, before any training; train with --finetune" for name, what in _AT_INITIALISATION.items()
    },
    "smart-random": "a random ticket with good layer-wise ratios; train with --finetune",
    "filters": "whole filters pruned from a trained network, removed physically",
    "dro-ensemble": "edge-popup tickets trained on losses of different hardness, logits averaged (strong)",
    "plain-ensemble": "as many edge-popup tickets of other seeds, logits averaged (strong)",
    "subset-sum": "a ticket found by subset sum for a trained target, without training (strong)",
}
# Method → why a density means nothing to it.
WITHOUT_DENSITY: dict[str, str] = {
    "dense": "it keeps every weight",
    "subset-sum": "what its ticket keeps follows from the width, --option width=10000",
}
