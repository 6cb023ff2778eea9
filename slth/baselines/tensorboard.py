"""TensorBoard files of training: a listener that writes the numbers of every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slth.baselines.training import TRAINING_TASK
from slth.errors import InputError
from slth.progress import Silent

SCALARS = ("loss", "rate", "validation")


class TensorBoard(Silent):
    """Writes loss, learning rate and validation accuracy of each epoch to event files, one sub-folder for each run.

    A search may train several times: its runs are ``run-001``, ``run-002`` and so on.

    Args:
        folder: where the sub-folders go.

    Raises:
        InputError: the package of TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as cause:
            raise InputError('TensorBoard files need its package: pip install "slth[tensorboard]".') from cause
        self._make_writer, self._folder, self._runs = SummaryWriter, folder, 0
        self._writer: Any = None

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """See :class:`Progress`."""
        if task != TRAINING_TASK:
            return
        self._runs += 1
        try:
            self._writer = self._make_writer(str(self._folder / f"run-{self._runs:03d}"))
        except OSError as cause:
            raise InputError(
                f"cannot write TensorBoard files to {self._folder}: {cause.strerror}. Choose another folder."
            ) from cause

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        """See :class:`Progress`."""
        if task == TRAINING_TASK:
            for name in SCALARS:
                if name in facts:
                    self._writer.add_scalar(name, facts[name], facts["step"])

    def end(self, task: str) -> None:
        """See :class:`Progress`."""
        if task == TRAINING_TASK and self._writer is not None:
            self._writer.close()
            self._writer = None
