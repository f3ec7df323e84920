"""The stopping rule: rungs drawn by hand, ranking against brute force, and the properties that it promises."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from litesnn.checks import InputError
from litesnn.config import SearchPoint
from tune.plan.points import Trial
from tune.running.halving import Entry, Halving, Rungs, Verdict, judge, normalised, ranking

RULE = Halving(search_epochs=8, retrain_epochs=15, chance=10.0, quorum=1, keep_largest=False, earliest=0.2)
PLAIN = replace(RULE, noise_margin=0, catch_up=0)

# A rung by hand; Bit-SynOps are 10 times the size, so that two dimensions can be drawn. Chance 10, best 98, floor
# 10 + (98 - 10) / 4 = 32. On the axes the error is (98 - accuracy) / 66 and the cost a quarter per doubling from 10.
#
#   98 |           a        d     d is as accurate as a and larger: dominated
#   90 |      b        e          e is dominated by b
#   80 |   c
#   40 |f                         far behind, but by far the smallest: an extreme of the front
#   20 |         g                below the floor
#       10 20 40  60  80  90 160  size
#
#     error  cost   volume of a box to the corner (1, 1.1, 1.1) that no other entry of its rank covers
#   f 58/66  0      (1     - 58/66) * (1.1²  - 0.85²)  = 0.0591
#   c 18/66  0.25   (58/66 - 18/66) * (0.85² - 0.6²)   = 0.2197
#   b  8/66  0.5    (18/66 -  8/66) * (0.6²  - 0.35²)  = 0.0360
#   a  0     0.75    8/66           *  0.35²           = 0.0148    front: c, f, b, a
#   e  8/66  0.79   (1     -  8/66) * (0.3075² - 0.1²) = 0.0743
#   d  0     1       8/66           *  0.1²            = 0.0012    second rank: e, d
DRAWN: dict[str, Entry] = {
    "a": (98.0, 80, 800),
    "b": (90.0, 40, 400),
    "c": (80.0, 20, 200),
    "d": (98.0, 160, 1600),
    "e": (90.0, 90, 900),
    "f": (40.0, 10, 100),
    "g": (20.0, 60, 600),
}


@pytest.mark.parametrize(
    ("trial", "goes_on", "rank"),
    [
        ("a", True, 1),  # the most accurate one comes first whatever its loss
        ("b", True, 3),
        ("c", True, 1),
        ("d", False, 6),
        ("e", False, 5),
        ("f", True, 2),
        ("g", False, 7),  # six are more accurate
    ],
)
def test_rung_drawn_by_hand(trial: str, goes_on: bool, rank: int) -> None:
    assert judge(DRAWN, trial, PLAIN) == Verdict(goes_on=goes_on, rank=rank, of=7)


def test_ranks_and_losses_of_the_drawing() -> None:
    values = np.array([DRAWN[trial] for trial in "fcbaed"])
    depth, loss = ranking(normalised(values, 32.0))
    assert depth.tolist() == [0, 0, 0, 0, 1, 1]
    # The front as slabs of error, each as large as the cheapest network that is good enough for it.
    volume = (8 * 0.35**2 + 10 * 0.6**2 + 40 * 0.85**2 + 8 * 1.1**2) / 66
    cost_of_e = math.log2(9) / 4
    lost = [
        8 / 66 * (1.1**2 - 0.85**2),
        40 / 66 * (0.85**2 - 0.6**2),
        10 / 66 * (0.6**2 - 0.35**2),
        8 / 66 * 0.35**2,
        58 / 66 * ((1.1 - cost_of_e) ** 2 - 0.1**2),
        8 / 66 * 0.1**2,
    ]
    assert loss * volume == pytest.approx(np.array(lost))


@pytest.mark.parametrize(
    ("share", "survivors"),
    [
        (0.01, "abcf"),
        (0.06, "acf"),
        (0.1, "acf"),  # f is the smallest
        (0.5, "af"),
    ],  # shares of the volume: c 0.336, f 0.090, b 0.055, a 0.023
)
def test_the_least_loss_decides_among_the_front(share: float, survivors: str) -> None:
    rule = replace(PLAIN, least_loss=share)
    assert "".join(trial for trial in DRAWN if judge(DRAWN, trial, rule).goes_on) == survivors


def test_credit_for_catching_up_saves_a_small_network() -> None:
    """Dominated as it stands, but 52 + 1 + 0.3 * (90 - 52) = 64.4 is above 60, which 45 + 1 + 0.3 * 45 is not."""
    rung = {"a": (90.0, 100.0, 100.0), "b": (60.0, 20.0, 20.0)}
    assert not judge({**rung, "c": (52.0, 20.0, 20.0)}, "c", PLAIN).goes_on
    assert judge({**rung, "c": (52.0, 20.0, 20.0)}, "c", RULE).goes_on
    assert not judge({**rung, "c": (45.0, 20.0, 20.0)}, "c", RULE).goes_on


def test_noise_alone_is_a_margin_in_points() -> None:
    rung = {"a": (99.0, 100.0, 100.0), "b": (95.0, 20.0, 20.0)}
    noise = replace(PLAIN, noise_margin=2.0, least_loss=1e-6)
    assert judge({**rung, "c": (93.5, 20.0, 20.0)}, "c", noise).goes_on
    assert not judge({**rung, "c": (93.0, 20.0, 20.0)}, "c", noise).goes_on  # equal is not more


def test_a_full_rung_lets_one_in_reduction_factor_on() -> None:
    front = {f"t{i}": (50.0 + i, 100.0 * 1.1**i, 100.0 * 1.1**i) for i in range(20)}
    strict = replace(PLAIN, reduction_factor=4, least_loss=1e-9, noise_margin=1)
    verdicts = {trial: judge(front, trial, strict) for trial in front}
    assert verdicts["t19"].goes_on, "the most accurate"
    assert all(verdict.rank <= 5 for trial, verdict in verdicts.items() if verdict.goes_on and trial != "t19")
    fewer = {trial: front[trial] for trial in list(front)[:19]}
    assert all(judge(fewer, trial, strict).goes_on for trial in fewer), "a rung that is not full turns nobody away"


@pytest.mark.parametrize(
    ("lengths", "rungs"),
    [
        ((8, 15), [("search", 4), ("search", 8), ("retrain", 8)]),
        ((50, 200), [("search", 25), ("search", 50), ("retrain", 100)]),
        ((3, 12), [("search", 2), ("search", 3), ("retrain", 6)]),
        ((2, 8), [("search", 2), ("retrain", 4)]),
        ((1, 1), [("search", 1)]),
    ],
)
def test_rungs_of_the_presets(lengths: tuple[int, int], rungs: list[tuple[str, int]]) -> None:
    assert list(Halving(search_epochs=lengths[0], retrain_epochs=lengths[1], chance=10).rungs) == rungs


def test_rungs_of_other_settings() -> None:
    def rungs(**changes: float) -> list[tuple[str, int]]:
        return list(Halving(search_epochs=8, retrain_epochs=16, chance=10, **changes).rungs)  # type: ignore[arg-type]

    assert rungs(reduction_factor=4) == [("search", 4), ("search", 8), ("retrain", 8)]
    assert rungs(earliest=0.2) == [("search", 2), ("search", 4), ("search", 8), ("retrain", 4), ("retrain", 8)]
    assert rungs(reduction_factor=1.3) == [("search", e) for e in (5, 7, 8)] + [("retrain", 10), ("retrain", 13)]


def test_the_gate_stands_whatever_the_grace_period() -> None:
    assert Halving(search_epochs=8, retrain_epochs=15, chance=10, grace_period=9).rungs == (("search", 8),)


@pytest.mark.parametrize(
    "change",
    [
        {"search_epochs": 0},
        {"retrain_epochs": 1.5},
        {"chance": 100},
        {"grace_period": 0},
        {"reduction_factor": 1},
        {"noise_margin": -1},
        {"catch_up": 1.1},
        {"floor": 1},
        {"least_loss": 0},
        {"full_rung": 0},
        {"earliest": 0},
        {"earliest": 1.1},
        {"noise_margin": math.nan},
    ],
)
def test_settings_are_checked(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        Halving(**{"search_epochs": 8, "retrain_epochs": 15, "chance": 10.0, **change})


def test_recording_twice_keeps_the_first_and_what_is_not_finite_never_enters() -> None:
    rungs = Rungs(RULE)
    rungs.record(("search", 8), "a", (90.0, 10.0, 10.0))
    rungs.record(("search", 8), "a", (95.0, 10.0, 10.0))
    rungs.record(("search", 8), "b", (math.nan, 10.0, 10.0))
    rungs.record(("search", 8), "c", (90.0, 10.0, math.inf))
    assert rungs.entries[("search", 8)] == {"a": (90.0, 10.0, 10.0)}
    assert not rungs.judge(("search", 8), "b").goes_on
    assert rungs.judge(("search", 8), "a").goes_on


def test_rungs_are_not_compared() -> None:
    rungs = Rungs(RULE)
    rungs.record(("search", 4), "a", (99.0, 10.0, 10.0))
    rungs.record(("search", 8), "b", (50.0, 99.0, 99.0))
    assert rungs.judge(("search", 8), "b").goes_on


@pytest.mark.parametrize("accuracy", [0.0, 5.0, 10.0, 100.0])
def test_a_rung_of_equal_entries_lets_all_on(accuracy: float) -> None:
    rung = {str(i): (accuracy, 10.0, 10.0) for i in range(30)}
    assert all(judge(rung, trial, RULE).goes_on for trial in rung)


# ---- against brute force

axis = st.floats(0, 1).map(lambda x: round(x, 2))
points = st.lists(st.tuples(axis, axis, axis), min_size=1, max_size=7).map(lambda rows: np.array(rows))


def naive_volume(rows: list[tuple[float, ...]], corner: tuple[float, ...]) -> float:
    """Volume of a union of boxes by inclusion and exclusion."""
    total = 0.0
    for count in range(1, len(rows) + 1):
        for chosen in itertools.combinations(rows, count):
            low = np.max(np.array(chosen), axis=0)
            total += (-1) ** (count + 1) * float(np.prod(np.maximum(np.array(corner) - low, 0.0)))
    return total


def naive_ranks(rows: list[tuple[float, ...]]) -> list[int]:
    def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    ranks: dict[int, int] = {}
    level = 0
    while len(ranks) < len(rows):
        left = [i for i in range(len(rows)) if i not in ranks]
        layer = [i for i in left if not any(dominates(rows[j], rows[i]) for j in left)]
        ranks |= dict.fromkeys(layer, level)
        level += 1
    return [ranks[i] for i in range(len(rows))]


@given(points)
def test_ranking_against_brute_force(drawn: np.ndarray) -> None:
    rows = [tuple(row) for row in drawn.tolist()]
    corner = (1.0, 1.1, 1.1)
    depth, loss = ranking(drawn)
    assert depth.tolist() == naive_ranks(rows)
    total = naive_volume([row for row, level in zip(rows, depth, strict=True) if level == 0], corner)
    for i, row in enumerate(rows):
        layer = [other for j, other in enumerate(rows) if depth[j] == depth[i] and j != i]
        lost = naive_volume([*layer, row], corner) - naive_volume(layer, corner)
        assert loss[i] == pytest.approx(lost / total if total > 0 else lost, abs=1e-9)


# ---- promised properties

entries = st.tuples(
    st.integers(0, 400).map(lambda x: x / 4),
    st.integers(1, 10**6).map(float),
    st.integers(1, 10**8).map(float),
)
rung_of = st.lists(entries, min_size=1, max_size=40)


def as_rung(rows: list[Entry], newcomer: Entry) -> dict[str, Entry]:
    return {**{f"t{i}": row for i, row in enumerate(rows)}, "new": newcomer}


@given(rung_of, st.integers(0, 8).map(lambda x: x / 4), st.floats(0.1, 1), st.floats(0.1, 1))
def test_a_newcomer_that_dominates_all_is_never_stopped(
    rows: list[Entry], ahead: float, size: float, ops: float
) -> None:
    best = [max(row[0] for row in rows), min(row[1] for row in rows), min(row[2] for row in rows)]
    newcomer = (min(100.0, best[0] + ahead), best[1] * size, best[2] * ops)
    assert judge(as_rung(rows, newcomer), "new", RULE).goes_on


@given(st.lists(entries, min_size=20, max_size=40), st.floats(0, 30), st.floats(1, 10), st.floats(1, 10))
def test_a_newcomer_that_all_of_a_full_rung_dominate_is_stopped(
    rows: list[Entry], behind: float, size: float, ops: float
) -> None:
    worst = [min(row[0] for row in rows), max(row[1] for row in rows), max(row[2] for row in rows)]
    newcomer = (max(0.0, worst[0] - behind), worst[1] * size, worst[2] * ops)
    assume(all(row != newcomer for row in rows))
    assert not judge(as_rung(rows, newcomer), "new", RULE).goes_on


@given(rung_of, entries, st.randoms(use_true_random=False))
def test_the_order_of_earlier_arrivals_does_not_matter(rows: list[Entry], newcomer: Entry, random: Any) -> None:
    rung = as_rung(rows, newcomer)
    names = list(rung)
    random.shuffle(names)
    assert judge({name: rung[name] for name in names}, "new", RULE) == judge(rung, "new", RULE)


@given(rung_of, entries, st.sampled_from([1.0, 2.0, 8.0, 1024.0]), st.sampled_from([1.0, 2.0, 64.0]))
def test_the_scale_of_a_cost_does_not_matter(rows: list[Entry], newcomer: Entry, size: float, ops: float) -> None:
    rung = as_rung(rows, newcomer)
    scaled = {name: (a, s * size, o * ops) for name, (a, s, o) in rung.items()}
    before, after = judge(rung, "new", RULE), judge(scaled, "new", RULE)
    # Axes are the same up to rounding; only an entry that stands within it of a threshold may differ.
    values = np.array(list(rung.values()))
    again = np.array(list(scaled.values()))
    assert np.allclose(normalised(values, 10.0), normalised(again, 10.0), atol=1e-9)
    assert before == after or _on_the_edge(rung)


@given(rung_of, entries, st.sampled_from([0.5, 0.25, 0.125]))
def test_the_scale_of_accuracy_does_not_matter(rows: list[Entry], newcomer: Entry, unit: float) -> None:
    """Given in another unit, with the two settings that are accuracies in that unit too."""
    rung = as_rung(rows, newcomer)
    scaled = {name: (a * unit, s, o) for name, (a, s, o) in rung.items()}
    rule = replace(RULE, chance=10 * unit, noise_margin=1.0 * unit)
    assert judge(rung, "new", RULE) == judge(scaled, "new", rule)


def _on_the_edge(rung: dict[str, Entry]) -> bool:
    """Whether some loss equals another one, or the least loss, up to rounding."""
    values = np.array([rung["new"], *(entry for name, entry in rung.items() if name != "new")])
    best = values[:, 0].max()
    values[0, 0] = min(best, values[0, 0] + RULE.noise_margin + RULE.catch_up * (best - values[0, 0]))
    floor = min(best, RULE.chance + RULE.floor * max(0.0, best - RULE.chance))
    loss = ranking(normalised(values[values[:, 0] + RULE.noise_margin >= floor], floor))[1]
    return bool(np.isclose(loss[0], [*loss[1:], RULE.least_loss], rtol=0, atol=1e-9).any())


@given(rung_of)
def test_one_of_the_most_accurate_always_survives(rows: list[Entry]) -> None:
    rung = {f"t{i}": row for i, row in enumerate(rows)}
    best = max(row[0] for row in rows)
    assert any(judge(rung, name, RULE).goes_on for name, row in rung.items() if row[0] == best)


@given(rung_of, entries)
def test_useless_networks_do_not_survive_as_extremes(rows: list[Entry], newcomer: Entry) -> None:
    best = max(row[0] for row in rows)
    floor = 10 + 0.25 * (best - 10)
    assume(best > 10 and newcomer[0] + 1 < floor)
    assert not judge(as_rung(rows, (newcomer[0], 1.0, 1.0)), "new", RULE).goes_on


def test_the_floor_is_asked_with_the_noise_margin() -> None:
    settings = replace(RULE, floor=0.25, noise_margin=1.0)
    floor = 10 + 0.25 * (90 - 10)  # of the best entry's 90 %
    for below, goes_on in ((0.5, True), (1.5, False)):
        entries = {"best": (90.0, 1e6, 1e8), "small": (floor - below, 1e3, 1e5)}
        assert judge(entries, "small", settings).goes_on is goes_on


def test_nobody_is_stopped_on_a_rung_without_a_quorum() -> None:
    worst = {"worst": (11.0, 1e6, 1e8), "a": (98.0, 80.0, 800.0), "b": (90.0, 40.0, 400.0)}
    rule = replace(RULE, quorum=4)
    assert judge(worst, "worst", rule).goes_on
    assert not judge({**worst, "c": (80.0, 20.0, 200.0)}, "worst", rule).goes_on


def test_widths_of_one_point_are_rivals_in_the_retraining_alone() -> None:
    rungs = Rungs(RULE)
    for rung in (("search", 4), ("retrain", 8)):
        rungs.record(rung, "l1_0-l2_0-p_0-seed_0", (97.0, 100, 1000.0))
        rungs.record(rung, "l1_0-l2_0-p_0-c_8-seed_1", (60.0, 100, 1000.0))
    assert rungs.judge(("search", 4), "l1_0-l2_0-p_0-c_8-seed_1").of == 1
    assert not rungs.judge(("retrain", 8), "l1_0-l2_0-p_0-c_8-seed_1").goes_on


def test_points_that_state_other_bits_are_rivals_in_the_search_too() -> None:
    """Names are those of trials: a width comes last in them, and alone is left out."""
    rungs = Rungs(RULE)
    points = [SearchPoint(lambda1=0, lambda2=0, p=0, channels=c, held_bits=b) for b in (1, 4) for c in (8, 16)]
    names = [Trial(point=point, seed=1).name for point in points]
    for name in names:
        rungs.record(("search", 4), name, (60.0, 100, 1000.0))
    assert rungs.judge(("search", 4), names[0]).of == 3


def test_who_may_be_the_most_accurate_goes_on() -> None:
    """Of 400 samples 97 and 95 % differ by 1.4 standard deviations, sqrt(0.97 * 0.03 / 400 + 0.95 * 0.05 / 400) = 1.38 points."""
    rung = {"a": (97.0, 80.0, 800.0), "b": (90.0, 40.0, 400.0), "c": (80.0, 20.0, 200.0)}
    rule = replace(PLAIN, quorum=4, val_samples=400, ties=1.64)
    for accuracy, goes_on in ((95.0, True), (94.0, False)):  # a dominates both
        assert judge({**rung, "new": (accuracy, 100.0, 1000.0)}, "new", rule).goes_on is goes_on
    assert not judge({**rung, "new": (95.0, 100.0, 1000.0)}, "new", replace(rule, ties=1.0)).goes_on
    assert not judge({**rung, "new": (95.0, 100.0, 1000.0)}, "new", replace(rule, val_samples=0)).goes_on


@pytest.mark.parametrize("entry", [(40.0, 19.9, 1e4), (40.0, 1e4, 199.9)])
def test_the_smallest_and_the_cheapest_go_on_however_little_they_add(entry: Entry) -> None:
    rung = {"a": (97.0, 80.0, 800.0), "b": (90.0, 40.0, 400.0), "c": (80.0, 20.0, 200.0)}
    rule = replace(PLAIN, least_loss=0.5)
    assert judge({**rung, "new": entry}, "new", rule).goes_on
    assert not judge({**rung, "new": (40.0, 20.0, 200.0)}, "new", rule).goes_on, "c dominates it"
    assert not judge({**rung, "new": (11.0, *entry[1:])}, "new", rule).goes_on, "useless"


def test_the_largest_goes_on_however_far_it_is_behind() -> None:
    rung = {"a": (97.0, 80.0, 800.0), "b": (90.0, 40.0, 400.0), "c": (80.0, 20.0, 200.0)}
    rule = replace(PLAIN, keep_largest=True)
    assert judge({**rung, "new": (50.0, 80.0, 1000.0)}, "new", rule).goes_on
    assert not judge({**rung, "new": (50.0, 79.0, 1000.0)}, "new", rule).goes_on, "a is larger"
    assert not judge({**rung, "new": (50.0, 80.0, 1000.0)}, "new", PLAIN).goes_on


@pytest.mark.parametrize("entry", [(11.0, 19.9, 1e4), (11.0, 1e4, 199.9), (11.0, 90.0, 1e4)])
def test_an_end_that_is_useless_is_so_on_the_last_rung_alone(entry: Entry) -> None:
    rungs = Rungs(replace(RULE, keep_largest=True))
    for rung in (("retrain", 4), ("retrain", 8)):
        for name, other in {"a": (97.0, 80.0, 800.0), "c": (80.0, 20.0, 200.0), "new": entry}.items():
            rungs.record(rung, name, other)
    assert rungs.judge(("retrain", 4), "new").goes_on
    assert not rungs.judge(("retrain", 8), "new").goes_on
    rungs.record(("retrain", 4), "worse", (11.0, 50.0, 500.0))
    assert not rungs.judge(("retrain", 4), "worse").goes_on, "no end"


@given(rung_of, st.randoms(use_true_random=False))
def test_no_order_of_arrival_loses_an_end(rows: list[Entry], random: Any) -> None:
    """The most accurate one and, unless they are useless, smallest, cheapest and largest, each as far as there is one alone."""
    rule = replace(RULE, quorum=4, val_samples=287, keep_largest=True)
    named = {f"t{i}": row for i, row in enumerate(rows)}
    order = list(named)
    random.shuffle(order)
    came: dict[str, Entry] = {}
    stopped = set()
    for name in order:
        came[name] = named[name]
        if not judge(came, name, rule).goes_on:
            stopped.add(name)
    best = max(row[0] for row in rows)
    assert not all(named[name][0] < best for name in named if name not in stopped) or not rows
    floor = rule.chance + rule.floor * max(0.0, best - rule.chance)
    for cost in (1, 2):
        least = min(row[cost] for row in rows)
        ends = [name for name, row in named.items() if row[cost] == least]
        if len(ends) == 1 and named[ends[0]][0] >= floor:
            assert ends[0] not in stopped
    most = max(row[1] for row in rows)
    assert not stopped & {name for name, row in named.items() if row[1] == most and row[0] >= floor}
