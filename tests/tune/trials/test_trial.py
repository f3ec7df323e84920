"""A trial interrupted anywhere ends as an undisturbed one does."""

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from litesnn import InputError, Recipe, SearchPoint
from litesnn.export.convert import pack
from litesnn.genotype import Genotype
from litesnn.model import Model
from litesnn.phase import EpochRecord
from litesnn.retraining import Retrain
from litesnn.strategies import unsearched
from tests.tune.times import TIMES
from tune.storage.store import COLUMNS, STOPPED, TrialFolder
from tune.trials.reasons import CheckpointDamaged, Notice
from tune.trials.shared_data import Arrays, from_arrays
from tune.trials.trial import SupersededError, check_experiment_is_seen, search_and_retrain

POINT = SearchPoint(lambda1=1e-6, lambda2=1e-9, p=80)
CPU = torch.device("cpu")
STEPS = [("search", 1), ("search", 2), ("retrain", 1), ("retrain", 2), ("retrain", 3)]


class Killed(Exception):
    """Stands for a process that dies right after an epoch."""


def run(folder: Path, recipe: Recipe, data: dict[str, Arrays], die_after: int | None = None) -> list[EpochRecord]:
    reported: list[EpochRecord] = []

    def report(record: EpochRecord) -> None:
        reported.append(record)
        if len(reported) == die_after:
            raise Killed

    with contextlib.suppress(Killed):
        search_and_retrain(POINT, recipe, 7, TrialFolder(folder), data, CPU, report)
    return reported


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k not in TIMES | {"trial"}}


def steps(records: list[EpochRecord]) -> list[tuple[str, int]]:
    return [(record.phase, record.epoch) for record in records]


def assert_same_bits(folder: TrialFolder, other: TrialFolder) -> None:
    """Equal metrics, genotype, result and network."""
    mine, theirs = folder.read_records(), other.read_records()
    assert list(map(without_times, mine)) == list(map(without_times, theirs))
    assert folder.genotype.read_text() == other.genotype.read_text()
    assert without_times(folder.read_result() or {}) == without_times(other.read_result() or {})
    a, b = Model.load(folder.model, CPU), Model.load(other.model, CPU)
    for name, tensor in a.network.state_dict().items():
        assert torch.equal(tensor, b.network.state_dict()[name]), name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, data: dict[str, Arrays]) -> Path:
    torch.set_num_threads(1)  # comes before what is set for each test
    folder = tmp_path_factory.mktemp("trials") / "undisturbed"
    reported = run(folder, recipe, data)
    assert steps(reported) == STEPS
    return folder


def test_a_finished_trial_leaves_exactly_its_results(undisturbed: Path) -> None:
    names = {path.name for path in undisturbed.iterdir()}
    assert names == {"point.json", "metrics.jsonl", "genotype.json", "model.safetensors", "recipe.json", "result.json"}


@pytest.mark.parametrize("die_after", [1, 2, 3, 5])
def test_resuming_gives_the_undisturbed_result_and_repeats_only_the_last_report(
    tmp_path: Path, undisturbed: Path, recipe: Recipe, data: dict[str, Arrays], die_after: int
) -> None:
    first = run(tmp_path, recipe, data, die_after)
    second = run(tmp_path, recipe, data)
    assert steps(first) == STEPS[:die_after] and steps(second) == STEPS[die_after - 1 :]
    assert second[0] == first[-1]
    assert_same_bits(TrialFolder(tmp_path), TrialFolder(undisturbed))


def test_a_trial_killed_between_search_and_retraining_reports_the_search_again(
    tmp_path: Path, undisturbed: Path, recipe: Recipe, data: dict[str, Arrays], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object, **named: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("tune.trials.trial.Retrain", killed)
        first = run(tmp_path, recipe, data)
    assert (tmp_path / "genotype.json").exists()
    second = run(tmp_path, recipe, data)
    assert steps(first) == STEPS[:2] and steps(second) == STEPS[1:] and second[0] == first[-1]
    assert_same_bits(TrialFolder(tmp_path), TrialFolder(undisturbed))


@pytest.mark.parametrize("file", ["metrics.jsonl", "search.pt", "genotype.json", "retrain.pt", "model.safetensors"])
def test_a_kill_before_any_file_is_made_good(
    tmp_path: Path,
    undisturbed: Path,
    recipe: Recipe,
    data: dict[str, Arrays],
    monkeypatch: pytest.MonkeyPatch,
    file: str,
) -> None:
    """The process dies when the file would first take its place; what it leaves beside it is cleaned up in the end."""
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if Path(target).name == file:
            raise Killed
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        run(tmp_path, recipe, data)
    assert not (tmp_path / file).exists() and not (tmp_path / "result.json").exists()
    run(tmp_path, recipe, data)
    assert_same_bits(TrialFolder(tmp_path), TrialFolder(undisturbed))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(f".{file}") and file != "genotype.json"]


def test_the_result_is_the_whole_row(undisturbed: Path) -> None:
    result = TrialFolder(undisturbed).read_result() or {}
    assert set(COLUMNS) <= set(result)
    assert (result["search_epochs"], result["retrain_epochs"], result["p"], result["seed"]) == (2, 3, 80.0, 7)
    seconds = [record["seconds"] for record in TrialFolder(undisturbed).read_records()]
    assert result["seconds"] == pytest.approx(sum(seconds))
    assert result["search_seconds"] == pytest.approx(sum(seconds[:2]))


def test_a_stopped_trial_is_not_run_again(tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]) -> None:
    run(tmp_path, recipe, data, die_after=3)
    TrialFolder(tmp_path).write_result(STOPPED, reason="rung 3")
    assert run(tmp_path, recipe, data) == []
    result = TrialFolder(tmp_path).read_result() or {}
    assert (result["status"], result["phase"], result["epoch"]) == (STOPPED, "retrain", 1)
    assert not list(tmp_path.glob("*.pt"))


def test_the_saved_model_has_the_accuracy_that_the_result_says(undisturbed: Path, data: dict[str, Arrays]) -> None:
    folder = TrialFolder(undisturbed)
    packed = pack(Model.load(folder.model, CPU))
    result = folder.read_result() or {}
    assert result["size_bits"] == result["file_bits"] == 8 * len(packed.to_bytes())
    assert all(record["size_bits"] == record["file_bits"] for record in folder.read_records())
    dense = sum(layer.weights * layer.bits for layer in packed.plan.layers)
    assert folder.read_result()["dense_bits"] == dense >= folder.read_result()["model_size_bits"]
    model, test = Model.load(folder.model, CPU), from_arrays(data["retrain"]).test
    images = (test.inputs.float() / 255 - model.mean) / model.std
    with torch.no_grad():
        predicted = model.network(images, model.genotype.timesteps).logits.mean(0).argmax(1)
    accuracy = 100 * (predicted == test.labels).double().mean().item()
    assert accuracy == pytest.approx(folder.read_result()["test_accuracy"])


def test_a_point_of_another_width(tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]) -> None:
    point, reported = replace(POINT, channels=2 * recipe.retrain_channels), list[EpochRecord]()
    search_and_retrain(point, recipe, 7, TrialFolder(tmp_path), data, CPU, reported.append)
    own = run(tmp_path / "own", recipe, data)
    sizes = [[record.model_size_bits for record in records] for records in (reported, own)]
    assert sizes[0][:2] == sizes[1][:2] and sizes[0][2:] != sizes[1][2:], "the search counts the recipe's own width"
    model = Model.load(TrialFolder(tmp_path).model, CPU)
    assert model.recipe.retrain_channels == point.channels
    row = TrialFolder(tmp_path).row()
    assert row["channels"] == point.channels and json.loads((tmp_path / "point.json").read_text())["channels"]


def test_points_of_other_widths_take_the_search_from_the_first(
    tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]
) -> None:
    """The same network as without, only sooner; another seed searches for itself."""
    wide = replace(POINT, channels=2 * recipe.retrain_channels)

    def of(name: str, point: SearchPoint, seed: int, searches: Path | None) -> tuple[TrialFolder, list[EpochRecord]]:
        folder, reported = TrialFolder(tmp_path / name), list[EpochRecord]()
        search_and_retrain(point, recipe, seed, folder, data, CPU, reported.append, searches=searches)
        return folder, reported

    searches = tmp_path / "searches"
    own, _ = of("own", wide, 7, None)
    of("first", POINT, 7, searches)
    shared, reported = of("shared", wide, 7, searches)
    assert steps(reported) == STEPS[2:] and steps(of("again", wide, 8, searches)[1]) == STEPS
    assert sorted(path.name for path in searches.iterdir()) == [
        f"l1_1e-06-l2_1e-09-p_80-seed_{seed}.json" for seed in (7, 8)
    ]
    assert shared.genotype.read_text() == own.genotype.read_text()
    a, b = (Model.load(folder.model, CPU).network.state_dict() for folder in (own, shared))
    assert all(torch.equal(a[name], b[name]) for name in a)
    row, other = shared.row(), own.row()
    assert row["search_seconds"] == 0 < other["search_seconds"]
    assert {name for name in row if row[name] != other[name]} <= TIMES | {"trial", "search_epochs"}


def test_a_search_that_ended_at_the_gate_is_not_for_others(
    tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]
) -> None:
    def stop(record: EpochRecord) -> None:
        if record.epoch == recipe.search_epochs:
            raise Killed

    with pytest.raises(Killed):
        folder, searches = TrialFolder(tmp_path / "stopped"), tmp_path / "searches"
        search_and_retrain(POINT, recipe, 7, folder, data, CPU, stop, searches=searches)
    assert not searches.exists()


@pytest.mark.parametrize("strategy", ["random", "fixed"])
def test_a_strategy_without_a_search_retrains_alone(
    tmp_path: Path, recipe: Recipe, data: dict[str, Arrays], strategy: str
) -> None:
    """Killed and continued like any other; the folder of shared searches stays empty."""
    plain = replace(recipe, strategy=strategy)
    point = SearchPoint(lambda1=0, lambda2=0, p=80, held_bits=2)
    expected = unsearched(point, plain, 7)
    reported: list[EpochRecord] = []

    def once(record: EpochRecord) -> None:
        reported.append(record)
        raise Killed

    searches, folder = tmp_path / "searches", TrialFolder(tmp_path / "trial")
    with contextlib.suppress(Killed):
        search_and_retrain(point, plain, 7, folder, data, CPU, once, searches=searches)
    search_and_retrain(point, plain, 7, folder, data, CPU, reported.append, searches=searches)
    assert steps(reported) == [("retrain", 1), *STEPS[2:]] and not searches.exists()
    row = folder.row()
    assert expected is not None and Genotype.from_json(folder.genotype.read_text()) == expected
    assert (row["held_bits"], row["held_timesteps"], row["search_seconds"]) == (2, None, 0)
    assert expected.bits == (2,) * recipe.cells
    assert (row["bits"], row["timesteps"]) == (" ".join("2" * recipe.cells), expected.timesteps)


def test_a_network_that_starts_from_another_one_equals_that_retraining_by_hand(
    tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]
) -> None:
    """Interrupted after its first epoch: it keeps its parent, however that stands meanwhile."""
    plain = replace(recipe, strategy="fixed", warm_epochs=2)
    point, cheaper = (
        SearchPoint(lambda1=0, lambda2=0, p=0, held_bits=b, held_timesteps=t) for b, t in ((4, 1), (1, 2))
    )
    root, folder = TrialFolder(tmp_path / "root"), TrialFolder(tmp_path / "warm")
    search_and_retrain(point, plain, 7, root, data, CPU, lambda record: None)
    reported: list[EpochRecord] = []

    def once(record: EpochRecord) -> None:
        reported.append(record)
        raise Killed

    with contextlib.suppress(Killed):
        search_and_retrain(cheaper, plain, 7, folder, data, CPU, once, parent="root")
    search_and_retrain(cheaper, plain, 7, folder, data, CPU, reported.append)
    assert steps(reported) == [("retrain", 1), ("retrain", 1), ("retrain", 2)]
    assert {record.epochs for record in reported} == {2} and folder.row()["parent"] == "root"
    genotype = unsearched(cheaper, plain, 7)
    assert genotype is not None
    warm = replace(plain, retrain_epochs=2, retrain_lr=plain.retrain_lr / 2)
    by_hand = Retrain(genotype, warm, from_arrays(data["retrain"]), seed=7, device=CPU)
    by_hand.network.load_state_dict(Model.load(root.model, CPU).network.state_dict(), strict=False)
    for _ in range(2):
        by_hand.run_epoch()
    expected, got = by_hand.network.state_dict(), Model.load(folder.model, CPU).network.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in got.items())


@pytest.mark.parametrize("file", ["cold/point.json", "root/result.json"])
@pytest.mark.parametrize("content", ["{", '{"parent": 3}'])
def test_damaged_files_decide_nothing(tmp_path: Path, file: str, content: str) -> None:
    for name in ("root", "cold"):
        (tmp_path / name).mkdir()
    (tmp_path / "root" / "result.json").write_text('{"status": "finished"}')
    (tmp_path / file).write_text(content)
    parent = TrialFolder(tmp_path / "cold").parent("root")
    assert (parent is not None) == file.startswith("cold")


@pytest.mark.parametrize("status", [None, "stopped", "failed"])
def test_a_network_whose_parent_has_not_finished_is_trained_from_scratch(
    tmp_path: Path, recipe: Recipe, data: dict[str, Arrays], status: str | None
) -> None:
    """And stays so when the parent has finished later."""
    plain = replace(recipe, strategy="fixed", warm_epochs=2)
    point = SearchPoint(lambda1=0, lambda2=0, p=0, held_bits=1, held_timesteps=1)
    root, folder = TrialFolder(tmp_path / "root"), TrialFolder(tmp_path / "cold")
    if status:
        root.write_result(status, reason="bad luck")

    def once(record: EpochRecord) -> None:
        raise Killed

    with contextlib.suppress(Killed):
        search_and_retrain(point, plain, 7, folder, data, CPU, once, parent="root")
    search_and_retrain(point, plain, 7, root, data, CPU, lambda record: None)
    search_and_retrain(point, plain, 7, folder, data, CPU, lambda record: None, parent="root")
    row, same = folder.row(), root.row()
    assert row["parent"] == "" and row["retrain_epochs"] == recipe.retrain_epochs
    if status == "stopped":  # which stays
        assert same["status"] == status
    else:
        assert row["test_accuracy"] == same["test_accuracy"] and row["file_bits"] == same["file_bits"]


def test_a_search_of_a_point_that_states_bits_and_timesteps(
    tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]
) -> None:
    point = replace(POINT, held_bits=1, held_timesteps=2)
    reported: list[EpochRecord] = []
    search_and_retrain(point, recipe, 7, TrialFolder(tmp_path), data, CPU, reported.append)
    assert steps(reported) == STEPS and {record.timesteps for record in reported} == {2}
    genotype = Genotype.from_json((tmp_path / "genotype.json").read_text())
    assert (genotype.bits, genotype.timesteps) == ((1,) * recipe.cells, 2)


def test_a_trial_with_an_outcome_is_not_run_again(tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]) -> None:
    """Ray repeats a trial whose process died between its result and its end."""
    run(tmp_path, recipe, data)
    (tmp_path / "retrain.pt").touch()
    before = (tmp_path / "result.json").read_bytes()
    assert run(tmp_path, recipe, data) == []
    assert (tmp_path / "result.json").read_bytes() == before and not (tmp_path / "retrain.pt").exists()


def test_an_earlier_failure_is_forgotten(tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]) -> None:
    TrialFolder(tmp_path).write_result("failed", reason="out of luck")
    run(tmp_path, recipe, data, die_after=1)
    assert TrialFolder(tmp_path).read_result() is None


def test_a_diverging_point_is_an_outcome(tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]) -> None:
    point = SearchPoint(lambda1=1e300, lambda2=0, p=50)  # times any number of bits: infinite in single precision
    search_and_retrain(point, recipe, 0, TrialFolder(tmp_path), data, CPU, lambda record: None)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["status"] == "diverged"
    assert re.fullmatch("the loss became (inf|nan) in search epoch 1", result["reason"])


def test_a_gpu_without_room_fails_an_attempt_in_one_line_and_the_next_goes_on(
    tmp_path: Path, recipe: Recipe, data: dict[str, Arrays], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")

    with monkeypatch.context() as patch:
        patch.setattr(Retrain, "step", full)
        with pytest.raises(
            InputError, match=r"\Aretrain_batch: expected [^\n]+ \(Tried to allocate 2.00 GiB\)[^\n]+\Z"
        ):
            run(tmp_path, recipe, data)
    assert not (tmp_path / "result.json").exists()
    assert steps(run(tmp_path, recipe, data)) == STEPS[1:]  # the last epoch of the search is reported once more


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]) -> None:
    run(tmp_path, recipe, data, die_after=1)
    other = Recipe.from_dict({**recipe.to_dict(), "weight_lr": 0.05})
    with pytest.raises(InputError, match="weight_lr = 0.05, got one with weight_lr = 0.2"):
        run(tmp_path, other, data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(byte ^ 1 for byte in content[middle : middle + 200])  # more than padding
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, alter, Path.touch, Path.unlink])
@pytest.mark.parametrize("die_after", [2, 5])
def test_where_the_newest_checkpoint_is_damaged_the_one_before_is_used(
    tmp_path: Path, undisturbed: Path, recipe: Recipe, data: dict[str, Arrays], die_after: int, damage: Callable
) -> None:
    phase, epoch = STEPS[die_after - 1]
    first = run(tmp_path, recipe, data, die_after)
    if damage is Path.touch:
        (tmp_path / f"{phase}.pt").write_bytes(b"")
    else:
        damage(tmp_path / f"{phase}.pt")
    said: list[Notice] = []
    again: list[EpochRecord] = []
    search_and_retrain(POINT, recipe, 7, TrialFolder(tmp_path), data, CPU, again.append, said.append)
    assert steps(again) == STEPS[die_after - 2 :] and again[0] == first[-2]
    gone = damage is Path.unlink  # killed between the two renames: nothing is damaged
    assert said == ([] if gone else [CheckpointDamaged(phase=phase, epoch=epoch - 1)])
    assert_same_bits(TrialFolder(tmp_path), TrialFolder(undisturbed))
    assert not list(tmp_path.glob("*.pt"))


def test_where_both_checkpoints_are_damaged_the_phase_starts_again(
    tmp_path: Path, undisturbed: Path, recipe: Recipe, data: dict[str, Arrays]
) -> None:
    run(tmp_path, recipe, data, die_after=4)
    for path in tmp_path.glob("retrain*.pt"):
        truncate(path)
    assert len(list(tmp_path.glob("retrain*.pt"))) == 2
    said: list[Notice] = []
    again: list[EpochRecord] = []
    search_and_retrain(POINT, recipe, 7, TrialFolder(tmp_path), data, CPU, again.append, said.append)
    assert steps(again) == STEPS[2:] and said == [CheckpointDamaged(phase="retrain", epoch=0)]
    assert_same_bits(TrialFolder(tmp_path), TrialFolder(undisturbed))


def test_an_attempt_that_was_given_up_writes_no_more(tmp_path: Path, recipe: Recipe, data: dict[str, Arrays]) -> None:
    """A host that the network lost goes on for a while; another attempt finishes the trial meanwhile."""
    folder = TrialFolder(tmp_path)
    reports: list[EpochRecord] = []

    def report(record: EpochRecord) -> None:
        reports.append(record)
        if len(reports) == 3:
            run(tmp_path, recipe, data)

    with pytest.raises(SupersededError):
        search_and_retrain(POINT, recipe, 7, folder, data, CPU, report)
    assert len(reports) == 3 and len(folder.read_records()) == len(STEPS)
    assert (folder.read_result() or {})["status"] == "finished"
    assert not list(tmp_path.glob("*.pt")) and not (tmp_path / "attempt.txt").exists()


def test_a_host_that_does_not_see_the_experiment_is_refused(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "name" / "trials" / "trial")
    with pytest.raises(InputError, match=r"\Astorage: expected the experiment .*name on .+, which does not see it\Z"):
        check_experiment_is_seen(folder)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "name").mkdir()
    (tmp_path / "name" / "experiment.json").write_text("{}")
    check_experiment_is_seen(folder)
