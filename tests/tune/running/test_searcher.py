"""The searcher without a cluster, on an objective given by a formula; one test runs it in Ray."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from litesnn.checks import InputError
from litesnn.config import SearchPoint
from tune.plan.points import Trial
from tune.plan.space import Space
from tune.plan.study import SAMPLERS, make_sampler, open_storage
from tune.running.searcher import ParetoSearcher

SPACE = Space(lambda1=(1e-8, 1e-5), lambda2=(1e-11, 1e-8), p=(0, 95))


def figures(point: SearchPoint, seed: int) -> dict[str, float]:
    """A trade-off: each λ and p cost accuracy and save size or operations; the best p grows with λ1."""
    x1, x2 = (
        0.0 if value == 0 else np.log10(value / low) / 3
        for value, low in ((point.lambda1, 1e-8), (point.lambda2, 1e-11))
    )
    accuracy = 95 - 25 * x1**2 - 15 * x2**2 - 30 * (point.p / 95 - 0.3 - 0.5 * x1) ** 2 + 0.1 * seed
    kept = 1 - point.p / 100
    return {
        "val_accuracy": accuracy,
        "size_bits": 1e7 * kept * (1 - 0.8 * x1),
        "bit_synops": 1e8 * kept * (1 - 0.5 * x1) * (1 - 0.8 * x2),
    }


class Folders:
    """What the trials' folders would hold; ``status`` decides what becomes of the i-th trial."""

    def __init__(self, status: Callable[[int], str] = lambda i: "finished") -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.status = status

    def config(self, trial: Trial) -> dict[str, Any]:
        return {"trial": trial.name, "point": trial.point, "seed": trial.seed}

    def outcome(self, name: str) -> dict[str, Any] | None:
        return self.rows.get(name)

    def searcher(self, count: int, **options: Any) -> ParetoSearcher:
        return ParetoSearcher(
            **{"space": SPACE, **options},
            count=count,
            config=self.config,
            outcome=self.outcome,
            known=list(self.rows.values()),
        )

    def write(self, config: dict[str, Any], status: str) -> None:
        point, seed = config["point"], config["seed"]
        values = {**point.to_dict(), "seed": seed}
        self.rows.pop(config["trial"], None)
        self.rows[config["trial"]] = {"trial": config["trial"], "status": status, **values, **figures(point, seed)}

    def run(self, searcher: ParetoSearcher, steps: int = 1000) -> list[dict[str, Any]]:
        """One trial after the other; returns what was suggested."""
        done = []
        while len(done) < steps and (config := searcher.suggest(f"ray{len(done)}")) != Searcher.FINISHED:
            status = self.status(len(self.rows))
            self.write(config, status)
            searcher.on_trial_complete(f"ray{len(done)}", {"val_accuracy": 0.0}, error=status == "failed")
            done.append(config)
        return done


def content(study: optuna.Study) -> list[tuple[Any, ...]]:
    """What a study knows, whatever the order."""
    return sorted(
        (t.state.name, sorted(t.params.items()), t.values or [], t.user_attrs.get("trial", ""))
        for t in study.trials
        if "repeats" not in t.user_attrs
    )


def test_states_and_values_are_those_of_the_folders() -> None:
    states = {0: "stopped", 1: "diverged", 2: "failed"}
    folders = Folders(lambda i: states.get(i, "finished"))
    searcher = folders.searcher(20)
    assert searcher.remaining == 20
    configs = folders.run(searcher)
    assert len(configs) == 20 and searcher.remaining == 0
    trials = searcher.study.trials
    expected = [TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL] + 17 * [TrialState.COMPLETE]
    assert [t.state for t in trials] == expected
    assert all(t.values is None for t in trials[:3])
    for trial, config in zip(trials[3:], configs[3:], strict=True):
        row = folders.rows[config["trial"]]
        logs = [np.log10(row["size_bits"]), np.log10(row["bit_synops"])]
        assert trial.values == pytest.approx([row["val_accuracy"], *logs])
        assert trial.user_attrs["trial"] == config["trial"]
    assert [d.name for d in searcher.study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]


def test_widths_are_chosen_in_steps_of_the_nodes_and_known_ones_teach() -> None:
    space = Space(lambda1=(1e-8, 1e-5), lambda2=(1e-10, 1e-7), channels=(8, 24), multiple=4)
    folders = Folders()

    def searcher(count: int) -> ParetoSearcher:
        rows = list(folders.rows.values())
        return ParetoSearcher(space, count=count, config=folders.config, outcome=folders.rows.get, known=rows)

    points = [config["point"] for config in folders.run(searcher(12))]
    widths = {point.channels for point in points}
    assert widths <= set(range(8, 25, 4)) and len(widths) > 2 and all(space.contains(point) for point in points)
    folders.write(folders.config(Trial(point=SearchPoint(lambda1=0, lambda2=0, p=50), seed=0)), "finished")
    again = searcher(14)  # the point without a width counts, and does not teach
    assert {t.params["channels"] for t in again.study.trials if t.state == TrialState.COMPLETE} == widths
    assert len(folders.run(again)) == 1


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_without_a_search_bits_and_timesteps_are_chosen(sampler: str) -> None:
    """And known points teach: a study opened anew has them with their parameters."""
    space = Space(lambda1=None, lambda2=None, p=(0, 80), held_bits=(1, 2, 4), held_timesteps=(1, 4))
    folders = Folders()
    options = {"space": space, "sampler": sampler}
    points = [config["point"] for config in folders.run(folders.searcher(15, **options))]
    assert len(set(points)) == 15 and all(map(space.contains, points))
    assert len({point.held_bits for point in points}) > 1 and len({point.held_timesteps for point in points}) > 1
    known = folders.searcher(16, **options).study.trials
    stated = {(trial.params["held_bits"], trial.params["held_timesteps"], trial.params["p"]) for trial in known}
    assert stated == {(point.held_bits, point.held_timesteps, point.p) for point in points}
    assert all(set(trial.params) == {"p", "held_bits", "held_timesteps"} for trial in known)


def test_points_are_in_the_space_rounded_and_sometimes_zero() -> None:
    folders = Folders()
    points = [config["point"] for config in folders.run(folders.searcher(40))]
    assert all(SPACE.contains(point) for point in points)
    assert all(SPACE.rounded(n, getattr(q, n)) == getattr(q, n) for q in points for n in ("lambda1", "p") if q.lambda1)
    for name in ("lambda1", "lambda2"):
        zeros = sum(getattr(point, name) == 0 for point in points)
        assert 0 < zeros < 40


def test_without_zero_every_lambda_is_positive() -> None:
    space = Space(lambda1=(1e-8, 1e-5), lambda2=(1e-11, 1e-8), zero=False)
    folders = Folders()
    assert all(c["point"].lambda1 and c["point"].lambda2 for c in folders.run(folders.searcher(15, space=space)))


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_point_never_comes_twice_and_a_small_space_ends(sampler: str) -> None:
    space = Space(lambda1=(1e-8, 1e-8), lambda2=(1e-11, 1e-11), p=(50, 50.3))
    folders = Folders()
    configs = folders.run(folders.searcher(40, space=space, sampler=sampler))
    assert len({config["trial"] for config in configs}) == len(configs) == 2 * 2 * 4


def test_the_same_seed_suggests_the_same_and_another_seed_others() -> None:
    names = []
    for seed in (0, 0, 1):
        folders = Folders()
        names.append([config["point"] for config in folders.run(folders.searcher(12, seed=seed))])
    assert names[0] == names[1] != names[2]


def test_repeating_a_command_runs_the_rest_and_the_study_is_the_same() -> None:
    folders = Folders(lambda i: "stopped" if i % 5 == 4 else "finished")
    first = folders.searcher(40)
    folders.run(first, 17)
    before = content(first.study)
    again = folders.searcher(40)
    assert content(again.study) == before
    assert again.remaining == 23
    assert len(folders.run(again)) == 23
    assert len(folders.rows) == 40
    assert folders.run(folders.searcher(40)) == folders.run(folders.searcher(30)) == []
    assert len(folders.run(folders.searcher(43))) == 3


def test_interrupted_and_failed_trials_come_first_with_their_point_and_seed() -> None:
    folders = Folders()
    searcher = folders.searcher(12)
    folders.run(searcher, 5)
    left = [searcher.suggest("x"), searcher.suggest("y")]
    folders.write(left[0], "unfinished")
    folders.write(left[1], "failed")
    again = folders.searcher(12)
    assert sum(t.state == TrialState.RUNNING for t in again.study.trials) == 2
    assert again.remaining == 7
    assert folders.run(again)[:2] == left
    assert sum(t.state == TrialState.COMPLETE for t in again.study.trials) == 12


def test_a_diverged_point_is_over_and_a_damaged_folder_is_not_in_the_way() -> None:
    folders = Folders()
    folders.run(folders.searcher(3))
    next(iter(folders.rows.values()))["status"] = "diverged"
    folders.rows["l1_0-l2_0-p_7-seed_0"] = dict.fromkeys(("lambda1", "lambda2", "p", "seed"), float("nan")) | {
        "trial": "l1_0-l2_0-p_7-seed_0",
        "status": "failed",
    }
    searcher = folders.searcher(5)
    assert len(folders.run(searcher)) == 2
    assert [t.state for t in searcher.study.trials].count(TrialState.FAIL) == 1


def test_points_outside_the_space_count_but_do_not_teach() -> None:
    folders = Folders()
    folders.write(folders.config(Trial(point=SearchPoint(lambda1=1, lambda2=0, p=50), seed=0)), "finished")
    folders.write(folders.config(Trial(point=SearchPoint(lambda1=0, lambda2=0, p=99), seed=0)), "unfinished")
    searcher = folders.searcher(3)
    assert not searcher.study.trials
    assert [c["point"].p for c in folders.run(searcher)][0] == 99
    assert len(folders.rows) == 3 and len(searcher.study.trials) == 1


def test_an_outcome_that_comes_late_is_told_later() -> None:
    folders = Folders()
    searcher = folders.searcher(2)
    config = searcher.suggest("x")
    searcher.on_trial_complete("x")
    assert searcher.study.trials[0].state == TrialState.RUNNING
    folders.write(config, "stopped")
    searcher.settle()
    assert searcher.study.trials[0].state == TrialState.PRUNED


def test_several_seeds_are_run_one_after_the_other_and_told_as_their_mean() -> None:
    folders = Folders(lambda i: "diverged" if i == 1 else "finished")
    searcher = folders.searcher(3, seeds=3, seed=4)
    assert searcher.remaining == 9
    configs = folders.run(searcher)
    assert [c["seed"] for c in configs] == [4, 5, 6] * 3
    assert len({c["point"] for c in configs[:3]}) == 1
    # seeds 4 and 6 finished; the figures grow by 0.1 with each
    assert searcher.study.trials[0].values[0] == pytest.approx(figures(configs[0]["point"], 5)["val_accuracy"])
    assert len(searcher.study.trials) == 3


def test_more_seeds_are_added_to_known_points() -> None:
    folders = Folders()
    folders.run(folders.searcher(3))
    configs = folders.run(folders.searcher(4, seeds=2))
    assert [c["seed"] for c in configs] == [1, 1, 1, 0, 1]
    # another --seed leaves them as they are
    assert folders.run(folders.searcher(4, seed=9)) == []


@pytest.fixture(params=["journal", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"journal://{tmp_path}/study.log" if request.param == "journal" else f"sqlite:///{tmp_path}/study.db"


def test_a_stored_study_opens_in_optuna_and_nothing_is_added_twice(url: str) -> None:
    folders = Folders(lambda i: "stopped" if i == 3 else "finished")
    first = folders.searcher(20, storage_url=url, study_name="s")
    folders.run(first, 8)
    running = first.suggest("x")  # the process is killed now: one trial has begun,
    folders.write(running, "unfinished")
    unseen = first.suggest("y")  # another one not yet,
    told_late = first.suggest("z")  # and one has finished unheard
    folders.write(told_late, "finished")
    again = folders.searcher(20, storage_url=url, study_name="s")
    assert again.remaining == 11
    configs = folders.run(again)
    assert [c["trial"] for c in configs[:2]] == [running["trial"], unseen["trial"]]
    study = optuna.load_study(study_name="s", storage=open_storage(url))
    assert content(study) == content(again.study)
    states = [t.state for t in study.trials if "repeats" not in t.user_attrs]
    assert states.count(TrialState.COMPLETE) == 19 and states.count(TrialState.PRUNED) == 1 and len(states) == 20
    assert study.metric_names is not None
    before = content(study)
    folders.searcher(20, storage_url=url, study_name="s")
    assert content(study) == before


def test_a_lost_study_is_rebuilt_from_the_folders(url: str) -> None:
    folders = Folders()
    first = folders.searcher(8)
    folders.run(first)
    assert content(folders.searcher(8, storage_url=url).study) == content(first.study)


def test_a_trial_that_failed_and_was_repaired_is_told_again(url: str) -> None:
    folders = Folders(lambda i: "failed")
    folders.run(folders.searcher(1, storage_url=url))
    folders.status = lambda i: "finished"
    searcher = folders.searcher(1, storage_url=url)
    assert len(folders.run(searcher)) == 1
    assert [t.state for t in searcher.study.trials] == [TrialState.FAIL, TrialState.COMPLETE]


def test_a_study_of_other_objectives_is_refused(url: str) -> None:
    optuna.create_study(study_name="s", storage=open_storage(url), direction="minimize")
    with pytest.raises(InputError, match="optuna-storage: expected a study 's' that has the objectives"):
        Folders().searcher(1, storage_url=url, study_name="s")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nothing",
        "oracle7://x",
        "journal:///no/such/folder/a.log",
        "sqlite:////no/such/folder/a.db",
        "/no/a.journal",
    ],
)
def test_a_bad_storage_is_one_line(url: str) -> None:
    with pytest.raises(InputError, match="^optuna-storage: expected a journal file .* got [^\n]*$"):
        Folders().searcher(1, storage_url=url)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(InputError) as caught:
        Folders().searcher(1, storage_url="postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value) and "me:***@" in str(caught.value)


def test_a_file_that_is_no_journal_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    file.write_text("started\n")
    with pytest.raises(InputError, match="optuna-storage"):
        Folders().searcher(1, storage_url=str(file))
    assert file.read_text() == "started\n"


@pytest.mark.parametrize(
    "name", ["", "cma", "CmaEsSampler", "GridSampler", "BruteForceSampler", "BaseSampler", "nsgaii"]
)
def test_samplers_that_cannot_do_it_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="^search: expected one of tpe, nsga2[^\n]*$"):
        make_sampler(name, 0)


@pytest.mark.parametrize(("field", "options"), [("num-points", {"count": 0}), ("seeds", {"count": 1, "seeds": 0})])
def test_bad_counts(field: str, options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"^{field}: "):
        Folders().searcher(**options)


def dominated_volume(folders: Folders) -> float:
    """Share of a box of (accuracy, log10 size, log10 Bit-SynOps) that the trials dominate, by throwing darts."""
    darts = np.random.default_rng(0).uniform([60, 5, 6], [95, 7, 8], (4000, 3))
    hit = np.zeros(len(darts), dtype=bool)
    for row in folders.rows.values():
        logs = np.log10([row["size_bits"], row["bit_synops"]])
        hit |= (darts[:, 0] <= row["val_accuracy"]) & (darts[:, 1:] >= logs).all(1)
    return float(hit.mean())


def test_results_teach_the_default_sampler() -> None:
    volumes: dict[str, list[float]] = {"tpe": [], "random": []}
    for seed in range(5):
        for sampler, found in volumes.items():
            folders = Folders()
            folders.run(folders.searcher(40, sampler=sampler, seed=seed))
            found.append(dominated_volume(folders))
    assert np.mean(volumes["tpe"]) > np.mean(volumes["random"])


@pytest.mark.parametrize("name", [*SAMPLERS, "TPESampler"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_every_sampler_works_across_a_resume(name: str) -> None:
    folders = Folders()
    folders.run(folders.searcher(11, sampler=name))
    assert len(folders.run(folders.searcher(13, sampler=name))) == 2


def test_a_genetic_sampler_breeds_from_known_trials() -> None:
    folders = Folders()
    folders.run(folders.searcher(50, sampler="nsga2"))
    again = folders.searcher(51, sampler="nsga2")
    folders.run(again)
    generations = [t.system_attrs["NSGAIISampler:generation"] for t in again.study.trials]
    assert generations == 50 * [0] + [1]


def test_ray_may_save_and_pickle_it(tmp_path: Path) -> None:
    folders = Folders()
    searcher = folders.searcher(6)
    folders.run(searcher, 2)
    searcher.save_to_dir(str(tmp_path))
    assert not list(tmp_path.iterdir())
    written = pickle.loads(pickle.dumps(_pickled(searcher)))
    assert written.study is None and written.remaining == searcher.remaining  # an address may hold a password
    searcher.restore(str(tmp_path / "none"))
    assert len(folders.run(searcher)) == 4


def _pickled(searcher: ParetoSearcher) -> ParetoSearcher:
    twin = copy.copy(searcher)
    twin._config, twin._outcome = str, dict  # type: ignore[assignment]  # the test's own are local
    return twin


@pytest.mark.cluster
def test_in_ray(tmp_path: Path) -> None:
    import ray
    from ray import tune as ray_tune

    folders = Folders(lambda i: "stopped" if i % 4 == 3 else "finished")

    def config(trial: Trial) -> dict[str, Any]:
        folders.write(folders.config(trial), folders.status(len(folders.rows)))
        return {"trial": trial.name}

    searcher = ParetoSearcher(SPACE, count=8, config=config, outcome=folders.outcome)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        results = ray_tune.Tuner(
            lambda config: ray_tune.report({"done_by": config["trial"]}),
            tune_config=ray_tune.TuneConfig(
                search_alg=searcher, num_samples=searcher.remaining, max_concurrent_trials=2
            ),
            run_config=ray_tune.RunConfig(storage_path=str(tmp_path), verbose=0),
        ).fit()
    finally:
        ray.shutdown()
    assert len(results) == 8
    assert {result.metrics["done_by"] for result in results if result.metrics} == set(folders.rows)
    states = [trial.state for trial in searcher.study.trials]
    assert states.count(TrialState.COMPLETE) == 6 and states.count(TrialState.PRUNED) == 2 and len(states) == 8


def test_a_foreign_unfinished_trial_does_not_keep_a_search_from_being_done() -> None:
    """An interrupted run of another design under the same name: the search has its points without it."""
    folders = Folders()
    folders.run(folders.searcher(3))
    point = SearchPoint(lambda1=1e-6, lambda2=1e-9, p=50)
    folders.write({"trial": Trial(point=point, seed=0).name, "point": point, "seed": 0}, "unfinished")
    assert folders.searcher(3).done
    more = folders.searcher(4)
    assert not more.done
    folders.run(more)
    assert more.done
