"""Picking against a table drawn by hand, and amounts as people write them."""

import json

import pandas as pd
import pytest

from litesnn.checks import InputError
from tune.results.amounts import count_text, digits, log_ticks, parse_count, parse_percent, parse_size, size_text
from tune.results.pick import pick

#          accuracy   size MB   Bit-SynOps M
TRIALS = pd.DataFrame(
    [
        ("large", "finished", 95.0, 8e6, 900e6),  # 1.00
        ("middle", "finished", 92.0, 4e6, 300e6),  # 0.50
        ("equal but larger", "finished", 92.0, 4.8e6, 200e6),  # 0.60
        ("small", "finished", 85.0, 1.6e6, 100e6),  # 0.20
        ("stopped", "stopped", 99.0, 8e3, 1e6),
        ("unfinished", "unfinished", None, None, None),
    ],
    columns=["trial", "status", "val_accuracy", "model_size_bits", "bit_synops"],
).assign(
    size_bits=lambda t: t["model_size_bits"],
    test_accuracy=90.0,
    energy_mj=1.0,
    timesteps=4,
    bits="1 2 4",
    lambda1=0.0,
    lambda2=0.0,
    p=[0.0, 50.0, 60.0, 70.0, 80.0, 90.0],
    seed=0,
)


@pytest.mark.parametrize(
    ("size", "count", "accuracy", "expected"),
    [
        (None, None, None, "large"),
        (8e6, None, None, "large"),  # a limit is met by its own value
        (4.8e6, None, None, "middle"),  # of equals the smaller
        (4.8e6, 250e6, None, "equal but larger"),
        (None, 150e6, None, "small"),
        (4.8e6, 300e6, 90.0, "middle"),
        (None, None, 0.0, "large"),
    ],
)
def test_most_accurate_within_limits(
    size: float | None, count: float | None, accuracy: float | None, expected: str
) -> None:
    choice = pick(TRIALS, size, count, accuracy)
    assert choice.fits and choice.network is not None
    assert choice.network["trial"] == expected


@pytest.mark.parametrize(
    ("size", "count", "accuracy", "expected", "shares"),
    [
        (0.8e6, None, None, "small", {"model_size_bits": 1.0}),
        (3.2e6, 240e6, 90.0, "small", {"val_accuracy": 5 / 90}),
        (4.6e6, 250e6, 92.0, "equal but larger", {"model_size_bits": 0.2 / 4.6}),  # middle: 20 %, small: 7.6 %
        (4e6, 200e6, None, "small", {}),  # it fits, however far the others are off
        (None, None, 99.0, "large", {"val_accuracy": 4 / 99}),
    ],
)
def test_nearest_and_how_far_off(
    size: float | None, count: float | None, accuracy: float | None, expected: str, shares: dict[str, float]
) -> None:
    choice = pick(TRIALS, size, count, accuracy)
    assert choice.network is not None and choice.fits == (not shares)
    assert choice.network["trial"] == expected
    assert {e.column: e.share for e in choice.excess} == pytest.approx(shares)


def test_text_says_which_and_how_far() -> None:
    text = pick(TRIALS, 0.8e6, None, 90.0).text("/results/trials/small")
    assert text.splitlines() == [
        "no network fits; nearest: small: accuracy 85.00 % (test 90.00 %), 0.200 MB, 100 M Bit-SynOps, T 4, bits 1 2 4",
        "  0.200 MB, 100 % above 0.100 MB",
        "  accuracy 85.00 %, 5.00 points below 90 %",
        "folder: /results/trials/small",
    ]


def test_json_has_exact_counts() -> None:
    values = json.loads(json.dumps(pick(TRIALS, 4.8e6).to_dict("/results/trials/middle"), allow_nan=False))
    assert values["fits"] is True and values["excess"] == []
    assert values["network"]["model_size_bits"] == 4e6 and values["network"]["trial"] == "middle"
    assert values["folder"] == "/results/trials/middle"


SIZED = TRIALS.assign(file_bits=[9e6, 6e6, 5e6, 2.4e6, None, None], dense_bits=[8e6, 8e6, 9.6e6, 3.2e6, None, None])


def test_a_limit_of_files_is_not_one_of_model_sizes() -> None:
    by_size, by_file = pick(SIZED, max_size_bits=5.5e6), pick(SIZED, max_file_bits=5.5e6)
    assert by_size.network is not None and by_size.network["trial"] == "middle"
    assert by_file.network is not None and by_file.network["trial"] == "equal but larger"
    assert "a file of 0.625 MB (Eq. 18 0.600 MB, dense 1.20 MB), 200 M Bit-SynOps" in by_file.text()
    assert by_file.to_dict()["network"]["file_bits"] == 5e6 and by_file.to_dict()["network"]["dense_bits"] == 9.6e6
    nearest = pick(SIZED, max_file_bits=2e6)
    assert not nearest.fits and "  a file of 0.300 MB, 20 % above 0.250 MB".replace("20 %", "20.0 %") in nearest.text()


def test_files_that_nobody_measured_meet_no_limit() -> None:
    """Networks of an earlier version."""
    some = SIZED.assign(file_bits=[None, None, 5e6, None, None, None])
    choice = pick(some, max_file_bits=9e9)
    assert choice.network is not None and choice.network["trial"] == "equal but larger"
    for table in (TRIALS, SIZED.assign(file_bits=None)):
        with pytest.raises(InputError, match="max-file: expected networks whose files were measured"):
            pick(table, max_file_bits=9e9)


# Points of three seeds, 400 samples; Bit-SynOps go with sizes. ``lucky`` has the best network, and its mean of 90 % may be
# no better than that of ``steady``, which is surely better than ``tiny``.
OVER_SEEDS = pd.DataFrame(
    [
        (f"{point}-seed_{seed}", p, seed, accuracy, size * (1 + seed / 100))
        for p, (point, accuracies, size) in enumerate(
            [("lucky", (86, 97, 87), 8e6), ("steady", (89.5, 89, 88.5), 4e6), ("tiny", (60, 60.5, 59.5), 1e6)]
        )
        for seed, accuracy in enumerate(accuracies)
    ],
    columns=["trial", "p", "seed", "val_accuracy", "size_bits"],
).assign(
    status="finished",
    test_accuracy=80.0,
    val_samples=400,
    model_size_bits=lambda t: t["size_bits"],
    file_bits=lambda t: t["size_bits"],
    bit_synops=lambda t: t["size_bits"] * 10,
    timesteps=4,
    bits="1 2",
    lambda1=0.0,
    lambda2=0.0,
)


@pytest.mark.parametrize(
    ("limits", "expected", "fits"),
    [
        ({}, "steady-seed_0", True),
        ({"max_size_bits": 5e6}, "steady-seed_0", True),
        ({"max_size_bits": 3e6}, "tiny-seed_1", True),
        (
            {"max_file_bits": 1.005e6},
            "tiny-seed_0",
            True,
        ),  # the size of the network itself counts, its seed 1 has 1.01e6
        ({"min_accuracy": 89}, "steady-seed_0", True),  # the mean counts
        ({"min_accuracy": 89.2}, "steady-seed_0", False),
        ({"min_accuracy": 95}, "steady-seed_0", False),
        ({"max_size_bits": 0.8e6}, "tiny-seed_0", False),
    ],
)
def test_the_sure_front_alone(limits: dict[str, float], expected: str, fits: bool) -> None:
    choice = pick(OVER_SEEDS, **limits, sure=True)  # type: ignore[arg-type]
    assert choice.network is not None and choice.network["trial"] == expected and choice.fits == fits
    assert choice.tie == ""


def test_a_choice_among_seeds_says_what_its_point_is_worth() -> None:
    lucky = pick(OVER_SEEDS)
    assert lucky.network is not None and lucky.network["trial"] == "lucky-seed_1"
    assert (
        lucky.text().splitlines()[1].startswith("mean over its 3 seeds: accuracy 90.00 ± 10.5")
    )  # 2.92 · √37 / √3 = 10.25
    point = json.loads(json.dumps(lucky.to_dict(), allow_nan=False))["point"]
    assert (point["point"], point["seeds"], point["val_accuracy"], point["front"]) == ("lucky", 3, 90, "unsure")
    far = pick(OVER_SEEDS, min_accuracy=95, sure=True).text("F")
    assert "accuracy 89.00 %, 6.00 points below 95 %" in far and far.startswith("no network fits; nearest: steady")
    assert pick(TRIALS).point is None and pick(TRIALS).to_dict()["point"] is None
    without = pick(OVER_SEEDS.drop(columns="val_samples"))
    assert without.text().splitlines()[1] == "mean over its 3 seeds: accuracy 90.00 %"


def test_with_one_seed_each_the_sure_front_is_what_ties_with_none() -> None:
    few = TRIALS.assign(val_samples=50)  # of 50 samples, 92 and 95 % are the same
    every, sure = pick(few), pick(few, sure=True)
    assert every.network is not None and every.network["trial"] == "large" and every.tie == "middle"
    assert sure.network is not None and sure.network["trial"] == "small"


def test_no_sure_network_with_a_measured_file() -> None:
    with pytest.raises(InputError, match="max-file: expected networks whose files were measured"):
        pick(
            OVER_SEEDS.assign(file_bits=OVER_SEEDS["file_bits"].where(OVER_SEEDS["p"] == 0)),
            max_file_bits=9e9,
            sure=True,
        )
    assert pick(OVER_SEEDS.iloc[:0], sure=True).network is None


def test_nothing_finished() -> None:
    choice = pick(TRIALS[TRIALS["status"] != "finished"], 1e6)
    assert choice.network is None and not choice.fits
    assert choice.text("/nowhere") == "no network has finished yet"
    assert choice.to_dict("/nowhere")["folder"] is None


@pytest.mark.parametrize("limits", [(-1.0, None, None), (None, float("nan"), None), (None, None, 101.0)])
def test_limits_are_checked(limits: tuple[float | None, float | None, float | None]) -> None:
    with pytest.raises(InputError, match="expected a finite number"):
        pick(TRIALS, *limits)


@pytest.mark.parametrize(
    ("text", "bits"),
    [("0.6MB", 4.8e6), ("450KB", 3.6e6), ("4.8Mbit", 4.8e6), (" 1.5 kb ", 12e3), ("0.6", 4.8e6), ("800B", 6400),
     ("1e-3GB", 8e6), ("7bit", 7), (".5mb", 4e6), (0.6, 4.8e6)],
)  # fmt: skip
def test_sizes(text: str, bits: float) -> None:
    assert parse_size("max-size", text) == pytest.approx(bits)


@pytest.mark.parametrize(
    ("text", "count"), [("300M", 300e6), ("2.8G", 2.8e9), ("450k", 450e3), ("1000000", 1e6), ("3e8", 3e8)]
)
def test_counts(text: str, count: float) -> None:
    assert parse_count("max-bit-synops", text) == pytest.approx(count)


@pytest.mark.parametrize("text", ["", "MB", "0.6MiB", "-1MB", "0MB", "nan", "1e999MB", "0,6MB", "1 2MB", "0.6MB/s"])
def test_bad_sizes_name_the_field(text: str) -> None:
    with pytest.raises(InputError, match=r"^max-size: expected a size such as 0\.6MB.*, got '"):
        parse_size("max-size", text)


@pytest.mark.parametrize("text", ["", "300MB", "M300", "-3M", "inf"])
def test_bad_counts_name_the_field(text: str) -> None:
    with pytest.raises(InputError, match="^max-bit-synops: expected a count such as 300M.*, got '"):
        parse_count("max-bit-synops", text)


@pytest.mark.parametrize(("text", "percent"), [("90", 90), ("90%", 90), ("87.5 %", 87.5), ("0", 0), ("100", 100)])
def test_percent(text: str, percent: float) -> None:
    assert parse_percent("min-accuracy", text) == percent


@pytest.mark.parametrize("text", ["", "101", "-1", "ninety", "90%%", "nan", "0.9k"])
def test_bad_percent_names_the_field(text: str) -> None:
    with pytest.raises(InputError, match="^min-accuracy: expected percent from 0 to 100"):
        parse_percent("min-accuracy", text)


@pytest.mark.parametrize(
    ("bits", "text"), [(5.68e6, "0.710 MB"), (62320, "7.79 kB"), (8e9, "1000 MB"), (8e5, "0.100 MB")]
)
def test_size_text(bits: float, text: str) -> None:
    assert size_text(bits) == text


def test_count_and_digits() -> None:
    assert count_text(914e3) == "0.914 M" and count_text(2863e6) == "2863 M" and count_text(900) == "0.900 k"
    assert [digits(v) for v in (0, 0.001234, 9.999, 46, 1234)] == ["0", "0.00123", "10.0", "46.0", "1234"]


@pytest.mark.parametrize(("low", "high"), [(0.4, 30), (1, 1.3), (5e-9, 4e3), (0.07, 0.09), (2, 2)])
def test_log_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert len(ticks) <= 7 and ticks == sorted(ticks)
    assert all(low * 0.99 <= tick <= high * 1.01 and float(f"{tick:.2g}") == tick for tick in ticks)


def test_log_ticks_of_a_decade_and_a_half() -> None:
    assert log_ticks(0.4, 30) == [0.5, 1, 2, 5, 10, 20]
