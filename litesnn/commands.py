"""What the ``litesnn`` commands do that need torch; ``cli`` has their options."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch

from litesnn.additions import additions_per_sample
from litesnn.checks import LARGEST_SEED, InputError, check_integer, fail, user_path
from litesnn.config import Recipe, SearchPoint
from litesnn.cost import derived_cost
from litesnn.data import Dataset, load
from litesnn.describe import additions_text, describe, energy_bits_text
from litesnn.device import check_device, prepare_cpu
from litesnn.evaluate import EVAL_BATCH, evaluate
from litesnn.export.command import read_network
from litesnn.export.convert import pack, unpack
from litesnn.export.packed import read_packed
from litesnn.export.plan import make_plan
from litesnn.export.sizes import measure_sizes, size_text
from litesnn.files import write_text
from litesnn.genotype import Genotype
from litesnn.inference import freeze
from litesnn.joint_search import search
from litesnn.model import Model
from litesnn.options import point_from, read_number, recipe_from
from litesnn.progress import reading_bar, training_bar
from litesnn.retraining import retrain
from litesnn.strategies import unsearched

_LARGEST_BATCH = 2**28
"""Values in the states of a batch that is evaluated: 1 GB in single precision, if all were kept at once."""


def run_search(args: argparse.Namespace) -> None:
    point, recipe = point_from(args), recipe_from(args)
    name = f"{args.preset}-l1_{point.lambda1:g}-l2_{point.lambda2:g}-p_{point.p:g}-seed_{args.seed}"
    out = _prepare(args, name)
    given = unsearched(point, recipe.at(point), args.seed)
    genotype = _search(args, point, recipe, out) if given is None else given
    print(f"found {genotype.to_json()}")
    write_text(out / "recipe.json", json.dumps(recipe.to_dict(), indent=2) + "\n")
    write_text(out / "search.json", json.dumps({**point.to_dict(), "seed": args.seed}, indent=2) + "\n")
    write_text(out / "genotype.json", genotype.to_json() + "\n")
    print(f"next: litesnn retrain {out / 'genotype.json'}")


def _search(args: argparse.Namespace, point: SearchPoint, recipe: Recipe, out: Path) -> Genotype:
    dataset = _load(args, recipe, searching=True)
    with training_bar("search", recipe.search_epochs) as (on_epoch, on_batch):
        result = search(
            point,
            recipe,
            dataset=dataset,
            seed=args.seed,
            device=args.device,
            checkpoint=out / "search.pt",
            on_epoch=on_epoch,
            on_batch=on_batch,
        )
    last = result.records[-1]
    print(
        f"supernet {last.val_accuracy:.2f} % validation; decoded {size_text(last.model_size_bits)} (Eq. 18), "
        f"{last.bit_synops / 1e6:.3f} M Bit-SynOps, T = {last.timesteps}"
    )
    return result.genotype


def run_retrain(args: argparse.Namespace) -> None:
    genotype, recipe = _read_genotype(args.genotype), _recipe_beside(args)
    genotype.check_fits(recipe)
    out = _prepare(args, args.genotype.resolve().parent)
    dataset = _load(args, recipe, searching=False)
    with training_bar("retrain", recipe.retrain_epochs) as (on_epoch, on_batch):
        result = retrain(
            genotype,
            recipe,
            dataset=dataset,
            seed=args.seed,
            device=args.device,
            checkpoint=out / "retrain.pt",
            on_epoch=on_epoch,
            on_batch=on_batch,
        )
    result.model.save(out / "model.safetensors")
    sizes = measure_sizes(pack(result.model))
    summary = {
        **_point_beside(args.genotype),
        "seed": args.seed,
        "val_accuracy": result.val_accuracy,
        "test_accuracy": result.test_accuracy,
        "model_size_bits": result.cost.model_size_bits,
        "file_bits": sizes.file,
        "dense_bits": sizes.dense,
        "bit_synops": result.cost.bit_synops,
        "timesteps": genotype.timesteps,
        "energy_mj": result.cost.energy_mj,
        "energy_bits_mj": result.cost.energy_bits_mj,
        "additions": result.cost.additions,
        "additions_exact": result.cost.additions_exact,
    }
    write_text(out / "result.json", json.dumps(summary, indent=2) + "\n")
    print(describe(genotype, recipe, result.cost, "measured on the validation split", sizes))
    print(f"\naccuracy {result.test_accuracy:.2f} % test, {result.val_accuracy:.2f} % validation")
    print(f"model: {out / 'model.safetensors'}; next: litesnn export {out / 'model.safetensors'}")


def run_evaluate(args: argparse.Namespace) -> None:
    device = _use_machine(args)
    model = _read_model(args.model, device)
    recipe = model.recipe
    if args.dataset:
        recipe = Recipe.from_dict({**recipe.to_dict(), "dataset": args.dataset})
    dataset = _load(args, recipe, searching=False)
    if dataset.classes != model.classes:
        raise fail("dataset", f"the model's classes {', '.join(model.classes)}", ", ".join(dataset.classes))
    dataset = dataset.with_statistics(model.mean, model.std)
    split = {"train": dataset.train, "val": dataset.val, "test": dataset.test}[args.split]
    timesteps = model.genotype.timesteps
    network = freeze(model.network)
    plan = make_plan(model.recipe, json.loads(model.genotype.to_json()))
    batch = max(1, min(EVAL_BATCH, _LARGEST_BATCH // plan.values))
    result = evaluate(
        lambda x: network(x, timesteps, measure_rates=True, count_spikes=True), dataset, split, timesteps, batch
    )
    counted = additions_per_sample(model.network, plan, result)
    cost = derived_cost(model.genotype, model.recipe, result.rates, counted)
    print(f"accuracy     {result.accuracy:.2f} % of {len(split)} samples of the {args.split} split")
    print(f"Bit-SynOps   {cost.bit_synops / 1e6:.3f} M per sample")
    print(f"additions    {additions_text(cost)} per sample")
    print(f"energy       {1e3 * cost.energy_mj:.3f} µJ per sample")
    print(f"  with bits  {energy_bits_text(cost)}")


def run_describe(args: argparse.Namespace) -> None:
    if args.network.suffix in (".safetensors", ".lsnn"):
        packed, _ = read_network(args.network)
        genotype = Genotype.from_json(json.dumps(dict(packed.genotype)))
        cost = derived_cost(genotype, packed.recipe, torch.from_numpy(packed.rates.copy()))
        print(describe(genotype, packed.recipe, cost, "spike rates of the validation split", measure_sizes(packed)))
        return
    args.genotype = args.network
    genotype, recipe = _read_genotype(args.network), _recipe_beside(args)
    rate = read_number("spike-rate", args.spike_rate)
    if not 0 <= rate <= 1:
        raise fail("spike-rate", "a number from 0 to 1", rate)
    genotype.check_fits(recipe)
    rates = torch.full((1 + recipe.cells * recipe.nodes, genotype.timesteps), rate)
    note = f"every neuron at an assumed spike rate of {rate:g}"
    print(describe(genotype, recipe, derived_cost(genotype, recipe, rates), note))


def _read_model(path: Path, device: torch.device) -> Model:
    return unpack(read_packed(path), device) if path.suffix == ".lsnn" else Model.load(path, device)


def _read_genotype(path: Path) -> Genotype:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"genotype: expected a readable JSON file, got {path} ({error})") from None
    return Genotype.from_json(text)


def _point_beside(genotype: Path) -> dict[str, float]:
    """λ1, λ2 and p that ``litesnn search`` noted beside a genotype; empty for a genotype from elsewhere."""
    try:
        values = json.loads((genotype.resolve().parent / "search.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    found = {name: values.get(name) for name in ("lambda1", "lambda2", "p")} if isinstance(values, dict) else {}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _recipe_beside(args: argparse.Namespace) -> Recipe:
    """The recipe of the options; without ``--preset`` they change the recipe.json beside the genotype."""
    if args.preset is not None:
        return recipe_from(args)
    beside = args.genotype.resolve().parent / "recipe.json"
    if not beside.is_file():
        raise InputError(
            f"preset: expected --preset, or a recipe.json beside the genotype, got neither in {beside.parent}"
        )
    try:
        values = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"recipe: expected JSON, got {beside} ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"recipe: expected an object, got {type(values).__name__} in {beside}")
    return recipe_from(args, base=values)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _use_machine(args: argparse.Namespace) -> torch.device:
    prepare_cpu(args.threads if args.threads is not None else _cores())
    device = check_device(args.device)
    args.device = str(device)
    return device


def _prepare(args: argparse.Namespace, default: str | Path) -> Path:
    """Checks seed, device, threads and the output folder before anything is loaded; nothing is written yet."""
    check_integer("seed", args.seed, minimum=0, maximum=LARGEST_SEED)
    _use_machine(args)
    if args.out is None:
        home = user_path("out", "~/litesnn-results/single")
        args.out = default if isinstance(default, Path) else home / default
    args.out = user_path("out", args.out)
    existing = next(folder for folder in (args.out, *args.out.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"out: expected a folder that can be written, got {args.out}")
    if (args.out / "point.json").exists():
        raise InputError(f"out: expected a folder of your own, got {args.out}, which holds a trial of an experiment")
    return args.out


def _load(args: argparse.Namespace, recipe: Recipe, *, searching: bool) -> Dataset:
    with reading_bar() as progress:
        return load(
            recipe,
            data_root=args.data_root,
            download=args.download,
            device=args.device,
            searching=searching,
            progress=progress,
            skip_damaged=args.skip_damaged,
            say=print,
        )
