"""Times loading and augmenting training data against a torchvision DataLoader that does the same.

Images: 3 x 32 x 32 pixels as bytes, random crop with padding 4, flip, normalisation, cutout 16, as in retraining on CIFAR. Speech:
1 x 40 x 98 features in single precision, normalised. Random values do, since nothing depends on them. Ours is
``litesnn.data.batches.train_batches`` on data in memory. The other side is written as research code writes it, one sample at a
time: a data set in memory, torchvision's transforms (cutout is not among them: the usual few lines), shuffled by
``DataLoader``; without worker processes and with one per core, of which the faster counts. Its images are PIL images, as in
torchvision's own CIFAR10, or tensors with the newer transforms; again the faster counts.

    python -m benchmarks loader
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from benchmarks.record import begin, command, heading, parser, progress, spread, table
from litesnn.checks import check_integer
from litesnn.config import Recipe
from litesnn.data.batches import train_batches
from litesnn.data.dataset import Dataset, Split

PRESETS = {"images": "cifar10", "speech": "gsc"}
OURS = "litesnn"

Pass = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""One pass over the data."""


class Samples(TorchDataset[tuple[Tensor, int]]):
    """Samples in memory and what is done to each.

    Args:
        samples: anything with a length and an index.
        labels: one class per sample.
        transform: from a sample to a normalised tensor.
    """

    def __init__(self, samples: Any, labels: list[int], transform: Callable[[Any], Tensor]) -> None:
        self.samples, self.labels, self.transform = samples, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.samples[index]), self.labels[index]


class Cutout:
    """Blanks a square of a normalised image, as is usual beside torchvision.

    Args:
        size: side in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
        half = self.size // 2
        image[:, max(0, y - half) : y + half, max(0, x - half) : x + half] = 0
        return image


def data(kind: str, samples: int) -> tuple[Recipe, Dataset]:
    """Recipe and random data of one kind, ``images`` or ``speech``."""
    recipe = Recipe.preset(PRESETS[kind])
    generator = torch.Generator().manual_seed(0)
    shape = samples, *recipe.input_shape
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    inputs = pixels if kind == "images" else torch.randn(shape, generator=generator)
    split = Split(inputs, torch.randint(recipe.classes, (samples,), generator=generator))
    return recipe, Dataset.build(kind, tuple(map(str, range(recipe.classes))), split, split, split)


def ours(recipe: Recipe, dataset: Dataset, batch: int) -> Pass:
    """Batches as training takes them."""
    generator = torch.Generator().manual_seed(0)
    return lambda: train_batches(
        dataset, dataset.train, batch, recipe, generator, use_cutout=recipe.cutout > 0, drop_last=True
    )


def theirs(recipe: Recipe, dataset: Dataset, batch: int, workers: int, as_images: bool) -> Pass:
    """The same by torchvision and a ``DataLoader``.

    Args:
        recipe: what is done to a sample.
        dataset: the data.
        batch: samples per batch.
        workers: processes that prepare batches; 0 for none.
        as_images: PIL images and torchvision's classic transforms; tensors and its newer ones otherwise.
    """
    import torchvision.transforms as classic
    import torchvision.transforms.v2 as newer

    split, size = dataset.train, recipe.input_shape[1:]
    kit = classic if as_images else newer
    steps: list[Any] = []
    if recipe.crop_padding:
        steps.append(kit.RandomCrop(size, padding=recipe.crop_padding))
    if recipe.horizontal_flip:
        steps.append(kit.RandomHorizontalFlip())
    if as_images:
        samples: Any = [classic.functional.to_pil_image(image) for image in split.inputs]
        steps.append(classic.ToTensor())
    else:
        samples = split.inputs
        if split.inputs.dtype == torch.uint8:
            steps.append(newer.ToDtype(torch.float32, scale=True))
    if split.inputs.dtype == torch.uint8:
        steps.append(kit.Normalize(dataset.mean.flatten().tolist(), dataset.std.flatten().tolist()))
    else:
        steps.append(lambda features: (features - dataset.mean) / dataset.std)  # a mean per row: none of torchvision's
    if recipe.cutout:
        steps.append(Cutout(recipe.cutout))
    loader: DataLoader[tuple[Tensor, int]] = DataLoader(
        Samples(samples, split.labels.tolist(), kit.Compose(steps)),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return lambda: loader


def samples_per_second(run: Pass) -> float:
    """Of one pass, every batch taken and thrown away."""
    started = time.perf_counter()
    count = sum(len(labels) for _, labels in run())
    return count / (time.perf_counter() - started)


def measure(samples: int, batch: int, repeats: int) -> dict[str, Any]:
    """Everything that is kept of a run, ready for JSON."""
    settings = {"samples": samples, "batch": batch, "repeats": repeats}
    result = begin("loader", settings, ("torchvision", "pillow"))
    result["kinds"] = {}
    processes = torch.get_num_threads()
    for kind in PRESETS:
        recipe, dataset = data(kind, samples)
        ways: dict[str, Pass] = {OURS: ours(recipe, dataset, batch)}
        for as_images in (True, False) if kind == "images" else (False,):
            form = "PIL images" if as_images else "tensors"
            for workers in (0, processes):
                side = "in this process" if not workers else f"{workers} worker processes"
                ways[f"DataLoader, {form}, {side}"] = theirs(recipe, dataset, batch, workers, as_images)
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for repeat in range(repeats + 1):  # the first one starts worker processes
            for way, run in ways.items():
                rate = samples_per_second(run)
                if repeat:
                    rates[way].append(rate)
            progress(f"{kind} {repeat}/{repeats}")
        rows = {way: spread(values) for way, values in rates.items()}
        best = max((way for way in rows if way != OURS), key=lambda way: rows[way]["median"])
        ratio = rows[OURS]["median"] / rows[best]["median"]
        result["kinds"][kind] = {"samples_per_second": rows, "best_other": best, "ratio": ratio}
    return result


def report(result: dict[str, Any]) -> str:
    """A result as the text that is printed."""
    lines = heading(result)
    for kind, found in result["kinds"].items():
        header = [f"{kind}, samples per second", "median", "min", "max"]
        rows = [
            [way, *(f"{row[key]:.0f}" for key in ("median", "min", "max"))]
            for way, row in found["samples_per_second"].items()
        ]
        lines += [*table(header, rows), f"{found['ratio']:.1f} times the best other one", ""]
    return "\n".join(lines[:-1])


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("loader", __doc__, repeats=5)
    made.add_argument("--samples", type=int, default=10_000, help="size of the data set (default 10000)")
    made.add_argument("--batch", type=int, default=50, help="samples per batch (default 50)")
    options = made.parse_args(arguments)

    def run() -> dict[str, Any]:
        check_integer("batch", options.batch, minimum=1)
        check_integer("samples", options.samples, minimum=options.batch)
        return measure(options.samples, options.batch, options.repeats)

    return command(options, run, report)


if __name__ == "__main__":
    sys.exit(main())
