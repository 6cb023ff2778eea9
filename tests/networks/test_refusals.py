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
    """A network with unsupported parts of several kinds, some of them in layers of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.memory, self.more = nn.Linear(4, 4), nn.LSTM(4, 4), nn.Sequential(nn.GRU(4, 4))
        self.pool = nn.MaxPool1d(2, return_indices=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.memory(self.fc(x))[0] + self.more(x)[0]
        out, places = self.pool(x)
        out = functional.dropout(out) + places + torch.linalg.svdvals(x).sum()
        both: torch.Tensor = out + torch.fft.fft(x).real[..., :2]
        return both


def test_everything_that_is_not_supported_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        find_ticket(Everything(), width=5, example_input=torch.randn(2, 3, 4))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    named = [
        "7 parts of the model are not supported", "function lstm in memory", "function gru in more.0",
        "max_pool1d_with_indices whose further results are used in pool", "dropout (random also in evaluation mode)",
        "function linalg_svdvals", "function fft_fft", "function real", "replace these parts",
    ]  # fmt: skip
    assert [words for words in named if words not in message] == []
    assert "in fc" not in message


def test_a_part_that_is_used_twice_is_one_part() -> None:
    model = Own(lambda m, x: m.gru(x)[0] + m.gru(m.fc(x))[0], gru=nn.GRU(2, 2), fc=nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"a part of the model is not supported: function gru in gru\. slth replaces"):
        extract(model, example_input=torch.randn(3, 4, 2))


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


def as_number(m: Any, x: torch.Tensor) -> Any:
    return m.fc(x) * int(x.sum())


def selects(m: Any, x: torch.Tensor) -> Any:
    return m.fc(x[x[:, 0, 0] > -9])


@pytest.mark.parametrize("function", [branch, as_number])
def test_control_flow_that_depends_on_values_is_named_with_its_line(function: Forward) -> None:
    words = rf"depends on the values of a tensor \(test_refusals\.py, line \d+, in {function.__name__}: `return m\.fc"
    with pytest.raises(InputError, match=words):
        extract(Own(function, fc=nn.Linear(4, 4)), example_input=torch.ones(3, 4))


def test_a_model_that_does_not_run_says_why() -> None:
    def fails(m: Any, x: torch.Tensor) -> Any:
        raise KeyError("my own bug")

    with pytest.raises(InputError, match=r"example_input of shape \(3, 4\) does not fit the model: .*my own bug"):
        extract(Own(fails, fc=nn.Linear(4, 4)), example_input=torch.ones(3, 4))
    with pytest.raises(InputError, match=r"example_input is needed: .*my own bug.*Pass one input"):
        extract(Own(fails, fc=nn.Linear(4, 4)))


def loop(m: Any, x: torch.Tensor) -> Any:
    for column in x.unbind(1):
        x = x + m.fc(column).unsqueeze(1)
    return x


def by_size(m: Any, x: torch.Tensor) -> Any:
    return m.fc(x) if x.shape[1] % 2 == 0 else x * 2


@pytest.mark.parametrize("function", [loop, by_size, selects, lambda m, x: m.fc(x) * x.shape[0]])
def test_control_flow_over_sizes_is_followed(function: Forward) -> None:
    model, x = Own(function, fc=nn.Linear(4, 4)), torch.randn(3, 2, 4)
    target = extract(model, example_input=x)
    with torch.no_grad():
        for given in (x, torch.randn(5, 2, 4)):
            assert relative(target.to_module()(given), model(given)) < 1e-6


def test_sizes_for_which_the_steps_do_not_hold_are_refused() -> None:
    fixed = extract(Own(lambda m, x: m.fc(x) * len(x), fc=nn.Linear(4, 4)), example_input=torch.randn(3, 4))
    assert fixed.sizes == {"x": (3, 4)}
    target = extract(Own(by_size, fc=nn.Linear(4, 4)), example_input=torch.randn(3, 2, 4))
    assert target.sizes == {"x": (None, None, 4)}
    with torch.no_grad():
        assert target.to_module()(torch.ones(3, 6, 4)).shape == (3, 6, 4)
        with pytest.raises(
            InputError, match=r"extracted for inputs with \(x\[1\] % 2\) == 0; got shapes x \(3, 5, 4\)"
        ):
            target.to_module()(torch.ones(3, 5, 4))
        with pytest.raises(InputError, match=r"input x must have the shape \(n, \*, 4\); got \(3, 2, 5\)"):
            target.to_module()(torch.ones(3, 2, 5))


def test_a_variable_number_of_inputs_is_that_of_the_example() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, *xs: torch.Tensor, **more: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = sum((self.fc(x) for x in xs[1:]), self.fc(xs[0]))
            return out

    xs = torch.randn(3, 2), torch.randn(3, 2)
    model = Many()
    target = extract(model, example_input=xs)
    assert [step.name for step in target.steps if step.kind == "input"] == ["xs_0", "xs_1"]
    assert relative(target.to_module()(*xs), model(*xs).detach()) < 1e-6


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

    with pytest.raises(InputError, match="the model overwrites its input, which a ticket never does"):
        extract(in_place_model(forward), example_input=torch.randn(4, 3))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("change", [*CHANGES, "module"])
def test_a_value_that_is_overwritten_and_read_again_is_the_new_one(change: str, view: str) -> None:
    def forward(m: Any, x: torch.Tensor) -> Any:
        x = m.fc(x)
        changed = VIEWS[view](m, x)
        m.relu(changed) if change == "module" else CHANGES[change](changed)
        return m.fc(x)

    model, x = in_place_model(forward), torch.randn(4, 3)
    target = extract(model, example_input=x)
    with torch.no_grad():
        assert relative(target.to_module()(x), model.eval()(x)) < 1e-6


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


def test_hooks_count_and_randomness_is_refused() -> None:
    hidden = nn.Linear(3, 3)
    hidden.register_forward_hook(lambda module, inputs, out: out + 1)
    model, x = nn.Sequential(hidden), torch.randn(2, 3)
    assert relative(extract(model, example_input=x).to_module()(x), model(x).detach()) < 1e-6
    random = Own(lambda m, x: functional.dropout(m.fc(x)), fc=nn.Linear(3, 3))
    with pytest.raises(InputError, match=r"dropout \(random also in evaluation mode\)"):
        extract(random, example_input=torch.randn(50, 3))
    sequence = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()  # On (N, 3, 3) the norm takes the second axis.
    nn.init.uniform_(part_of(sequence, "1.weight"))
    x = torch.randn(2, 3, 4)
    assert relative(extract(sequence, example_input=x).to_module()(x), sequence(x).detach()) < 1e-6


def test_a_state_outside_of_the_model_is_found_and_the_layer_named() -> None:
    calls = []

    def count(m: Any, inputs: Any, out: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return out * (1 + len(calls))

    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    part_of(model, "2").register_forward_hook(count)
    with pytest.raises(InputError, match=r"does not compute what .*; the first layer whose output differs is 2\. "):
        extract(model, example_input=torch.rand(4, 3) + 1)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        out: torch.Tensor = self.fc(x) if mask is None else self.fc(x) * mask
        return out


def test_the_inputs_are_those_of_the_example() -> None:
    """An optional input that the example leaves out has its default in the target, which takes no other."""
    model, x, mask = Masked(), torch.randn(2, 3), torch.randn(2, 3)
    for given, names in (((x, mask), ["x", "mask"]), ((x,), ["x"])):
        target = extract(model, example_input=given)
        assert [step.name for step in target.steps if step.kind == "input"] == names
        assert relative(target.to_module()(*given), model(*given).detach()) < 1e-6
    with pytest.raises(InputError, match="the network takes x; got 2 positional inputs"):
        extract(model, example_input=x).to_module()(x, mask)


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (torch.zeros(2, 4), r"shape \(2, 4\) does not fit the model: .*weight is \(5, 3\)"),
        (torch.zeros(2, 3, dtype=torch.int64), "does not fit the model"),
        ((torch.zeros(2, 3), torch.zeros(2, 3)), "takes 2 positional arguments but 3 were given"),
        ((), "missing 1 required positional argument"),
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
