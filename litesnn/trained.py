"""A trained network as a PyTorch module: logits of a batch, the class of an image or clip, spikes, fine-tuning, files."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from litesnn.checks import InputError, fail, user_path
from litesnn.config import Recipe
from litesnn.data.dataset import Dataset, normalise
from litesnn.export.convert import pack
from litesnn.export.packed import Packed
from litesnn.export.trim import trim
from litesnn.genotype import Genotype
from litesnn.model import Model
from litesnn.prediction import Prediction
from litesnn.samples import sample_of
from litesnn.shipped import Shipped

if TYPE_CHECKING:
    from PIL.Image import Image

    from litesnn.phase import EpochRecord
    from litesnn.retraining import RetrainResult

_LOWEST, _HIGHEST = -0.5, 1.5  # of pixels as floats: 0 … 1, and room for what augmentation overshoots


class TrainedNetwork(nn.Module):
    """A trained network, ready to be asked and to be trained further. ``litesnn.load`` makes one of a file.

    As a module it computes in single precision, with gradients, on any device. ``predict`` and ``spikes`` answer as
    ``litesnn run`` and a device do: from the packed form of the network as it is now, in double precision.

    Args:
        model: the network and what using it takes.
        facts: what is known of its accuracy, point and seed, by the names in a trial's ``result.json``; for model cards.
        packed: the packed network that the model was made of, which answers and is saved until a parameter changes.
    """

    mean: Tensor
    std: Tensor
    rates: Tensor

    def __init__(self, model: Model, facts: Mapping[str, Any] | None = None, packed: Packed | None = None) -> None:
        super().__init__()
        self.network = model.network
        self.genotype: Genotype = model.genotype
        self.recipe: Recipe = model.recipe
        self.classes: tuple[str, ...] = model.classes
        for name in ("mean", "std", "rates"):
            self.register_buffer(name, getattr(model, name))
        self._shipped: tuple[bytes, torch.device, Shipped] | None = None
        state = self._state()
        self._facts = state, dict(facts or {})
        self._made_of = None if packed is None else (state, packed)
        self.eval()

    @property
    def model(self) -> Model:
        """The same network, without copies, as what the rest of the library takes."""
        return Model(
            network=self.network,
            genotype=self.genotype,
            recipe=self.recipe,
            classes=self.classes,
            mean=self.mean,
            std=self.std,
            rates=self.rates,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of its accuracy, point and seed; nothing once a parameter has changed."""
        state, facts = self._facts
        return facts if state == self._state() else {}

    @property
    def from_packed(self) -> bool:
        """Whether it comes from a packed file, which has no statistics of batch norm and no recipe of its training."""
        return self.network.stem_norm.folded

    @property
    def packed(self) -> Packed:
        """Its packed form as it is now, without channels that make no difference."""
        return trim(self._pack(self._state()))[0]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch, the mean over the timesteps; ``softmax(recipe.logit_scale * logits)`` are probabilities.

        Args:
            x: inputs as they are, not normalised, ``[B, C, H, W]`` on the network's device: uint8 pixels 0 to 255, floats on
                the scale 0 to 1, or the features of clips.

        Returns:
            ``[B, K]``.

        Raises:
            InputError: another shape or type, or floats on another scale.
        """
        logits: Tensor = self.network(self._normalised(x), self.genotype.timesteps).logits.mean(0)
        return logits

    def predict(self, given: str | Path | Image | NDArray[Any] | Tensor) -> Prediction:
        """Classifies one image or clip, exactly as ``litesnn run`` does.

        Args:
            given: a path, a Pillow image, pixels or samples; see ``litesnn.samples.sample_of``.

        Raises:
            InputError: it cannot be read or does not fit the network.
        """
        x = self._normalised(sample_of(given, self.recipe)[None].to(self.mean.device))
        return Prediction.of(self._as_shipped().scores(x)[0], self.classes, self.recipe.logit_scale)

    def spikes(self, x: Tensor) -> dict[str, Tensor]:
        """What fires where and when.

        Args:
            x: as for ``forward``.

        Returns:
            By name, ``stem``, ``cell1``, …, booleans ``[T, B, C, H, W]``. A cell's channels are those of its nodes, one
            node after another.

        Raises:
            InputError: as for ``forward``.
        """
        return self._as_shipped().spikes(self._normalised(x))

    def fine_tune(
        self,
        dataset: Dataset,
        *,
        epochs: int = 5,
        learning_rate: float = 3e-3,
        batch_size: int = 50,
        recipe: Recipe | None = None,
        seed: int = 0,
        on_epoch: Callable[[EpochRecord], None] | None = None,
    ) -> RetrainResult:
        """Trains the network further where it is, with Adam, and tests it once; see ``litesnn.fine_tuning``.

        Cell, bits, timesteps and pruning mask stay.

        Args:
            dataset: with the network's classes and input shape; its inputs are normalised as the network knows them.
            epochs: passes over the training part, at least 1.
            learning_rate: highest rate; it falls to 0.
            batch_size: samples per step.
            recipe: how inputs are augmented and what the loss is; by default the network's own, which after a packed file
                augments nothing.
            seed: of shuffling and augmentation.
            on_epoch: called with the record of every epoch.

        Returns:
            Records, accuracies and costs afterwards. The network is in evaluation mode.

        Raises:
            InputError: the data do not fit the network, or a number is out of range.
            DivergedError: the loss became NaN or infinite.
        """
        from litesnn.fine_tuning import fine_tune

        chosen = dataclasses.replace(
            self.recipe if recipe is None else recipe,
            retrain_epochs=epochs,
            retrain_lr=learning_rate,
            retrain_batch=batch_size,
        )
        result = fine_tune(self.model, dataset, chosen, seed=seed, on_epoch=on_epoch)
        self.rates = result.model.rates
        self.eval()
        self._facts = self._state(), {"val_accuracy": result.val_accuracy, "test_accuracy": result.test_accuracy}
        return result

    def save(self, path: str | Path) -> Path:
        """Writes the network: packed where the name ends in ``.lsnn``, or ``.safetensors``, which keeps latent weights.

        Raises:
            InputError: another ending, or a path that cannot be written.
        """
        file = user_path("path", path)
        if file.suffix == ".lsnn":
            self.packed.write(file)
        elif file.suffix == ".safetensors":
            self.model.save(file)
        else:
            raise fail("path", "a name that ends in .lsnn or .safetensors", str(path))
        return file

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Writes ``model.safetensors``, ``model.lsnn``, ``config.json`` and a model card into a folder, as the Hub has them.

        Args:
            folder: made where it is not there.
            **options: of ``huggingface_hub.ModelHubMixin.save_pretrained``, for example ``push_to_hub=True``.

        Raises:
            InputError: ``litesnn[hub]`` is not installed, or the folder cannot be written.
        """
        from litesnn.hub import save_pretrained

        save_pretrained(self, folder, **options)

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: str = "cpu", **options: Any) -> TrainedNetwork:
        """Reads what ``save_pretrained`` wrote.

        Args:
            name: a folder, or a repository of the Hub.
            device: where the network goes.
            **options: of ``huggingface_hub.ModelHubMixin.from_pretrained``, for example ``revision``.

        Raises:
            InputError: ``litesnn[hub]`` is not installed, or there is no such network.
        """
        from litesnn.hub import from_pretrained

        return from_pretrained(name, device, **options)

    def _normalised(self, x: Tensor) -> Tensor:
        shape = self.recipe.input_shape
        if not isinstance(x, Tensor) or x.dim() != 4 or tuple(x.shape[1:]) != shape or len(x) == 0:
            got = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise InputError(f"input: expected a tensor [B, {', '.join(map(str, shape))}], got {got}")
        if x.dtype == torch.uint8:
            return normalise(x, self.mean, self.std)
        if not x.is_floating_point():
            raise InputError(f"input: expected uint8 or floats, got {x.dtype}")
        if not self.training:
            self._check_scale(x)
        return normalise(x.float(), self.mean, self.std)

    def _check_scale(self, x: Tensor) -> None:
        low, high = (float(value) for value in x.detach().aminmax())
        if not low - low == high - high == 0:
            raise InputError("input: expected finite numbers, got NaN or infinity")
        if self.mean.shape[1] == 1 and not (low >= _LOWEST and high <= _HIGHEST):  # pixels: one mean per channel
            raise InputError(f"input: expected floats on the scale 0 to 1, not normalised, got {low:g} to {high:g}")

    def _as_shipped(self) -> Shipped:
        """The network as it would ship now; made anew when anything in it has changed."""
        state, device = self._state(), self.mean.device
        if self._shipped is None or self._shipped[:2] != (state, device):
            self._shipped = state, device, Shipped(self._pack(state), device)
        return self._shipped[2]

    def _pack(self, state: bytes) -> Packed:
        if self._made_of is not None and self._made_of[0] == state:
            return self._made_of[1]
        return pack(self.model)

    def _state(self) -> bytes:
        """A digest of all parameters and statistics."""
        digest = hashlib.blake2b()
        for tensor in self.network.state_dict().values():
            digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().data)
        return digest.digest()
