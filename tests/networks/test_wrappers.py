"""Models as people have them: hooked, wrapped, parametrised. Each comes in equal, or is refused in one line."""

from __future__ import annotations

import copy
import warnings
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from cnns import Own, part_of, relative, shake_norms
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

from slth.errors import InputError
from slth.networks import extract

# Words of torch's own that no message to a user may hold.
INTERNAL = ("Traceback", "TORCH_LOGS", "FakeTensor", "aot_", "dynamo", "Proxy", "torch._", "C++", "0x")


def small() -> nn.Module:
    layers = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5)
    return shake_norms(nn.Sequential(*layers)).eval()


IMAGES = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(1))
ROWS = torch.randn(3, 4, generator=torch.Generator().manual_seed(2))


def comes_in(model: Any, x: torch.Tensor, expected: Callable[..., Any] | None = None) -> None:
    """The target computes what the model computes, on the example and on other inputs of another number."""
    target = extract(model, example_input=x)
    network = target.to_module()
    with torch.no_grad():
        for given in (x, torch.randn(5, *x.shape[1:], generator=torch.Generator().manual_seed(3))):
            assert relative(network(given), (expected or model)(given.clone())) < 1e-5


def is_refused(model: Any, x: Any, words: str) -> None:
    """The refusal is one line of plain words, and says what to do."""
    with pytest.raises(InputError, match=words) as caught:
        extract(model, example_input=x)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert not [word for word in INTERNAL if word in message], message


def with_hook(place: str, kind: str) -> nn.Module:
    model = small()
    module = model if place == "model" else part_of(model, place)
    if kind == "forward":
        module.register_forward_hook(lambda module, inputs, out: 2 * out + 1)
    elif kind == "forward with options":
        module.register_forward_hook(lambda module, inputs, options, out: out - 3, with_kwargs=True)
    elif kind == "pre":
        module.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 0.5 + 1,))
    else:
        module.register_forward_pre_hook(lambda module, inputs: functional.relu(inputs[0]))
    return model


@pytest.mark.parametrize("kind", ["forward", "forward with options", "pre", "pre that returns a tensor"])
@pytest.mark.parametrize("place", ["model", "0", "1", "2", "4"])
def test_hooks_are_part_of_the_model(place: str, kind: str) -> None:
    comes_in(with_hook(place, kind), IMAGES)


def weights_of_the_past(change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """A layer whose ``weight`` is that before ``load_state_dict``, until its hook runs."""
    model, other = (nn.Sequential(change(nn.Linear(4, 3)), nn.ReLU(), nn.Linear(3, 2)).eval() for _ in range(2))
    model.load_state_dict(other.state_dict())
    return model


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    CHANGES: dict[str, Callable[[nn.Module], nn.Module]] = {
        "weight norm by hook": nn.utils.weight_norm,
        "weight norm": parametrizations.weight_norm,
        "spectral norm by hook": nn.utils.spectral_norm,
        "spectral norm": parametrizations.spectral_norm,
        "orthogonal": parametrizations.orthogonal,
        "pruned": lambda layer: prune.random_unstructured(layer, "weight", 0.5),
        "pruned by channel": lambda layer: prune.ln_structured(layer, "weight", 0.4, n=2, dim=0),
    }


@pytest.mark.parametrize("change", CHANGES)
def test_weights_are_those_that_the_layer_uses(change: str) -> None:
    model = weights_of_the_past(CHANGES[change])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    comes_in(model, ROWS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Symmetric(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.triu() + weight.triu(1).T


def test_a_parametrisation_of_one_s_own() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    parametrize.register_parametrization(part_of(model, "0"), "weight", Symmetric())
    comes_in(model, ROWS)


def test_the_mode_and_the_precision_of_the_model_do_not_matter() -> None:
    model = small()
    part_of(model, "1").train()
    comes_in(model, IMAGES, copy.deepcopy(model).eval())
    assert part_of(model, "1").training
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        other = copy.deepcopy(model).to(dtype)
        comes_in(other, IMAGES, copy.deepcopy(other).float().eval())
        assert part_of(other, "0.weight").dtype == dtype


def test_wrappers_that_change_nothing_are_taken_off() -> None:
    model = small()
    plain = extract(model, example_input=IMAGES).hash()
    compiled: Any = torch.compile(model)
    for wrapped in (nn.DataParallel(model), compiled, nn.DataParallel(compiled)):
        assert extract(wrapped, example_input=IMAGES).hash() == plain
    hooked = nn.DataParallel(model)
    hooked.register_forward_hook(lambda module, inputs, out: out + 1)
    is_refused(hooked, IMAGES, "wrapped in DataParallel, and the wrapper has hooks")


def test_models_that_other_tools_have_rewritten_are_refused_by_name() -> None:
    model = small()
    program = torch.export.export(model, (IMAGES,))
    is_refused(program, IMAGES, "got an ExportedProgram. Pass the model that was exported")
    is_refused(program.module(), IMAGES, "torch.export made: .* Pass the model that was exported")
    is_refused(torch.jit.trace(model, IMAGES), IMAGES, "TorchScript module.*Pass the Python module")
    is_refused(torch.jit.script(model), IMAGES, "TorchScript module.*Pass the Python module")
    is_refused(nn.Sequential(torch.jit.script(nn.Linear(4, 3))), ROWS, "layer 0 is a TorchScript module")
    if "x86" in torch.backends.quantized.supported_engines:
        quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
        is_refused(quantised, IMAGES, "layer 4 is quantised .*Pass the float model")
    is_refused(nn.Sequential(nn.LazyLinear(3)), ROWS, "layer 0 is lazy")


def test_what_fx_has_traced_comes_in() -> None:
    comes_in(torch.fx.symbolic_trace(small()), IMAGES)


Pair = namedtuple("Pair", ["first", "second"])


@dataclass
class Result:
    logits: torch.Tensor


class Boxes(nn.Module):
    """A detection model as torchvision has them: a list of images in, a list of dictionaries out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        found = self.conv(torch.stack(images))
        return [{"boxes": one[one[:, 0, 0] > 0]} for one in found]


class Autocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            out: torch.Tensor = self.fc(x)
        return out.float()


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        part_of(self, "count").add_(1)
        out: torch.Tensor = self.fc(x)
        return out


def own(function: Callable[[Any, torch.Tensor], Any], **parts: nn.Module) -> nn.Module:
    return Own(function, fc=nn.Linear(4, 3), **parts)


def remember(m: Any, x: torch.Tensor) -> Any:
    m.last = m.fc(x)
    return m.last * 2


def without_gradient(m: Any, x: torch.Tensor) -> Any:
    with torch.no_grad():
        y = m.fc(x)
    with torch.enable_grad():
        return y + m.fc(x * 2)


def write_part(m: Any, x: torch.Tensor) -> Any:
    y = m.fc(x)
    y[:, 0] = 0
    y[:, 1:] += x[:, 2:]
    return y


def loop_until(m: Any, x: torch.Tensor) -> Any:
    while x.abs().max() > 1:
        x = x / 2
    return m.fc(x)


# Odd modules that come in: name → (model, input).
ODD: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "remembers": lambda: (own(remember), ROWS),
    "gradient switches": lambda: (own(without_gradient), ROWS),
    "writes a part": lambda: (own(write_part), ROWS),
    "weight of its own": lambda: (
        Own(lambda m, x: functional.linear(x, m.w * 2), w=nn.Parameter(torch.randn(3, 4))), ROWS,
    ),
    "matrix product": lambda: (Own(lambda m, x: x @ m.w + m.w[0], w=nn.Parameter(torch.randn(4, 4))), ROWS),
    "einsum": lambda: (own(lambda m, x: torch.einsum("ni,nj->nij", m.fc(x), x).flatten(1)), ROWS),
    "list of layers": lambda: (
        Own(lambda m, x: sum(part(x) for part in m.parts), parts=nn.ModuleList(nn.Linear(4, 3) for _ in range(3))),
        ROWS,
    ),
    "dict of layers": lambda: (
        Own(
            lambda m, x: m.parts["b"](m.parts["a"](x)),
            parts=nn.ModuleDict({"a": nn.Linear(4, 3), "b": nn.Linear(3, 2)}),
        ),
        ROWS,
    ),
    "two calls": lambda: (own(lambda m, x: m.fc(x) + m.fc(-x)), ROWS),
    "normalised weight": lambda: (
        Own(lambda m, x: functional.linear(x, functional.normalize(m.w, dim=1)), w=nn.Parameter(torch.randn(3, 4))),
        ROWS,
    ),
    "positions": lambda: (own(lambda m, x: m.fc(x) * torch.arange(3).float() + x.shape[0]), ROWS),
    "functional weight": lambda: (
        Own(lambda m, x: functional.conv2d(x, m.k.repeat(2, 1, 1, 1)), k=nn.Parameter(torch.randn(1, 1, 3, 3))), IMAGES,
    ),
    "transposed": lambda: (
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, output_padding=1)),
        IMAGES,
    ),
    "attention": lambda: (
        Own(lambda m, x: m.a(x, x, x)[0], a=nn.MultiheadAttention(4, 2, batch_first=True)), torch.randn(2, 5, 4),
    ),
    "encoder": lambda: (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), torch.randn(2, 5, 4)),
    "global pooling": lambda: (Own(lambda m, x: m.c(x).amax((2, 3)), c=nn.Conv2d(1, 3, 3)), IMAGES),
    "where": lambda: (own(lambda m, x: torch.where(m.fc(x) > 0, m.fc(x), -1.0)), ROWS),
    "checkpoint": lambda: (
        own(lambda m, x: torch.utils.checkpoint.checkpoint(m.fc, x, use_reentrant=False)), ROWS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_modules_come_in(name: str) -> None:
    torch.manual_seed(0)
    model, x = ODD[name]()
    comes_in(model.eval(), x)


# Odd modules that are refused: name → (model, input, words of the message).
REFUSED: dict[str, Callable[[], tuple[Any, Any, str]]] = {
    "named tuple": lambda: (own(lambda m, x: Pair(m.fc(x), x)), ROWS, "must return tensors.*got Pair"),
    "data class": lambda: (own(lambda m, x: Result(m.fc(x))), ROWS, "Result"),
    "detection": lambda: (Boxes(), IMAGES, "does not fit the model"),
    "detection with a list": lambda: (Boxes(), [IMAGES[0]], "must be a torch tensor with a batch axis; got list"),
    "autocast": lambda: (Autocast(), ROWS, "autocast to torch.bfloat16"),
    "counts": lambda: (Counting(), ROWS, "overwrites its buffer count"),
    "loop over values": lambda: (own(loop_until), ROWS, "depends on the values of a tensor.*line"),
    "recurrent": lambda: (
        Own(lambda m, x: m.lstm(x)[0], lstm=nn.LSTM(4, 3), fc=nn.Linear(4, 3)), torch.randn(2, 5, 4), "function lstm",
    ),
    "noise": lambda: (own(lambda m, x: m.fc(x) + torch.randn_like(x)[:, :3]), ROWS, "random also in evaluation mode"),
    "numpy": lambda: (own(lambda m, x: m.fc(torch.from_numpy(x.numpy() * 2))), ROWS, "cannot be traced"),
    "list": lambda: (own(lambda m, x: m.fc(torch.tensor(x.tolist()))), ROWS, "function item"),
    "complex": lambda: (own(lambda m, x: torch.fft.fft(m.fc(x)).abs()), ROWS, "function fft_fft"),
    "meta": lambda: (nn.Linear(4, 3, device="meta"), ROWS, "meta device"),
    "nothing": lambda: (own(lambda m, x: None), ROWS, "no conv or linear layer"),
    "scalar": lambda: (own(lambda m, x: m.fc(x)), torch.tensor(1.0), "at least one real example"),
    "sparse": lambda: (own(lambda m, x: m.fc(x)), ROWS.to_sparse(), "example_input"),
    "function": lambda: (torch.relu, ROWS, "must be a torch.nn.Module"),
    "class": lambda: (nn.Linear, ROWS, "must be a torch.nn.Module"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_odd_modules_are_refused_in_one_line(name: str) -> None:
    torch.manual_seed(0)
    is_refused(*REFUSED[name]())
