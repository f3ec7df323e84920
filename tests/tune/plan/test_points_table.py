"""Points in CSV files as spreadsheets save them; what cannot be read is refused with the reason."""

from pathlib import Path

import pytest

from litesnn.checks import InputError
from litesnn.config import SearchPoint
from tune.plan.points import Trial, parse_points
from tune.plan.points_table import read_points

EXPECTED = [SearchPoint(lambda1=1e-6, lambda2=0, p=50.5), SearchPoint(lambda1=0, lambda2=1.5e-9, p=80)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "text",
    [
        "lambda1,lambda2,p\n1e-6,0,50.5\n0,1.5e-9,80\n",
        "Lambda1;LAMBDA2;P;note\r\n0,000001;0;50,5;a,b\r\n0;1,5e-9;80;\r\n",
        "p\tλ1\tΛ2\r\n50,5\t1E-06\t0\r\n80\t0\t1,5E-09\r\n",
        '"lambda1","lambda2","p"\n"0,000001","0","50,5"\n"0","0,0000000015","80"\n',
        "seed, lambda1 ,lambda2, p\n0, 1e-6,0,50.5\n1,1e-6,0,50.5\n0,0,1.5e-9,80\n0,,,\n",
    ],
)
def test_spreadsheets(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert read_points(tmp_path / "a.csv") == EXPECTED


@pytest.mark.parametrize("name", ["channels", "C"])
def test_a_column_of_widths(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(f"{name},lambda1,lambda2,p\n8,0,0,50\n,0,0,50\n16.0,0,0,50\n")
    assert [point.channels for point in read_points(tmp_path / "a.csv")] == [8, 0, 16]


def test_columns_of_what_points_state(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("lambda1,lambda2,p,held_timesteps,held_bits\n0,0,50,2,1\n0,0,50,,4.0\n")
    assert [(point.held_bits, point.held_timesteps) for point in read_points(tmp_path / "a.csv")] == [(1, 2), (4, 0)]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("lambda1,lambda2,p\n0,0,50\n".encode("utf-16-le"), r"with zero bytes; is it UTF-16 without its mark at the"),
        ("lambda1,lambda2,p,größe\n0,0,50,1\n".encode("latin-1"), r"codec can't decode byte 0xf6"),
        (b"lambda1;lambda2\n0;50\n", r"a\.csv with lambda1, lambda2'$"),
        (b"lambda1;Lambda1;lambda2;p\n0;0;0;50\n", r"with lambda1, Lambda1, lambda2, p'$"),
        (b"lambda1;lambda2;p\n0;0;1.000,5\n", r"a\.csv, line 2: expected three numbers lambda1, lambda2, p, got "),
        (b"lambda1;lambda2;p\n", r"expected at least one point"),
        (b"lambda1,lambda2,p,C\n0,0,50,8.5\n", r"line 2: expected a whole number of channels, got '8.5'"),
        (b"lambda1,lambda2,p,C\n0,0,50,-8\n", r"line 2: channels: expected an integer of at least 0"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=text) as error:
        read_points(tmp_path / "a.csv")
    assert str(error.value).startswith("points: ") and "\n" not in str(error.value)


def test_zero_has_one_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("lambda1,lambda2,p\n-0.0,0,-0.0\n0,-0,0\n")
    (point,) = read_points(tmp_path / "a.csv")
    assert Trial(point=point, seed=0).name == "l1_0-l2_0-p_0-seed_0"
    (inline,) = parse_points("-0.0,-0,0")
    assert Trial(point=inline, seed=0).name == "l1_0-l2_0-p_0-seed_0"
