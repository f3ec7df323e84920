"""The two things that carry every setting: ``SearchPoint``, what is tuned, and ``Recipe``, what stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from litesnn.checks import InputError, check_choice, check_integer, check_integers, check_number, fail
from litesnn.nearest import hint
from litesnn.operations import OPERATIONS, PRIMITIVES

KNOWN_BIT_WIDTHS = (1, 2, 3, 4)
OPTIONAL_AXES = ("channels", "held_bits", "held_timesteps")
"""Fields of a point that are 0 where it leaves them to the recipe."""
DATASETS = ("digits", "cifar10", "cifar100", "speech_commands")


@dataclass(frozen=True, kw_only=True)
class SearchPoint:
    """One point of the trade-off; one search and one retraining give one network for it.

    Args:
        lambda1: weight of the memory term in the loss, per bit, at least 0 (Eq. 15).
        lambda2: weight of the computation term, per bit-SynOp of ``Recipe.cost_batch`` samples, at least 0 (Eq. 15).
        p: pruning rate in percent, 0 <= p < 100.
        channels: C of the retrained network; 0: the recipe's.
        held_bits: weight bit-width of every cell; 0: what the recipe's strategy chooses, cell by cell.
        held_timesteps: T; 0: what the strategy chooses.

    Raises:
        InputError: a value is outside its range.
    """

    lambda1: float
    lambda2: float
    p: float
    channels: int = 0
    held_bits: int = 0
    held_timesteps: int = 0

    def __post_init__(self) -> None:
        for name in ("lambda1", "lambda2"):
            object.__setattr__(self, name, check_number(name, getattr(self, name), minimum=0))
        object.__setattr__(self, "p", check_number("p", self.p, minimum=0, below=100))
        for name in OPTIONAL_AXES:
            check_integer(name, getattr(self, name), minimum=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; those of ``OPTIONAL_AXES`` where the point states them."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in OPTIONAL_AXES or value}

    @classmethod
    def named(cls, name: str) -> SearchPoint:
        """One of the paper's own points: ``large``, ``medium``, ``small`` (CIFAR) or ``gsc`` (Sec. 4.1)."""
        return PAPER_POINTS[check_choice("point", name, PAPER_POINTS)]


PAPER_POINTS = {
    "large": SearchPoint(lambda1=0, lambda2=0, p=50),
    "medium": SearchPoint(lambda1=5e-10, lambda2=5e-14, p=80),
    "small": SearchPoint(lambda1=1e-9, lambda2=1e-13, p=90),
    "gsc": SearchPoint(lambda1=1e-9, lambda2=1e-13, p=70),
}


def _setting(default: Any, group: str, text: str) -> Any:
    """A recipe field whose command-line option is derived from its group and help text."""
    return field(default=default, metadata={"group": group, "help": text})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about a search and a retraining except the point; the defaults are the paper's for CIFAR-10.

    Each field's meaning and unit is its help text below. Build one with ``Recipe.preset(name, **overrides)``.

    Raises:
        InputError: a value is outside its range, or two of them contradict each other.
    """

    dataset: str = _setting("cifar10", "data", "digits, cifar10, cifar100, speech_commands or folder:PATH")
    search_dataset: str = _setting("", "data", "data set of the search if it is another one; empty: the same")
    input_shape: tuple[int, ...] = _setting((3, 32, 32), "data", "channels, height and width of one input")
    classes: int = _setting(10, "data", "number of classes")
    search_classes: int = _setting(0, "data", "number of classes of the search data set; 0: the same")
    val_fraction: float = _setting(0.1, "data", "share of the training data held out for validation")
    test_fraction: float = _setting(0.2, "data", "share of own data held out for the test if they have no test folder")
    split_seed: int = _setting(0, "data", "seed of the splits")
    resize: Literal["crop", "none"] = _setting(
        "crop",
        "data",
        "own images of another size: crop brings the shorter side to size and cuts out the middle, none refuses them",
    )
    crop_padding: int = _setting(4, "data", "random crop after padding by this many pixels; 0: no crop")
    crop_border: Literal["zeros", "reflect"] = _setting("zeros", "data", "what the padding before the crop holds")
    horizontal_flip: bool = _setting(True, "data", "flip images left to right")
    flip_order: Literal["random", "alternating"] = _setting(
        "random", "data", "whether an image is flipped by chance or in every other epoch (Jordan 2024)"
    )
    cutout: int = _setting(16, "data", "side in pixels of the square blanked in retraining; 0: none")
    time_shift: int = _setting(0, "data", "clips: largest shift in frames of 10 ms, either way")
    time_stretch: float = _setting(0.0, "data", "clips: largest change of the tempo, 0.1 for 10 % either way")
    feature_noise: float = _setting(0.0, "data", "clips: largest deviation of noise added to normalised features")
    time_mask: int = _setting(0, "data", "clips: most frames in a row that are blanked (SpecAugment, Park 2019)")
    feature_mask: int = _setting(0, "data", "clips: most coefficients in a row that are blanked")

    widths: tuple[int, ...] = _setting(
        (1, 1, 2, 2, 2, 4, 4, 4), "network", "width factor per cell; doubling halves H, W"
    )
    nodes: int = _setting(4, "network", "nodes per cell")
    search_channels: int = _setting(48, "network", "C while searching: width of the stem and of a factor-1 cell")
    retrain_channels: int = _setting(144, "network", "C of the retrained network")
    bit_widths: tuple[int, ...] = _setting((1, 2, 4), "network", "candidate weight bit-widths, a subset of 1 2 3 4")
    stem_bits: int = _setting(4, "network", "bit-width of the stem")
    classifier_bits: int = _setting(4, "network", "bit-width of the classifier")
    operations: tuple[str, ...] = _setting(
        PRIMITIVES,
        "network",
        "what an edge may do: conv3x3 and skip as in the paper, conv1x1, dwconv3x3 (depthwise between nodes)",
    )
    input_skip: Literal["conv3x3", "conv1x1"] = _setting("conv3x3", "network", "what skip means on a cell-input edge")
    mask_n: int = _setting(
        0,
        "network",
        "N of N:M masks: N of every N / (1 - p/100) weights in a row stay (Zhou 2021); 0: any weights of a layer",
    )
    timesteps: int = _setting(6, "network", "largest number of timesteps T that is considered")
    tau: float = _setting(0.2, "network", "membrane decay of the LIF neuron")
    v_threshold: float = _setting(0.5, "network", "firing threshold of the LIF neuron")
    dspike_b: float = _setting(3.0, "network", "temperature b of the Dspike surrogate")
    norm_weight: float = _setting(1.0, "network", "weight of every batch norm before training")
    precision: Literal["fp32", "bf16"] = _setting(
        "fp32",
        "network",
        "precision of the numbers that the cells' convolutions multiply; sums and everything else stay in fp32",
    )

    schedule: Literal["cosine", "linear"] = _setting("cosine", "training", "how learning rates fall after the warm-up")
    warmup_share: float = _setting(0.0, "training", "share of the epochs in which learning rates rise from 0")
    momentum: float = _setting(0.9, "training", "SGD momentum of the weights")
    nesterov: bool = _setting(False, "training", "Nesterov's momentum instead of the ordinary one (Sutskever 2013)")
    weight_decay: float = _setting(3e-4, "training", "weight decay of the weights")
    norm_decay: bool = _setting(True, "training", "decay weights and biases of batch norm too")
    grad_clip: float = _setting(5.0, "training", "largest gradient norm of the weights")
    label_smoothing: float = _setting(0.0, "training", "share of the label spread over all classes (Szegedy 2016)")
    logit_scale: float = _setting(1.0, "training", "factor on the logits in the cross entropy (inverse temperature)")

    strategy: Literal["darts", "random", "fixed"] = _setting(
        "darts",
        "search",
        "where a network comes from: the paper's joint search, chance (cell, bits and T drawn evenly), or a hand-written cell",
    )
    link: Literal["skip", "conv3x3"] = _setting(
        "skip",
        "search",
        "strategy fixed: how a node reads the node before it; conv3x3 gives a deeper cell with more weights",
    )
    search_epochs: int = _setting(50, "search", "epochs of the search")
    search_batch: int = _setting(30, "search", "batch size of the search")
    weight_lr: float = _setting(0.025, "search", "highest SGD learning rate of the weights")
    weight_lr_min: float = _setting(1e-3, "search", "learning rate at the end of the schedule")
    alpha_lr: float = _setting(3e-4, "search", "Adam learning rate of alpha (architecture)")
    beta_lr: float = _setting(3e-4, "search", "Adam learning rate of beta (bit-widths)")
    score_lr: float = _setting(3e-4, "search", "Adam learning rate of the pruning scores; in retraining it falls to 0")
    psi_lr: float = _setting(0.025, "search", "SGD learning rate of psi (timesteps)")
    psi_momentum: float = _setting(0.9, "search", "SGD momentum of psi")
    psi_warmup_epochs: int = _setting(
        5, "search", "epochs at the start in which psi stays uniform; if these are all epochs, T is 1"
    )
    size: Literal["eq18", "file"] = _setting(
        "eq18",
        "search",
        "what size means in the loss and on fronts: kept weights at their bits (Eq. 18), or the packed file",
    )
    cost_batch: int = _setting(30, "search", "samples whose Bit-SynOps enter the loss (keeps lambda2's meaning)")
    rate_gradient: bool = _setting(False, "search", "let the gradient of Bit-SynOps flow through the spike rates")
    arch_batch: Literal["same", "held_out"] = _setting("same", "search", "data of the second pass of an iteration")
    bit_decoding: Literal["largest", "expected"] = _setting(
        "largest",
        "search",
        "decoded bits: of each cell the largest share, or the expected bits, rounded so that the size is the expected one",
    )

    retrain_epochs: int = _setting(200, "retrain", "epochs of the retraining")
    retrain_batch: int = _setting(50, "retrain", "batch size of the retraining")
    retrain_lr: float = _setting(0.025, "retrain", "highest SGD learning rate; it falls to 0")
    warm_epochs: int = _setting(
        0,
        "retrain",
        "epochs of a network that starts from the weights of one with other bits or T (strategy fixed); 0: none does",
    )
    timestep_loss: float = _setting(
        0.0,
        "retrain",
        "share of the loss of every single timestep (TET, Deng 2022), the rest is that of their mean; 0: their mean alone",
    )
    aux_cell: int = _setting(6, "retrain", "cell, from 1, that feeds the auxiliary head; 0: no head")
    aux_weight: float = _setting(0.4, "retrain", "weight of the auxiliary head's loss")

    def __post_init__(self) -> None:
        self._check_data()
        self._check_network()
        self._check_training()

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Recipe:
        """A named recipe with some fields replaced.

        Args:
            name: one of ``litesnn.presets.PRESETS``.
            **overrides: fields of ``Recipe`` and their values; an unknown one is refused.
        """
        from litesnn.presets import PRESETS  # presets are recipes: the table needs this class first

        return cls.from_dict({**PRESETS[check_choice("preset", name, PRESETS)], **overrides})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The inverse of ``to_dict``; lists become tuples, unknown keys are refused."""
        names = {f.name for f in dataclasses.fields(cls)}
        for key in values:
            if key not in names:
                raise InputError(f"recipe: expected fields of Recipe only, got {key!r}")
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**plain)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}

    def without_folders(self) -> Recipe:
        """The recipe with the last part alone of folders' paths, which are nobody else's business."""

        def named(dataset: str) -> str:
            folder = dataset.removeprefix("folder:")
            return dataset if folder == dataset else f"folder:{Path(folder).name or 'data'}"

        return dataclasses.replace(self, dataset=named(self.dataset), search_dataset=named(self.search_dataset))

    def at(self, point: SearchPoint) -> Recipe:
        """The recipe with the C of a point.

        Raises:
            InputError: the nodes cannot share so many channels, bits or T are not of the recipe's space, or a λ presses where
                nothing is searched.
        """
        if point.channels % self.nodes:
            raise fail("channels", f"a multiple of nodes ({self.nodes})", point.channels)
        if point.held_bits:
            check_choice("held_bits", point.held_bits, self.bit_widths)
        check_integer("held_timesteps", point.held_timesteps, minimum=0, maximum=self.timesteps)
        for name in ("lambda1", "lambda2"):
            if self.strategy != "darts" and getattr(point, name):
                raise fail(name, f"0, since strategy {self.strategy} searches nothing", getattr(point, name))
        return dataclasses.replace(self, retrain_channels=point.channels) if point.channels else self

    def warm(self) -> Recipe:
        """The recipe of a network that starts from trained weights: fewer epochs, half of the learning rate."""
        return dataclasses.replace(self, retrain_epochs=self.warm_epochs, retrain_lr=self.retrain_lr / 2)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.widths)

    @property
    def all_epochs(self) -> int:
        """Epochs of a whole trial: none of a search where the strategy has none."""
        return (self.search_epochs if self.strategy == "darts" else 0) + self.retrain_epochs

    @property
    def searched_dataset(self) -> str:
        """Name of the data set that the search runs on."""
        return self.search_dataset or self.dataset

    @property
    def searched_classes(self) -> int:
        """Number of classes of the data set that the search runs on."""
        return self.search_classes or self.classes

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_data(self) -> None:
        for name in ("dataset", "search_dataset"):
            value = getattr(self, name)
            known = isinstance(value, str) and (
                value in DATASETS or (value.startswith(("folder:", "arrays:")) and value not in ("folder:", "arrays:"))
            )
            if not known and not (name == "search_dataset" and value == ""):
                known_ones = f"one of {', '.join(DATASETS)} or folder:PATH"
                raise InputError(f"{name}: expected {known_ones}, got {value!r}{hint(value, DATASETS)}")
        self._set("input_shape", check_integers("input_shape", self.input_shape, minimum=1, length=3))
        check_integer("classes", self.classes, minimum=2)
        check_integer("search_classes", self.search_classes, minimum=0)
        if self.search_classes == 1:
            raise fail("search_classes", "0 or at least 2", self.search_classes)
        for name in ("val_fraction", "test_fraction"):
            self._set(name, check_number(name, getattr(self, name), above=0, below=1))
        check_choice("resize", self.resize, ("crop", "none"))
        for name in ("split_seed", "crop_padding", "cutout"):
            check_integer(name, getattr(self, name), minimum=0)
        check_integer("crop_padding", self.crop_padding, minimum=0, maximum=max(self.input_shape[1:]))
        check_choice("crop_border", self.crop_border, ("zeros", "reflect"))
        if self.crop_border == "reflect" and self.crop_padding >= min(self.input_shape[1:]):
            raise fail("crop_padding", "less than height and width to go with crop_border reflect", self.crop_padding)
        check_choice("flip_order", self.flip_order, ("random", "alternating"))
        for name in ("time_shift", "time_mask", "feature_mask"):
            check_integer(name, getattr(self, name), minimum=0)
        self._set("time_stretch", check_number("time_stretch", self.time_stretch, minimum=0, below=1))
        self._set("feature_noise", check_number("feature_noise", self.feature_noise, minimum=0))

    def _check_network(self) -> None:
        self._set("widths", check_integers("widths", self.widths, minimum=1))
        previous = 1
        for width in self.widths:
            if width not in (previous, 2 * previous):
                raise fail("widths", "factors that start at 1 or 2 and stay or double from cell to cell", self.widths)
            previous = width
        check_integer("nodes", self.nodes, minimum=1)
        for name in ("search_channels", "retrain_channels"):
            channels = check_integer(name, getattr(self, name), minimum=1)
            if channels % self.nodes:
                raise fail(name, f"a multiple of nodes ({self.nodes})", channels)
        self._set("bit_widths", check_integers("bit_widths", self.bit_widths, minimum=1))
        for name in ("stem_bits", "classifier_bits"):
            check_choice(name, check_integer(name, getattr(self, name), minimum=1), KNOWN_BIT_WIDTHS)
        for bits in self.bit_widths:
            check_choice("bit_widths", bits, KNOWN_BIT_WIDTHS)
        if list(self.bit_widths) != sorted(set(self.bit_widths)):
            raise fail("bit_widths", "different widths in rising order", self.bit_widths)
        self._check_operations()
        check_choice("input_skip", self.input_skip, ("conv3x3", "conv1x1"))
        check_integer("mask_n", self.mask_n, minimum=0, maximum=16)
        check_integer("timesteps", self.timesteps, minimum=1)
        self._set("tau", check_number("tau", self.tau, minimum=0, maximum=1))
        for name in ("v_threshold", "dspike_b", "norm_weight"):
            self._set(name, check_number(name, getattr(self, name), above=0))
        check_choice("precision", self.precision, ("fp32", "bf16"))

    def _check_operations(self) -> None:
        if not isinstance(self.operations, tuple) or len(self.operations) < 2:
            raise fail("operations", f"two or more of {', '.join(OPERATIONS)}", self.operations)
        for operation in self.operations:
            check_choice("operations", operation, OPERATIONS)
        if len(set(self.operations)) < len(self.operations):
            raise fail("operations", "each operation once", self.operations)
        if self.strategy == "fixed" and not set(PRIMITIVES) <= set(self.operations):
            raise fail("operations", f"{' and '.join(PRIMITIVES)} among them for strategy fixed", self.operations)

    def _check_training(self) -> None:
        for name in ("search_epochs", "search_batch", "cost_batch", "retrain_epochs", "retrain_batch"):
            check_integer(name, getattr(self, name), minimum=1)
        check_integer("warm_epochs", self.warm_epochs, minimum=0)
        for name in ("weight_lr", "retrain_lr", "grad_clip", "logit_scale"):
            self._set(name, check_number(name, getattr(self, name), above=0))
        for name in ("weight_lr_min", "weight_decay", "alpha_lr", "beta_lr", "score_lr", "psi_lr", "aux_weight"):
            self._set(name, check_number(name, getattr(self, name), minimum=0))
        for name in ("momentum", "psi_momentum", "warmup_share", "label_smoothing"):
            self._set(name, check_number(name, getattr(self, name), minimum=0, below=1))
        self._set("timestep_loss", check_number("timestep_loss", self.timestep_loss, minimum=0, maximum=1))
        if self.nesterov is True and not self.momentum:
            raise fail("nesterov", "a momentum above 0 to go with it", self.momentum)
        check_choice("schedule", self.schedule, ("cosine", "linear"))
        check_integer("psi_warmup_epochs", self.psi_warmup_epochs, minimum=0)
        check_integer("aux_cell", self.aux_cell, minimum=0, maximum=self.cells)
        check_choice("strategy", self.strategy, ("darts", "random", "fixed"))
        check_choice("link", self.link, PRIMITIVES)
        check_choice("size", self.size, ("eq18", "file"))
        check_choice("arch_batch", self.arch_batch, ("same", "held_out"))
        check_choice("bit_decoding", self.bit_decoding, ("largest", "expected"))
        for name in ("horizontal_flip", "nesterov", "norm_decay", "rate_gradient"):
            if not isinstance(getattr(self, name), bool):
                raise fail(name, "true or false", getattr(self, name))
