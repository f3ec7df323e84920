"""The NIR graph, read back from its file and run by SpikingJelly: the same spikes and logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from litesnn.config import Recipe
from litesnn.export.convert import pack, unpack
from litesnn.export.nir_graph import DT, nir_bytes, nir_graph
from litesnn.export.packed import Packed
from litesnn.model import Model
from tests.litesnn.export.conftest import CPU, Trained, spikes_of
from tests.litesnn.test_inference import BASE, CASES, drawn
from tests.litesnn.test_inference import trained as random_network

nir = pytest.importorskip("nir")
pytest.importorskip("nirtorch")
from spikingjelly.activation_based import neuron  # noqa: E402  (needs what is skipped for above)
from spikingjelly.activation_based.nir_exchange import import_from_nir  # noqa: E402


@torch.no_grad()
def run_by_spikingjelly(graph: Any, x: torch.Tensor, timesteps: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Spikes of every LIF node by name, ``[T*B, C, H, W]``, and logits ``[T, B, K]``."""
    network = import_from_nir(graph, dt=DT, dtype=x.dtype)
    seen: dict[str, list[torch.Tensor]] = {}
    for name, module in network.named_children():
        if name.startswith("row"):
            assert any(isinstance(part, neuron.LIFNode | neuron.IFNode) for part in module.modules())
            module.register_forward_hook(lambda m, i, out, name=name: seen.setdefault(name, []).append(out[0]))
    state, logits = None, []
    for _ in range(timesteps):
        out, state = network(x, state)
        logits.append(out)
    return {name: torch.cat(spikes) for name, spikes in seen.items()}, torch.stack(logits)


def compare(packed: Packed, x: torch.Tensor, path: Path) -> int:
    """Checks spikes and logits in double precision; returns how many neuron updates were compared."""
    path.write_bytes(nir_bytes(packed))
    timesteps = packed.plan.timesteps
    network = unpack(packed, CPU).network.double()
    rows, output = spikes_of(lambda: network(x.double(), timesteps))
    got, logits = run_by_spikingjelly(nir.read(path), x.double(), timesteps)
    assert len(got) == len(rows)
    for number, row in enumerate(rows):
        assert torch.equal(got[f"row{number}"], row), number
    torch.testing.assert_close(logits, output.logits, rtol=1e-5, atol=1e-5)
    return sum(row.numel() for row in rows)


def test_the_whole_test_set(trained: Trained, tmp_path: Path) -> None:
    assert compare(trained.packed, trained.x, tmp_path / "m.nir") > 1_000_000


def test_parameters_of_the_neurons(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "m.nir").write_bytes(nir_bytes(trained.packed))
    graph = nir.read(tmp_path / "m.nir")
    neurons = [node for node in graph.nodes.values() if isinstance(node, nir.LIF)]
    assert len(neurons) == 7
    for node in neurons:  # Euler: v <- (1 - dt / tau) v + dt / tau R I
        np.testing.assert_allclose(1 - DT / node.tau, 0.2)
        np.testing.assert_allclose(DT / node.tau * node.r, 1)
        assert (node.v_threshold == 0.5).all() and not node.v_reset.any() and not node.v_leak.any()


@torch.no_grad()
def test_snntorch_reads_it_as_well(trained: Trained) -> None:
    """It counts dimensions with the batch, SpikingJelly without: a batch must stay one in both."""
    snntorch_nir = pytest.importorskip("snntorch.import_nir")
    graph, timesteps = nir_graph(trained.packed), trained.model.genotype.timesteps
    assert graph.nodes["flat"].output_type["output"].tolist() == [10]  # NIR's own idea, without a batch
    network, state, logits = snntorch_nir.import_from_nir(graph), None, []
    for _ in range(timesteps):
        out, state = network(trained.x[:50], state)
        logits.append(out)
    expected = unpack(trained.packed, CPU).network(trained.x[:50], timesteps).logits
    torch.testing.assert_close(torch.stack(logits), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tau", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("name", [name for name in CASES if name != "one pixel"])
def test_every_shape(name: str, tau: float, tmp_path: Path) -> None:
    recipe = Recipe(**{**BASE, **CASES[name]}, tau=tau)
    torch.manual_seed(1)
    genotype, ones = drawn(recipe, 1), torch.ones(recipe.input_shape[0], 1, 1)
    rates = torch.zeros(1 + recipe.cells * recipe.nodes, genotype.timesteps)
    network = random_network(recipe, genotype)
    model = Model(
        network=network, genotype=genotype, recipe=recipe, classes=tuple("abcde"), mean=0 * ones, std=ones, rates=rates
    )
    compare(pack(model), torch.randn(3, *recipe.input_shape), tmp_path / "m.nir")
