"""Costs against loops that write Eq. 12, 14 and 18-20 out, against real networks, and against Table 5 of the paper."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from litesnn.cell import EdgeConvs
from litesnn.checks import InputError
from litesnn.compconv import CompConv
from litesnn.config import Recipe
from litesnn.cost import CostModel, DerivedCost, dense_operations, derived_cost, energy_mj
from litesnn.file_size import estimated_file_bits
from litesnn.genotype import Genotype
from litesnn.network import Network, Shares

C, CLASSES = 4, 5


def recipe(**overrides: Any) -> Recipe:
    fields: dict[str, Any] = {
        "input_shape": (3, 7, 5),
        "classes": CLASSES,
        "widths": (1, 2, 4),
        "nodes": 2,
        "search_channels": C,
        "retrain_channels": C,
        "timesteps": 3,
        "stem_bits": 3,
        "classifier_bits": 2,
        "aux_cell": 0,
    }
    return Recipe(**{**fields, **overrides})


EDGES = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)]  # (input, node) of a cell of two nodes


@dataclass
class Layer:
    """One convolution of the supernet, written down by hand: what it costs per spike, and where it reads."""

    weights: int
    positions: int
    rows: list[int]  # rows of the rates whose mean it reads; empty for the stem
    cell: int = -1
    edge: int = -1
    op: int = -1
    bits: int = 0


def layers(input_skip: str) -> Iterator[Layer]:
    """The supernet of ``recipe()``: cells of 4, 8 and 16 channels at 7 x 5, 4 x 3 and 2 x 2, two nodes each."""
    yield Layer(weights=9 * 3 * C, positions=7 * 5, rows=[], bits=3)
    width = [4, 4, 4, 8, 16]  # stem, stem, outputs of the cells
    rows = [[0], [0], [1, 2], [3, 4], [5, 6]]
    for cell, positions in enumerate([35, 12, 4]):
        node = width[cell + 2] // 2
        for edge, (source, _) in enumerate(EDGES):
            channels = width[cell + source] if source < 2 else node
            reads = rows[cell + source] if source < 2 else [1 + 2 * cell]  # node 0
            yield Layer(9 * channels * node, positions, reads, cell, edge, 0)
            if source < 2:
                side = 9 if input_skip == "conv3x3" else 1
                yield Layer(side * channels * node, positions, reads, cell, edge, 1)
    yield Layer(weights=16 * CLASSES, positions=1, rows=[5, 6], bits=2)


def naive_expected(
    shares: Shares, rates: Tensor, p: float, bit_widths: tuple[int, ...], input_skip: str
) -> list[float]:
    """Model size and Bit-SynOps, one scalar at a time."""
    size = operations = 0.0
    for layer in layers(input_skip):
        bits, alpha = float(layer.bits), 1.0
        if layer.cell >= 0:
            alpha = shares.ops[layer.edge, layer.op].item()
            bits = sum(shares.bits[layer.cell, j].item() * q for j, q in enumerate(bit_widths))  # Eq. 19
        s = [1.0] * rates.shape[1]
        if layer.rows:
            s = [sum(rates[r, t].item() for r in layer.rows) / len(layer.rows) for t in range(rates.shape[1])]
        spikes = sum(shares.timesteps[t].item() * sum(s[: t + 1]) for t in range(len(s)))  # Eq. 14
        kept = (1 - p / 100) * layer.weights
        size += alpha * bits * kept  # Eq. 18
        operations += alpha * bits * kept * layer.positions * spikes  # Eq. 12, 20
    return [size, operations]


def logits(bit_widths: int = 3, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((5, 2), (3, bit_widths), (3,))]


def shares_of(alpha: Tensor, beta: Tensor, psi: Tensor) -> Shares:
    return Shares(ops=alpha.softmax(-1), bits=beta.softmax(-1), timesteps=psi.softmax(-1))


RATES = torch.rand(7, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.mark.parametrize(
    ("p", "bit_widths", "input_skip"),
    [(0, (1, 2, 4), "conv3x3"), (80, (1, 2, 4), "conv1x1"), (33.3, (2, 3), "conv3x3")],
)
def test_expected_cost_equals_a_loop(p: float, bit_widths: tuple[int, ...], input_skip: str) -> None:
    model = CostModel(recipe(bit_widths=bit_widths, input_skip=input_skip), C, CLASSES, p).double()
    shares = shares_of(*logits(len(bit_widths)))
    cost = model(shares, RATES)
    expected = naive_expected(shares, RATES, p, bit_widths, input_skip)
    assert [cost.model_size_bits.item(), cost.bit_synops.item()] == pytest.approx(expected, rel=1e-9)


def test_the_papers_example_of_expected_timesteps() -> None:
    # Sec. 3.3: shares [0, 0, 0, 0, 0.6, 0.4] count the first 5 timesteps and 40 % of the sixth. Only the stem, which
    # reads 1 at every timestep, and one rate per timestep are left, so S can be read off the Bit-SynOps.
    model = CostModel(recipe(timesteps=6), C, CLASSES, 0).double()
    rates = torch.zeros(7, 6, dtype=torch.float64)
    rates[5:] = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], dtype=torch.float64)  # read by the classifier alone
    ops, bits = torch.zeros(5, 2, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    timesteps = torch.tensor([0, 0, 0, 0, 0.6, 0.4], dtype=torch.float64)
    got = model(Shares(ops=ops, bits=bits, timesteps=timesteps), rates).bit_synops.item()
    stem, classifier = 3 * 9 * 3 * C * 35, 2 * 16 * CLASSES
    assert got == pytest.approx(stem * 5.4 + classifier * (1.5 + 0.4 * 0.6))


@pytest.mark.parametrize("which", ["model_size_bits", "bit_synops"])
def test_gradients_equal_finite_differences(which: str) -> None:
    model = CostModel(recipe(), C, CLASSES, 50).double()

    def value(tensors: list[Tensor]) -> Tensor:
        cost: Tensor = getattr(model(shares_of(*tensors), RATES), which)
        return cost

    leaves = [t.requires_grad_() for t in logits()]
    grads = torch.autograd.grad(value(leaves), leaves, allow_unused=True)
    for index, leaf in enumerate(leaves):
        for place in itertools.product(*map(range, leaf.shape)):
            moved = []
            for sign in (1, -1):
                tensors = [t.detach().clone() for t in leaves]
                tensors[index][place] += sign * 1e-5
                moved.append(value(tensors).item())
            grad = grads[index]
            got = 0.0 if grad is None else grad[place].item()
            assert got == pytest.approx((moved[0] - moved[1]) / 2e-5, rel=1e-5, abs=1e-3)
    assert (grads[2] is None) == (which == "model_size_bits")  # the size does not depend on the timesteps


def test_gradient_reaches_the_rates() -> None:
    # For the option that lets it through; each rate counts in every choice of at least as many timesteps.
    rates = RATES.clone().requires_grad_()
    CostModel(recipe(), C, CLASSES, 50).double()(shares_of(*logits()), rates).bit_synops.backward()
    assert rates.grad is not None and bool((rates.grad > 0).all())
    assert bool((rates.grad[:, 0] > rates.grad[:, 2]).all())


GENOTYPES = [
    Genotype(nodes=(((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "conv3x3"))), bits=(1, 2, 4), timesteps=2, p=0),
    Genotype(nodes=(((0, "skip"), (1, "conv3x3")), ((0, "skip"), (2, "skip"))), bits=(4, 4, 1), timesteps=3, p=0),
    Genotype(nodes=(((0, "skip"), (1, "skip")), ((0, "conv3x3"), (1, "skip"))), bits=(2, 2, 2), timesteps=1, p=0),
]


@pytest.mark.parametrize("genotype", GENOTYPES, ids=range(3))
@pytest.mark.parametrize("input_skip", ["conv3x3", "conv1x1"])
def test_certain_shares_cost_what_the_derived_network_costs(genotype: Genotype, input_skip: str) -> None:
    # Shares of 1 on what the genotype keeps and 0 elsewhere: the expectation has to become the exact count.
    ops, bits = torch.zeros(5, 2, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    for node, pairs in enumerate(genotype.nodes):
        for source, op in pairs:
            ops[EDGES.index((source, node)), ("conv3x3", "skip").index(op)] = 1
    for cell, width in enumerate(genotype.bits):
        bits[cell, (1, 2, 4).index(width)] = 1
    timesteps = torch.zeros(3, dtype=torch.float64)
    timesteps[genotype.timesteps - 1] = 1
    of = recipe(input_skip=input_skip)
    cost = CostModel(of, C, CLASSES, 0).double()(Shares(ops=ops, bits=bits, timesteps=timesteps), RATES)
    exact = derived_cost(genotype, of, RATES)
    assert cost.model_size_bits.item() == exact.model_size_bits
    assert cost.bit_synops.item() == pytest.approx(exact.bit_synops, rel=1e-9)


def counted(genotype: Genotype, of: Recipe) -> tuple[DerivedCost, DerivedCost]:
    """The counts of ``derived_cost``, and those of a real network that runs a batch with hooks on its convolutions."""
    torch.manual_seed(3)
    network = Network(of, of.retrain_channels, of.classes, genotype.p, genotype).eval()
    for norm in network.modules():  # so that spikes come and go everywhere
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.bias, 0.0, 1.0)
    steps = genotype.timesteps
    size = side = ann = 0
    bit_synops = additions = multiplications = 0.0

    def kept_per_layer(conv: CompConv) -> list[int]:
        weight = conv.compressed_weight(None).unflatten(0, conv.weight.shape[:2])
        return [int((layer != 0).sum()) for layer in weight]  # no quantisation level is zero

    def count(conv: CompConv, spikes_in: float, positions: int, norm_channels: int, *, real: bool = False) -> None:
        nonlocal size, side, ann, bit_synops, additions, multiplications
        for kept in kept_per_layer(conv):
            size += conv.bits[0] * kept
            side += 32 * (1 + 2 * norm_channels)
            ann += kept * positions
            operations = kept * positions * spikes_in
            bit_synops += conv.bits[0] * operations
            if real:
                multiplications += operations
            else:
                additions += operations

    def hook(conv: Any, arguments: tuple[Any, ...], output: Tensor) -> None:
        x, out_channels = arguments[0], output.shape[1] // len(conv.weight)
        per_step = x.unflatten(0, (steps, -1)).flatten(1).mean(1)
        count(conv, per_step.sum().item(), output.shape[2] * output.shape[3], out_channels)

    def stem_hook(conv: Any, _: Any, output: Tensor) -> None:
        count(conv, steps, output.shape[2] * output.shape[3], output.shape[1], real=True)

    def last_hook(_: Any, __: Any, output: tuple[Tensor, list[Tensor]]) -> None:
        per_step = output[0].unflatten(0, (steps, -1)).flatten(1).mean(1)
        count(network.classifier, per_step.sum().item(), 1, 0)

    network.stem.register_forward_hook(stem_hook)
    for module in network.modules():
        if isinstance(module, EdgeConvs):
            module.conv.register_forward_hook(hook)
    network.cells[-1].register_forward_hook(last_hook)
    with torch.no_grad():
        output = network(torch.randn(6, *of.input_shape), steps, measure_rates=True)
    assert output.rates is not None
    real = DerivedCost(
        model_size_bits=size,
        file_bits=estimated_file_bits(genotype, of),
        side_bits=side,
        bit_synops=bit_synops,
        additions=additions,
        multiplications=multiplications,
        ann_operations=ann,
    )
    return derived_cost(genotype, of, output.rates), real


@pytest.mark.parametrize("genotype", GENOTYPES, ids=range(3))
@pytest.mark.parametrize(("p", "input_skip"), [(0, "conv3x3"), (33.3, "conv1x1"), (90, "conv3x3")])
def test_derived_cost_equals_what_a_real_network_does(genotype: Genotype, p: float, input_skip: str) -> None:
    pruned = Genotype(nodes=genotype.nodes, bits=genotype.bits, timesteps=genotype.timesteps, p=p)
    cost, real = counted(pruned, recipe(input_skip=input_skip, retrain_channels=6))
    assert cost.model_size_bits == real.model_size_bits
    assert cost.side_bits == real.side_bits
    assert cost.ann_operations == real.ann_operations
    assert cost.multiplications == real.multiplications
    assert cost.additions == pytest.approx(real.additions, rel=1e-5) and cost.additions > 0
    assert cost.bit_synops == pytest.approx(real.bit_synops, rel=1e-5)


@pytest.mark.parametrize("shape", [(6, 3), (8, 3), (7, 1)])
def test_rates_that_do_not_fit_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"^rates: expected a tensor \[7, at least 2\], got \(\d, \d\)$"):
        derived_cost(GENOTYPES[0], recipe(), torch.zeros(shape))


@pytest.mark.parametrize("function", [dense_operations, lambda g, r: derived_cost(g, r, torch.zeros(7, 3))])
def test_a_genotype_of_another_network_is_refused(function: Callable[[Genotype, Recipe], Any]) -> None:
    with pytest.raises(InputError, match=r"^genotype\.bits: "):
        function(GENOTYPES[0], recipe(widths=(1, 2)))


# Table 5: million additions, million multiplications, millijoule.
TABLE_5 = {
    "ANN (large)": (970.12, 970.12, 4.46),
    "ANN (medium)": (413.53, 413.53, 1.90),
    "ANN (small)": (221.63, 221.63, 1.02),
    "AutoSNN": (585.60, 28.31, 0.63),
    "SpikeDHS": (1305.65, 23.89, 1.26),
    "LitESNN (large)": (705.01, 11.94, 0.68),
    "LitESNN (medium)": (271.41, 4.78, 0.26),
    "LitESNN (small)": (129.74, 2.39, 0.13),
}
PRUNED = {"large": 50, "medium": 80, "small": 90}  # percent, Sec. 4.1


@pytest.mark.parametrize("row", TABLE_5)
def test_energy_of_table_5(row: str) -> None:
    additions, multiplications, energy = TABLE_5[row]
    assert round(energy_mj(additions * 1e6, multiplications * 1e6), 2) == energy


def test_energy_of_a_derived_network() -> None:
    cost = DerivedCost(
        model_size_bits=1,
        file_bits=1,
        side_bits=1,
        bit_synops=1.0,
        additions=2e6,
        multiplications=1e6,
        ann_operations=3_000_000,
    )
    assert cost.energy_mj == pytest.approx(0.0055)  # 2 M * 0.9 pJ + 1 M * 3.7 pJ
    assert cost.ann_energy_mj == pytest.approx(0.0138)  # 3 M * (0.9 + 3.7) pJ


@pytest.mark.parametrize(("additions", "multiplications"), [(-1, 0), (0, -1), (float("nan"), 0)])
def test_energy_of_impossible_counts_is_refused(additions: float, multiplications: float) -> None:
    with pytest.raises(InputError, match=r"^(additions|multiplications): expected a finite number at least 0, got "):
        energy_mj(additions, multiplications)


@pytest.fixture(scope="module")
def all_dense_operations() -> set[int]:
    """Operations of every network with three nodes at the paper's width, all 1152 of them."""
    of = Recipe.preset("cifar10", nodes=3)
    ops = list(itertools.product(("conv3x3", "skip"), repeat=2))
    per_node = [
        [((a, first), (b, second)) for a, b in itertools.combinations(range(node + 2), 2) for first, second in ops]
        for node in range(3)
    ]
    cells = list(itertools.product(*per_node))
    assert len(cells) == 1152
    return {dense_operations(Genotype(nodes=cell, bits=(4,) * 8, timesteps=1), of) for cell in cells}


STEM = 3 * 3 * 3 * 144 * 32 * 32  # dense operations of the stem at C = 144: 3.98 M


@pytest.mark.parametrize("scale", PRUNED)
def test_dense_operations_of_table_5_are_attained(all_dense_operations: set[int], scale: str) -> None:
    # The ANN rows hold one stem more than stem, cells and classifier once each. With it, some network has exactly the
    # printed count; only 21 different counts exist between 1210 and 2490 M, so three hits to 5 digits are no accident.
    assert len(all_dense_operations) < 25
    row = TABLE_5[f"ANN ({scale})"][0]
    kept = 1 - PRUNED[scale] / 100
    assert row in {round((operations + STEM) * kept / 1e6, 2) for operations in all_dense_operations}


@pytest.mark.parametrize("scale", PRUNED)
def test_multiplications_of_table_5_are_those_of_a_stem_run_six_times(scale: str) -> None:
    # Table 2 reports 6, 5 and 4 timesteps for the three networks; Table 5's multiplications need 6 for all of them.
    of = Recipe.preset("cifar10", nodes=3, timesteps=8)
    nodes = tuple(((0, "conv3x3"), (1, "conv3x3")) for _ in range(3))
    printed = TABLE_5[f"LitESNN ({scale})"][1]
    fitting = []
    for timesteps in range(1, 9):
        genotype = Genotype(nodes=nodes, bits=(4,) * 8, timesteps=timesteps, p=PRUNED[scale])
        cost = derived_cost(genotype, of, torch.zeros(25, 8))
        if round(cost.multiplications / 1e6, 2) == printed:
            fitting.append(timesteps)
    assert fitting == [6]


@pytest.mark.parametrize("scale", PRUNED)
def test_ann_operations_are_the_dense_ones_times_the_kept_share(scale: str) -> None:
    of = Recipe.preset("cifar10", nodes=3)
    nodes = (((0, "conv3x3"), (1, "skip")), ((1, "conv3x3"), (2, "skip")), ((0, "skip"), (3, "conv3x3")))
    genotype = Genotype(nodes=nodes, bits=(4,) * 8, timesteps=4, p=PRUNED[scale])
    kept = (100 - PRUNED[scale]) / 100
    ann = derived_cost(genotype, of, torch.zeros(25, 4)).ann_operations
    assert ann == pytest.approx(dense_operations(genotype, of) * kept, rel=1e-4)  # whole weights, layer by layer
