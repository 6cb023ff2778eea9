"""The wall time that a search may take, shared out among its instances while they are solved.

An instance gets a part of the time that is left, in proportion to its dimension. What an instance leaves over goes to
those after it. Work that cannot be cut short (drawing candidates, the first pass of a solver, measuring the errors) is
timed as it is done, and as much is set aside for the instances to come.
"""

from __future__ import annotations

import threading
import time

from slth.errors import InputError

# A search that is this much over its limit is given up: so many times the limit, and so many seconds.
OVERTIME = 1.1
OVERTIME_SECONDS = 1.0


class SearchTime:
    """The time of a whole search. Its methods may be called from several threads at once.

    Args:
        seconds: wall time of the search, from now on.
        work: the sum of all instances' dimensions.
        workers: number of threads that the search runs on.
    """

    def __init__(self, seconds: float, work: int, workers: int) -> None:
        self._seconds, self._work, self._workers = seconds, work, workers
        self._began = time.monotonic()
        self._left = work
        # Core seconds that the finished part took beyond its shares.
        self._extra = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Give the search up when it is far over its limit.

        Raises:
            InputError: the limit is too short for a look at every instance; it says how long that takes.
        """
        passed = time.monotonic() - self._began
        if passed <= self._seconds * OVERTIME + OVERTIME_SECONDS:
            return
        with self._lock:
            done, extra = self._work - self._left, self._extra
        # Nothing finished: a look takes longer than what has passed, and nobody knows how much longer.
        round_seconds = self._work / done * extra / self._workers if done else passed
        raise InputError(
            f"time_limit must be long enough for a look at every instance, "
            f"{'about' if done else 'more than'} {max(round_seconds, passed):.3g} s; got {self._seconds:g} s, after "
            f"which {done / self._work:.0%} of the search was done. Give more time, a smaller width or more threads."
        )

    def share(self, work: int) -> float:
        """The seconds that the next instance may take; 0 when the time is used up.

        Args:
            work: its dimension.

        Raises:
            InputError: the search is far over its limit.
        """
        self.check()
        left = self._seconds - (time.monotonic() - self._began)
        with self._lock:
            done = self._work - self._left
            aside = self._extra / done * self._left if done else 0.0
            free = left * self._workers - aside
            return max(0.0, min(left, free * work / self._left))

    def settle(self, work: int, extra: float) -> None:
        """An instance is finished.

        Args:
            work: its dimension.
            extra: seconds that it took beyond its share.
        """
        with self._lock:
            self._left -= work
            self._extra += extra


class ChannelTime:
    """What one input channel takes of the time of a search.

    Args:
        search_time: the time of the whole search.
        work: the sum of the dimensions of the channel's instances.

    Attributes:
        at_limit: how many of its instances used up their share without a proof.

    Raises:
        InputError: the search is far over its limit.
    """

    def __init__(self, search_time: SearchTime, work: int) -> None:
        search_time.check()
        self._search_time, self._work, self._solving = search_time, work, 0.0
        self.at_limit = 0

    def share(self, work: int) -> float:
        """The seconds that the next instance may take; see :meth:`SearchTime.share`.

        Args:
            work: its dimension.
        """
        return self._search_time.share(work)

    def settle(self, work: int, share: float, seconds: float, *, proved: bool) -> None:
        """An instance is finished.

        Args:
            work: its dimension.
            share: seconds that it was given.
            seconds: seconds that it took.
            proved: whether its selection is proved to be the best.
        """
        self._work -= work
        self._solving += seconds
        self.at_limit += not proved and seconds >= share
        self._search_time.settle(work, max(0.0, seconds - share))

    def close(self, seconds: float) -> None:
        """The input channel is finished.

        Args:
            seconds: seconds that it took in all.
        """
        self._search_time.settle(self._work, seconds - self._solving)
