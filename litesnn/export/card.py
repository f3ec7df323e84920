"""The model card beside every export: what the network is, what it can, what it costs and where it is from."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from litesnn.checks import InputError
from litesnn.config import Recipe
from litesnn.cost import derived_cost
from litesnn.data.features import FEATURE_SHAPE
from litesnn.describe import draw_cell, pruned_text
from litesnn.export.packed import Packed
from litesnn.export.sizes import measure_sizes
from litesnn.genotype import Genotype

_TAGS = ["spiking-neural-network", "litesnn", "quantized", "pruned", "neuromorphic"]
_VERSIONED = ("litesnn", "torch", "numpy", "safetensors")
_USES = {
    "lsnn": "`litesnn run {name} FILE` classifies an image or a clip; `litesnn describe {name}` shows the network.",
    "nir": "A NIR graph, read by `nir.read`; its neurons are discretised with a step of 0.1 ms, see docs/export.md.",
    "c": "C99 with its tables in the header beside it: `lsnn_classify` takes an image's bytes, see docs/export.md.",
    "onnx": "Input `input`, float32 [N, C, H, W], normalised as below; output `logits`, the mean over time, [N, K].",
}


def read_provenance(model: Path) -> dict[str, Any]:
    """What ``result.json`` beside a model says about its accuracy, point and seed; empty where there is none.

    Raises:
        InputError: the file is there but is damaged.
    """
    path = model.parent / "result.json"
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"result: expected JSON, got {path} ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"result: expected an object, got {type(values).__name__} in {path}")
    return values


def model_card(
    packed: Packed, trained_by: Recipe | None, provenance: Mapping[str, Any], name: str, kind: str, size: int
) -> str:
    """The card in Markdown.

    Args:
        packed: the network.
        trained_by: the recipe of its training; None where only the packed file is at hand, which does not hold it.
        provenance: see ``read_provenance``.
        name: file name of the export.
        kind: ``lsnn``, ``nir``, ``onnx`` or ``c``.
        size: of the export in bytes.
    """
    recipe, genotype = packed.recipe, Genotype.from_json(json.dumps(dict(packed.genotype)))
    cost = derived_cost(genotype, recipe, torch.from_numpy(packed.rates.copy()))
    point = [f"{key} = {provenance[key]:g}" for key in ("lambda1", "lambda2", "p") if _is_number(provenance.get(key))]
    facts = [
        ("data", _data_text(recipe)),
        ("classes", _short(packed.classes)),
        ("input", " x ".join(map(str, recipe.input_shape)) + " (channels x height x width)"),
        ("test accuracy", _percent(provenance, "test_accuracy", "test split, read once after training")),
        ("validation accuracy", _percent(provenance, "val_accuracy", "validation split, after the last epoch")),
        *measure_sizes(packed).lines(),
        (f"size of {name}", f"{size:,} bytes"),
        ("bits per cell", " ".join(map(str, genotype.bits))),
        ("bits of stem, classifier", f"{recipe.stem_bits}, {recipe.classifier_bits}"),
        ("timesteps", str(genotype.timesteps)),
        ("pruned", pruned_text(genotype.p, recipe.mask_n)),
        ("additions", f"{cost.additions / 1e6:.4f} M SynOps per sample, from spike rates on the validation split"),
        ("multiplications", f"{cost.multiplications / 1e6:.4f} M per sample, in the stem"),
        ("Bit-SynOps", f"{cost.bit_synops / 1e6:.4f} M per sample"),
        ("energy", f"{1e3 * cost.energy_mj:.4f} µJ per sample at 0.9 pJ per addition and 3.7 pJ per multiplication"),
        ("energy as an ANN", f"{1e3 * cost.ann_energy_mj:.4f} µJ per sample, the same layers dense in activations"),
        ("neuron", f"LIF, decay {recipe.tau:g}, threshold {recipe.v_threshold:g}, reset to 0"),
        ("point", ", ".join(point) or f"p = {genotype.p:g}; λ1 and λ2 are not recorded"),
        ("seed", str(provenance.get("seed", "not recorded"))),
        *_trained(provenance),
        ("exported with", f"Python {platform.python_version()}, {_versions()}"),
    ]
    table = "\n".join(f"| {key.strip()} | {_cell(value)} |" for key, value in facts)
    normalised = f"Inputs are normalised by mean {_numbers(packed.mean)} and deviation {_numbers(packed.std)}"
    return (
        f"---\n{front_matter(recipe, provenance, name)}---\n\n"
        f"# {name}\n\n"
        f"A spiking network with weights of few bits, after LitE-SNN (IJCAI 2024).{_origin(trained_by, provenance)}\n\n"
        f"{_USES[kind].format(name=name)}\n\n"
        f"| | |\n|---|---|\n{table}\n\n"
        f"{normalised}{_scale_of_inputs(recipe)}.\n\n"
        f"## The cell\n\n```\n{draw_cell(genotype, recipe)}\n```\n\n"
        f"## Training recipe\n\n{_training_text(trained_by)}\n"
    )


def front_matter(recipe: Recipe, provenance: Mapping[str, Any], name: str) -> str:
    """What the Hub reads of a card, in YAML: library, task, tags and, where they are known, accuracies as shares of 1.

    The license is left out: that of the data decides, which nobody here knows.

    Args:
        recipe: of the network.
        provenance: see ``read_provenance``.
        name: file name of the export.
    """
    task = "audio-classification" if recipe.input_shape == FEATURE_SHAPE else "image-classification"
    data = _data_name(recipe.dataset)
    results = [
        {
            "task": {"type": task},
            "dataset": {"name": data, "type": data, "split": split},
            "metrics": [{"type": "accuracy", "name": f"{split} accuracy", "value": round(provenance[key] / 100, 6)}],
        }
        for key, split in (("test_accuracy", "test"), ("val_accuracy", "validation"))
        if _is_number(provenance.get(key)) and 0 <= provenance[key] <= 100
    ]
    fields: dict[str, Any] = {"library_name": "litesnn", "pipeline_tag": task, "tags": _TAGS}
    if results:
        fields["model-index"] = [{"name": Path(name).stem, "results": results}]
    return "".join(f"{key}: {_yaml(value)}\n" for key, value in fields.items())


def _origin(trained_by: Recipe | None, provenance: Mapping[str, Any]) -> str:
    """Where its structure is from, as far as that is known: a genotype may have been written by hand for any recipe."""
    strategy = None if trained_by is None else trained_by.strategy
    if strategy == "darts":
        searched = _is_number(provenance.get("lambda1"))
        return " Its cell, bits and timesteps were found by a joint search." if searched else ""
    return {"fixed": " Its cell was written by hand.", "random": " Its cell, bits and timesteps were drawn."}.get(
        strategy or "", ""
    )


def _trained(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A trial's epochs, and from what; the recipe does not know whose weights a network started from."""
    epochs, parent = provenance.get("retrain_epochs"), provenance.get("parent")
    if not _is_number(epochs):
        return []
    start = f"the weights of {parent}" if isinstance(parent, str) and parent else "initial values"
    return [("trained", f"for {epochs} epochs from {start}")]


def _yaml(value: Any) -> str:
    """JSON, which is YAML too once nothing in it is unprintable."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _data_name(name: str) -> str:
    """Without the place of a folder."""
    return Path(name.removeprefix("folder:").removeprefix("arrays:")).name if ":" in name else name


def _data_text(recipe: Recipe) -> str:
    name = recipe.dataset
    if name.startswith("folder:"):
        return f"own files ({Path(name.removeprefix('folder:')).name})"
    if name.startswith("arrays:"):
        return f"own arrays ({name.removeprefix('arrays:')})"
    return (
        f"{name} ({recipe.val_fraction:g} of the training part held out for validation, split seed {recipe.split_seed})"
    )


def _scale_of_inputs(recipe: Recipe) -> str:
    if recipe.input_shape == FEATURE_SHAPE:
        return ", after one channel of 1 s at 16 kHz became MFCC features (40 coefficients, 98 frames)"
    if recipe.dataset.startswith("folder:") and recipe.resize == "crop":
        return ", after the shorter side was brought to size, the middle cut out and pixels brought to 0 … 1"
    return ", after pixels were brought to 0 … 1"


def _training_text(recipe: Recipe | None) -> str:
    if recipe is None:
        return "Not recorded in the packed file that this was exported from."
    found = json.dumps(_differences(recipe), indent=2, ensure_ascii=False)
    return f"What differs from the defaults of `litesnn.Recipe`:\n\n```json\n{found}\n```"


def _differences(recipe: Recipe) -> dict[str, Any]:
    """Fields that are not at their default; of a folder only its name."""
    values, defaults = recipe.to_dict(), Recipe().to_dict()
    for key in ("dataset", "search_dataset"):
        if values[key].startswith("folder:"):
            values[key] = f"folder:{Path(values[key].removeprefix('folder:')).name}"
    return {key: value for key, value in values.items() if value != defaults[key]}


def _percent(provenance: Mapping[str, Any], key: str, split: str) -> str:
    value = provenance.get(key)
    return f"{value:.2f} % ({split})" if _is_number(value) else "not recorded (`litesnn evaluate` measures it)"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 20 else f"{len(names)}: {', '.join(names[:10])}, …"


def _numbers(values: Any) -> str:
    flat = [f"{value:.6g}" for value in values.ravel()]
    return ", ".join(flat if len(flat) <= 6 else [*flat[:3], f"… ({len(flat)} in all)"])


def _cell(text: str) -> str:
    """Text that cannot break out of a table cell."""
    return " ".join(text.replace("|", "\\|").split())


def _versions() -> str:
    found = []
    for package in _VERSIONED:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
