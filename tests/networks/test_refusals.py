"""Models that cannot be targets are refused before any work, in one message that names every unsupported part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from cnns import Forward, Own, part_of, relative
from torch import nn
from torch.nn import functional

from slth.errors import InputError
from slth.networks import extract
from slth.tickets import find_ticket


class Everything(nn.Module):
    """A network with one unsupported part of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.up = nn.Linear(4, 4), nn.ConvTranspose1d(4, 4, 2)
        self.attention, self.memory = nn.MultiheadAttention(4, 2), nn.LSTM(4, 4)
        self.words, self.kernel = nn.Embedding(5, 4), nn.Parameter(torch.randn(4, 4, 1))
        self.pool = nn.MaxPool1d(2, return_indices=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.conv1d(self.up(self.fc(x)), self.kernel)
        x = self.memory(self.attention(x, x, x)[0])[0] + self.words(x.argmax(-1))
        out: torch.Tensor = torch.einsum("nij->nji", self.pool(x)[0]).cumsum(0) @ x
        return out


def test_everything_that_is_not_supported_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        find_ticket(Everything(), width=5)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    named = [
        "10 parts of the model are not supported", "layer up (ConvTranspose1d)", "layer attention (MultiheadAttention)",
        "layer memory (LSTM)", "layer words (Embedding)", "method Tensor.argmax", "function einsum",
        "layer pool (MaxPool1d with return_indices=True", "function conv1d", "use the nn.Module of the same name",
        "method Tensor.cumsum", "function matmul", "replace these parts",
    ]  # fmt: skip
    assert [words for words in named if words not in message] == []
    assert "layer fc" not in message


def test_a_part_that_is_used_twice_is_one_part() -> None:
    model = Own(lambda m, x: m.gru(m.gru(m.fc(x))[0])[0], gru=nn.GRU(2, 2), fc=nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"a part of the model is not supported: layer gru \(GRU\)\. slth replaces"):
        extract(model)


def test_no_work_is_done_for_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object, **__: object) -> NoReturn:
        raise AssertionError("work was started")

    monkeypatch.setattr("slth.networks.parent.random_rows", work)
    monkeypatch.setattr("slth.tickets.search.search.solve_parts", work)
    for bad in (Everything(), nn.Sequential(nn.GRU(2, 2)), nn.Sequential(nn.Linear(0, 2))):
        with pytest.raises(InputError):
            find_ticket(bad, width=5)


def branch(m: Any, x: torch.Tensor) -> Any:
    return m.fc(x) if x.sum() > 0 else x


def loop(m: Any, x: torch.Tensor) -> Any:
    for row in x:
        x = x + m.fc(row)
    return x


def by_shape(m: Any, x: torch.Tensor) -> Any:
    return m.fc(x) if x.shape[1] == 4 else x


def fails(m: Any, x: torch.Tensor) -> Any:
    raise KeyError("my own bug")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (branch, "control flow"),
        (loop, "iterated"),
        (by_shape, "control flow"),
        (fails, "my own bug"),
        (lambda m, x: m.fc(x) * len(x), "'len' is not supported"),
        (lambda m, x: m.fc(x) * int(x.sum()), "int"),
        (lambda m, x: m.fc(x) if isinstance(x, torch.Tensor) else 3 + m.nothing, "nothing"),
    ],
)
def test_control_flow_that_depends_on_values_is_named(function: Forward, words: str) -> None:
    with pytest.raises(InputError, match=f"the model cannot be traced: .*{words}.*does not depend on the values"):
        extract(Own(function, fc=nn.Linear(4, 4)))


def test_a_variable_number_of_inputs_is_named() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, *xs: torch.Tensor, **more: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.fc(xs[0])
            return out

    with pytest.raises(InputError, match=r"input \*xs \(a variable number.*input \*\*more"):
        extract(Many())


def in_place_model(function: Forward) -> Own:
    return Own(function, fc=nn.Linear(3, 3), relu=nn.ReLU(inplace=True), drop=nn.Dropout())


def add_in_place(x: torch.Tensor) -> torch.Tensor:
    x += 1
    return x


def double_in_place(x: torch.Tensor) -> torch.Tensor:
    x *= 2
    return x


# Operations that overwrite their input.
CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "iadd": add_in_place,
    "imul": double_in_place,
    "method": lambda x: x.add_(1),
    "clamp": lambda x: x.clamp_(min=0),
    "functional": lambda x: functional.relu(x, inplace=True),
    "positional": lambda x: functional.relu(x, True),
}
# Operations whose result lies in the memory of their input.
VIEWS: dict[str, Forward] = {
    "itself": lambda m, x: x,
    "view": lambda m, x: x.view(-1),
    "slice": lambda m, x: x[:, 1:],
    "flatten": lambda m, x: torch.flatten(x),
    "transpose": lambda m, x: x.transpose(0, 1),
    "chunk": lambda m, x: x.chunk(2)[0],
    "dropout": lambda m, x: m.drop(x),
    "twice": lambda m, x: m.drop(x).reshape(-1)[1:],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("change", [*CHANGES, "module"])
def test_a_model_that_overwrites_its_input_is_refused(change: str, view: str) -> None:
    def forward(m: Any, x: torch.Tensor) -> Any:
        changed = VIEWS[view](m, x)
        m.relu(changed) if change == "module" else CHANGES[change](changed)
        return m.fc(x)

    with pytest.raises(InputError, match="overwrites x, an input of the network"):
        extract(in_place_model(forward))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("change", [*CHANGES, "module"])
def test_a_value_that_is_overwritten_may_not_be_read_again(change: str, view: str) -> None:
    def forward(m: Any, x: torch.Tensor) -> Any:
        x = m.fc(x)
        changed = VIEWS[view](m, x)
        m.relu(changed) if change == "module" else CHANGES[change](changed)
        return m.fc(x)

    with pytest.raises(InputError, match=r"\(overwrites \w+, which is read again later\)"):
        extract(in_place_model(forward))


@pytest.mark.parametrize("change", CHANGES)
def test_overwriting_what_nobody_else_reads_is_fine(change: str) -> None:
    def forward(m: Any, x: torch.Tensor) -> Any:
        out = CHANGES[change](m.fc(x))
        size = out.size(0) * out.shape[1]
        return CHANGES[change](m.fc(out) + x).reshape(-1)[:size]

    model, x = in_place_model(forward), torch.randn(4, 3)
    target = extract(model, example_input=x)
    with torch.no_grad():
        assert relative(target.to_module()(x), model(x)) < 1e-6


def test_what_only_an_example_shows_is_found_with_one() -> None:
    hidden = nn.Linear(3, 3)
    hidden.register_forward_hook(lambda module, inputs, out: out + 1)
    random = Own(lambda m, x: functional.dropout(m.fc(x)), fc=nn.Linear(3, 3))
    sequence = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))  # On (N, 3, 3) the norm takes the second axis.
    nn.init.uniform_(part_of(sequence, "1.weight"))
    cases: list[tuple[nn.Module, tuple[int, ...]]] = [
        (nn.Sequential(hidden), (2, 3)), (random, (50, 3)), (sequence, (2, 3, 4)),
    ]  # fmt: skip
    for model, shape in cases:
        with pytest.raises(InputError, match="does not compute what the model computes"):
            extract(model, example_input=torch.randn(shape))


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        out: torch.Tensor = self.fc(x) if mask is None else self.fc(x) * mask
        return out


def test_an_optional_input_becomes_a_required_one() -> None:
    """Tracing follows only the branch that uses the input, and an example without it is refused."""
    x, mask = torch.randn(2, 3), torch.randn(2, 3)
    target = extract(Masked(), example_input=(x, mask))
    assert [step.name for step in target.steps if step.kind == "input"] == ["x", "mask"]
    with pytest.raises(InputError, match=r"example_input of shape \(2, 3\) does not fit"):
        extract(Masked(), example_input=x)


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (torch.zeros(2, 4), r"shape \(2, 4\) does not fit the target: .*weight is \(5, 3\)"),
        (torch.zeros(2, 3, dtype=torch.int64), "does not fit the target"),
        ((torch.zeros(2, 3), torch.zeros(2, 3)), "the network takes x; got 2 positional inputs"),
        ((), "the network takes x; got 0 positional inputs"),
        (torch.zeros(0, 3), r"at least one real example; got torch.float32 of shape \(0, 3\)"),
        (torch.zeros(2, 3, device="meta"), "at least one real example; .* on meta"),
        (torch.zeros(2, 3, dtype=torch.complex64), "at least one real example; got torch.complex64"),
        ([torch.zeros(2, 3)], "must be a torch tensor with a batch axis; got list"),
        (np.zeros((2, 3)), "must be a torch tensor with a batch axis; got ndarray"),
        ("x", "must be a torch tensor with a batch axis; got str"),
        (torch.full((2, 3), -1e-3), r"must lie in input_range = \(0, 1\); its values span \[-0.001, -0.001\]"),
        (torch.full((2, 3), 1.001), "Widen input_range"),
        (torch.full((2, 3), float("nan")), "must lie in input_range"),
        (torch.full((2, 3), float("inf")), "must lie in input_range"),
    ],
)
def test_an_example_that_does_not_fit_says_why(example: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        extract(Own(lambda m, x: m.fc(x), fc=nn.Linear(3, 5)), example_input=example, input_range=(0, 1))
