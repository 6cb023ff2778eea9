"""Tickets of networks as people build them today: found, saved, verified from the file, run as masks, and exported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from architectures import NETWORKS
from cnns import relative, shake_norms

from slth.tickets import Ticket, find_ticket, load_ticket
from slth.tickets.checks.cost import measure_cost
from slth.tickets.networks.compact import compact_module, keep_all
from slth.tickets.networks.explicit import explicit_parent
from slth.tickets.networks.export import export_ticket

WIDTH = 40


@pytest.fixture(scope="module", params=NETWORKS)
def found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...], Ticket, Path]:
    """A network, its inputs, its ticket as it was found, and the ticket's file."""
    torch.manual_seed(1)
    build, inputs = NETWORKS[request.param]
    model, example = shake_norms(build()).eval(), inputs()
    structure = "kernel" if list(NETWORKS).index(request.param) % 2 else "channel"
    ticket = find_ticket(model, width=WIDTH, example_input=example, seed=6, structure=structure, effort=0.0005)
    return model, example, ticket, ticket.save(tmp_path_factory.mktemp("found") / "t.slth")


Found = tuple[torch.nn.Module, tuple[torch.Tensor, ...], Ticket, Path]


def test_the_target_is_the_model_and_the_file_is_the_ticket(found: Found) -> None:
    """The target computes what the model computes; the file verifies, and gives the same network to the last bit."""
    model, example, ticket, path = found
    other = tuple(torch.cat([one, one.flip(0)[:1]]) for one in example)  # another number of examples
    loaded = load_ticket(path)
    assert loaded.verify()
    assert not loaded.verify().unchecked
    with torch.no_grad():
        for inputs in (example, other):
            assert relative(ticket.target.to_module()(*inputs), model(*inputs)) < 1e-4
            assert torch.equal(loaded.to_module()(*inputs), ticket.to_module()(*inputs))
    assert loaded.target.sizes == ticket.target.sizes
    assert loaded.target.conditions == ticket.target.conditions
    assert loaded.target.example_shapes == tuple(tuple(one.shape[1:]) for one in example)


def test_masks_over_the_parent_are_the_compact_network(found: Found) -> None:
    """So is the folded network, and the parent with everything kept."""
    _, example, ticket, _ = found
    masked = explicit_parent(ticket.parent, ticket.target, ticket.masks())
    with torch.no_grad():
        compact = ticket.to_module()(*example)
        assert compact.std() > 0
        assert relative(masked(*example), compact) < 1e-4
        assert relative(ticket.folded()(*example), compact) < 1e-4
        whole = compact_module(keep_all(ticket.parent, ticket.target))(*example)
        assert relative(explicit_parent(ticket.parent, ticket.target)(*example), whole) < 1e-4


@pytest.mark.parametrize("form", ["torch-export", "safetensors", "onnx"])
def test_the_export_computes_what_the_ticket_computes(form: str, found: Found, tmp_path: Path) -> None:
    """``export_ticket`` runs the exported network by its own runtime; here it runs on other inputs, a larger batch."""
    _, example, _, path = found
    if form == "onnx" and not all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime"))):
        pytest.skip("slth[export] is not installed")
    ticket = load_ticket(path)
    file = tmp_path / ("exported.pt2" if form == "torch-export" else "exported")
    assert export_ticket(ticket, file, form) < 1e-4
    inputs = tuple(torch.cat([one, one, one]) for one in example)
    expected = ticket.to_module()(*inputs)
    if form == "torch-export":
        assert relative(torch.export.load(file).module()(*inputs), expected) < 1e-4
    elif form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
        fed = {one.name: value.numpy() for one, value in zip(session.get_inputs(), inputs, strict=True)}
        assert relative(torch.from_numpy(session.run(None, fed)[0]), expected) < 1e-4


def test_the_cost_is_that_of_the_example(found: Found) -> None:
    _, _, _, path = found
    loaded = load_ticket(path)
    target, ticket = measure_cost(loaded, runs=1)
    assert target.flops > 0 < ticket.flops
    assert target.weights == loaded.target.weight_count + sum(
        values.size for values in loaded.target.kept_tensors().values() if values.dtype.kind == "f"
    )
