"""The places of a layer's kept hidden channels among all that could be kept; the file codes these places.

The places of a layer are numbered input channel by input channel, sign by sign, part by part. Within an instance they
follow the order of its group of hidden channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slth.tickets.files.coding import Bytes, Places, decode, optimal_bits
from slth.tickets.record.instance import InputChannel, Instance
from slth.tickets.record.record import Block, Record

# Places that the code of a layer may have. The coder reads about 150 million a second (measured at a density of 4 %).
MAX_PLACES = 2**30


def places_of(channels: Sequence[InputChannel], blocks: Sequence[Block]) -> tuple[Places, Places]:
    """The places that a layer keeps.

    Args:
        channels: the input channels of the layer.
        blocks: the hidden channels that are kept of each.

    Returns:
        (positions, sizes): the kept places, int64, increasing; and the number of places of each instance, int64.
    """
    positions, sizes, start = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)], 0
    for channel, block in zip(channels, blocks, strict=True):
        parts = block.part_numbers()
        for instance in channel.instances:
            group = instance.group()
            place_of = np.full(channel.width, -1)
            place_of[group] = np.arange(len(group))
            places = place_of[block.rows]
            inside = places >= 0
            positions.append(start + parts[inside] * len(group) + places[inside])
            sizes.append(np.full(len(block.counts), len(group)))
            start += len(group) * len(block.counts)
    return np.concatenate(positions), np.concatenate(sizes)


def read_blocks(channels: Sequence[InputChannel], alpha: float, beta: float, code: Bytes) -> tuple[Block, ...]:
    """Read what a layer keeps from its code.

    Args:
        channels: the input channels of the layer.
        alpha: α of the code.
        beta: β of the code.
        code: the code, uint8 (n,).

    Returns:
        One block for each input channel.

    Raises:
        ValueError: the code does not fit the layer, or the layer claims more than MAX_PLACES places.
    """
    sized = [(one, size) for channel in channels for one, size in _instance_sizes(channel)]
    if sum(one.channel.parts * size for one, size in sized) > MAX_PLACES:
        raise ValueError(f"layer {channels[0].layer} claims more than {MAX_PLACES} places")
    sizes = np.concatenate([np.full(one.channel.parts, size, dtype=np.int64) for one, size in sized])
    positions = decode(alpha, beta, code, sizes)
    rows: list[list[Places]] = [[] for _ in channels]
    parts: list[list[Places]] = [[] for _ in channels]
    start = 0
    for instance, size in sized:
        stop = start + instance.channel.parts * size
        first, last = np.searchsorted(positions, [start, stop])
        part, ranks = np.divmod(positions[first:last] - start, max(size, 1))
        needed, which = np.unique(ranks, return_inverse=True)
        rows[instance.channel.index].append(instance.group_at(needed)[which])
        parts[instance.channel.index].append(part)
        start = stop
    return tuple(
        _block(np.concatenate(row), np.concatenate(part), channel.parts)
        for channel, row, part in zip(channels, rows, parts, strict=True)
    )


def ideal_bits(record: Record) -> float:
    """The fewest bits that the choice of the kept channels can take: the sum of log2 C(n, k) over all instances."""
    total = 0.0
    for channels, blocks in zip(record.channels, record.kept, strict=True):
        for channel, block in zip(channels, blocks, strict=True):
            mixing, parts = channel.mixing(block.rows), block.part_numbers()
            for instance, size in _instance_sizes(channel):
                kept = np.bincount(parts[instance.holds(mixing)], minlength=len(block.counts))
                total += sum(optimal_bits(size, int(k)) for k in kept)
    return total


def _instance_sizes(channel: InputChannel) -> list[tuple[Instance, int]]:
    """The signs of an input channel with the sizes of their groups, counted without holding a group in memory."""
    sizes = channel.group_sizes()
    return [(instance, sizes[instance.sign]) for instance in channel.instances]


def _block(rows: Places, part: Places, parts: int) -> Block:
    """A block from hidden channels and the part that each belongs to."""
    return Block(rows[np.lexsort((rows, part))], np.bincount(part, minlength=parts))
