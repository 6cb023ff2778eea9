"""The random control of a ticket: it keeps equally many hidden channels, drawn at random."""

from __future__ import annotations

import numpy as np

from slth.tickets.record.record import Block, Kept, Record


def random_kept(record: Record, seed: int = 0) -> Kept:
    """Draw hidden channels at random, in every part and sign as many as the ticket keeps.

    Args:
        record: the ticket.
        seed: seed of the draw.

    Returns:
        Blocks of the same sizes as the ticket's. A ticket with them should predict no better than chance.
    """
    rng = np.random.default_rng([seed, 7])
    layers = []
    for channels, blocks in zip(record.channels, record.kept, strict=True):
        drawn_blocks = []
        for channel, block in zip(channels, blocks, strict=True):
            groups = [instance.group() for instance in channel.instances]
            drawn = []
            for part in block.parts():
                chosen = [np.empty(0, dtype=np.int64)]
                for group in groups:
                    count = int(np.isin(part, group, assume_unique=True).sum())
                    chosen.append(rng.choice(group, size=count, replace=False))
                drawn.append(np.sort(np.concatenate(chosen)))
            drawn_blocks.append(Block.of(drawn))
        layers.append(tuple(drawn_blocks))
    return tuple(layers)
