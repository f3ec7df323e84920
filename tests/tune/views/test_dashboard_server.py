"""The dashboard's endpoints, asked over a real socket: answers, downloads, refusals, changes as they happen."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from litesnn.genotype import Genotype
from tests.tune.clusters import wait_until
from tests.tune.dashboards import EPOCH, NETWORK, POINT, serving
from tune.storage.objectives import Reference
from tune.storage.store import FINISHED, Experiment
from tune.views.dashboard import answers
from tune.views.dashboard.watch import Watcher

TOKEN = "correct-horse-battery"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("not for the web")
    (tmp_path / "results").mkdir()
    experiment = Experiment(tmp_path / "results" / "digits <1>")
    experiment.open({"dataset": "digits"}, Reference(accuracy=10, size_bits=1e6, bit_synops=1e6))
    for name in "ab":
        trial = experiment.trial(name)
        trial.write_start(POINT, {})
        trial.write_records([EPOCH])
    trial = experiment.trial("a")
    trial.genotype.write_text(NETWORK.to_json())
    trial.model.write_bytes(b"network")
    trial.write_result(FINISHED, val_accuracy=90.0, model_size_bits=900, bit_synops=70.0, bits=[2, 1], timesteps=3)
    return tmp_path / "results"


@pytest.fixture
def client(storage: Path) -> Iterator[httpx.Client]:
    with serving(storage) as client:
        yield client


TRIAL = "/api/experiments/digits%20%3C1%3E/trials/a"


def test_answers_are_what_the_documentation_says(client: httpx.Client) -> None:
    listed = client.get("/api/experiments").json()
    answers.Experiments.model_validate(listed)
    assert [(e["name"], e["states"]) for e in listed["experiments"]] == [
        ("digits <1>", {"finished": 1, "unfinished": 1})
    ]
    shown = client.get("/api/experiments/digits%20%3C1%3E").json()
    answers.Experiment.model_validate(shown)
    assert [trial["trial"] for trial in shown["trials"]] == ["a", "b"] and shown["trials"][0]["on_front"]
    assert [point["trial"] for point in shown["progress"]] == ["a"]
    found = client.get(TRIAL).json()
    answers.TrialDetails.model_validate(found)
    assert found["records"] == [{**EPOCH, "loss": None}] and found["errors"] == []
    assert found["genotype"]["bits"] == [2, 1] and found["drawing"].startswith("<svg")
    assert "digits &lt;1&gt;/a" in found["drawing"] and found["model_bytes"] == 7
    assert client.get(TRIAL[:-1] + "b").json()["drawing"] is None
    networks = client.get("/api/published").json()
    answers.PublishedNetworks.model_validate(networks)
    assert len(networks["networks"]) == 40

    document = client.get("/openapi.json").json()
    for path in ("/api/experiments", "/api/experiments/{name}", "/api/experiments/{name}/trials/{trial}"):
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert schema["$ref"].rpartition("/")[2] in document["components"]["schemas"]
    assert "val_accuracy" in document["components"]["schemas"]["Trial"]["properties"]


def test_downloads(client: httpx.Client) -> None:
    answer = client.get(f"{TRIAL}/genotype.json")
    assert Genotype.from_json(answer.text) == NETWORK
    model = client.get(f"{TRIAL}/model.safetensors")
    assert model.content == b"network" and "attachment" in model.headers["content-disposition"]
    missing = client.get(f"{TRIAL[:-1]}b/model.safetensors")
    assert missing.status_code == 404 and "model.safetensors" in missing.json()["detail"]


def test_damaged_files_are_named(client: httpx.Client, storage: Path) -> None:
    folder = storage / "digits <1>" / "trials" / "a"
    for text in ("{", '{"nodes": 1, "bits": 2, "timesteps": 3}', '{"nodes": [[[0, "<b>"], [1, "skip"]]], "bits": [1]}'):
        (folder / "genotype.json").write_text(text)
        (folder / "metrics.jsonl").write_text("[]\n")
        found = client.get(TRIAL).json()
        assert found["genotype"] is None and found["trial"]["val_accuracy"] is not None
        assert [line.partition(":")[0] for line in found["errors"]] == ["genotype.json", "metrics.jsonl"]
        assert str(storage) not in json.dumps(found)


@pytest.mark.parametrize(
    "path",
    [
        "/api/experiments/none",
        "/api/experiments/..",
        "/api/experiments/%2e%2e",
        "/api/experiments/..%2f..%2fsecret.txt",
        "/api/experiments/digits%20%3C1%3E%2ftrials",
        "/api/experiments/digits%20%3C1%3E%00",
        "/api/experiments/digits%20%3C1%3E/trials/a%00/genotype.json",
        "/api/experiments/%252e%252e",
        "/api/experiments/..%5c..%5csecret.txt",
        "/api/experiments/.",
        "/api/experiments/%ff%fe",
        "/api/experiments/" + "a" * 5000,
        "/api/experiments/digits%20%3C1%3E/trials/..",
        "/api/experiments/digits%20%3C1%3E/trials/%2e%2e%2f%2e%2e%2f..%2fsecret.txt",
        "/api/experiments/%2e%2e/trials/results/genotype.json",
        "/api/experiments/digits%20%3C1%3E/trials/a/secret.txt",
        "/api/experiments/digits%20%3C1%3E/trials/a/..%2f..%2f..%2f..%2fsecret.txt",
        "/api/experiments/digits%20%3C1%3E/trials/a/metrics.jsonl",
        "/api/experiments/leads-out",
        "/api/experiments/leads-out/trials/a/genotype.json",
        "/api/experiments/digits%20%3C1%3E/trials/leads-out",
        "/api/experiments/digits%20%3C1%3E/trials/leads-out/genotype.json",
        "/api/experiments/digits%20%3C1%3E/trials/holds-a-link",
        "/api/experiments/digits%20%3C1%3E/trials/holds-a-link/genotype.json",
        "/api/experiments/digits%20%3C1%3E/trials/holds-a-link/model.safetensors",
        "/static/..%2fserver.py",
        "/static/../server.py",
        "/static/server.py",
        "/static/%2fetc%2fpasswd",
        "/etc/passwd",
        "/../../../../etc/passwd",
    ],
)
def test_no_path_leads_out(client: httpx.Client, storage: Path, path: str) -> None:
    outside = storage.parent / "outside"
    other = Experiment(outside).trial("a")
    Experiment(outside).open({"dataset": "not for the web"})
    other.write_start(POINT, {})
    other.genotype.write_text(NETWORK.to_json())
    (storage / "leads-out").symlink_to(outside)
    trials = storage / "digits <1>" / "trials"
    (trials / "leads-out").symlink_to(other.path)
    Experiment(storage / "digits <1>").trial("holds-a-link").write_start(POINT, {})
    for file in ("genotype.json", "model.safetensors"):
        (trials / "holds-a-link" / file).symlink_to(storage.parent / "secret.txt")
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as raw:
        # httpx would tidy the path
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 404") and "content-type: application/json" in head.lower()
    assert "not for the web" not in body and "detail" in json.loads(body)


def test_bad_requests(client: httpx.Client) -> None:
    assert client.post("/login", content=b"x=1").status_code == 422
    assert client.post("/login", content=b"token=" + b"x" * 5000).status_code == 413
    assert client.post("/api/experiments").status_code == 405
    for host in (
        "evil.example",
        "evil.example:8266",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "[::2]:1",
    ):
        assert client.get("/api/experiments", headers={"Host": host}).status_code == 403, host
    for host in ("localhost", "127.0.0.1:8266", "[::1]:8266", "LOCALHOST:1"):
        assert client.get("/api/experiments", headers={"Host": host}).status_code == 200, host


def test_every_answer_carries_the_policy(client: httpx.Client) -> None:
    for path in ("/", "/api/experiments", "/api/experiments/none", "/static/plotly.min.js", "/static/page.css"):
        headers = client.get(path).headers
        assert "script-src 'self';" in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_the_pages_files_are_compressed_once_and_kept_by_the_browser(client: httpx.Client) -> None:
    for path in ("/static/plotly.min.js", "/static/page.js", "/static/page.css"):
        plain = client.get(path, headers={"Accept-Encoding": "identity"})
        compressed = client.get(path, headers={"Accept-Encoding": "gzip"})
        assert plain.content == compressed.content
        assert "content-encoding" not in plain.headers and compressed.headers["content-encoding"] == "gzip"
        assert int(compressed.headers["content-length"]) < len(plain.content)
        assert compressed.headers["cache-control"] == "private, no-cache"
        again = client.get(path, headers={"If-None-Match": compressed.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get("/api/experiments").headers["cache-control"] == "no-store"


def test_changes_are_sent_as_they_happen(client: httpx.Client, storage: Path) -> None:
    with client.stream("GET", "/api/events") as stream:
        events = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        first = next(events)
        assert first["experiment"] == "digits <1>"
        Experiment(storage / "digits <1>").trial("b").write_result(FINISHED, val_accuracy=99.0)
        second = next(events)
        assert second["experiment"] == "digits <1>" and second["version"] != first["version"]
        Experiment(storage / "new").open({})
        assert next(events)["experiment"] == "new"
        (storage / "new" / "experiment.json").unlink()
        assert next(events) == {"experiment": "new", "version": None}
    # the client fixture then ends the server, which an open stream must not hold up


def test_many_pages_share_one_watcher_and_the_last_one_ends_it(storage: Path) -> None:
    def watchers() -> int:
        return sum(thread.name == "dashboard-watch" for thread in threading.enumerate())

    with serving(storage) as client, ExitStack() as stack:
        streams = [stack.enter_context(client.stream("GET", "/api/events")) for _ in range(8)]
        events = [(line for line in stream.iter_lines() if line.startswith("data: ")) for stream in streams]
        assert len({next(lines) for lines in events}) == 1 and watchers() == 1
        Experiment(storage / "digits <1>").trial("b").write_result(FINISHED, val_accuracy=99.0)
        assert len({next(lines) for lines in events}) == 1 and watchers() == 1
        stack.close()
        wait_until(lambda: watchers() == 0)
        with client.stream("GET", "/api/events") as again:
            lines = again.iter_lines()
            assert next(line for line in lines if line.startswith("data: ")) and watchers() == 1


def test_too_many_pages_are_refused_until_one_closes(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watcher, "is_full", lambda self: len(self._listeners) >= 2)
    with client.stream("GET", "/api/events") as one, client.stream("GET", "/api/events") as two:
        first = [stream.iter_lines() for stream in (one, two)]
        assert [next(lines) for lines in first] == ["retry: 2000"] * 2
        refused = client.get("/api/events")
        assert refused.status_code == 503 and refused.json()["detail"].startswith("events: expected fewer")
        assert refused.headers["retry-after"] == "30"
    wait_until(lambda: _status(client, "/api/events") == 200)


def _status(client: httpx.Client, path: str) -> int:
    with client.stream("GET", path) as stream:
        return stream.status_code


def test_a_storage_that_comes_and_goes(tmp_path: Path) -> None:
    storage = tmp_path / "results"
    with serving(storage) as client, client.stream("GET", "/api/events") as stream:
        assert client.get("/api/experiments").json() == {"experiments": [], "error": None}
        lines = stream.iter_lines()
        Experiment(storage / "new").open({})
        assert json.loads(next(line[6:] for line in lines if line.startswith("data: ")))["experiment"] == "new"
        storage.rename(tmp_path / "aside")
        storage.write_text("a file in its place")
        assert next(lines for line in lines if line == "event: storage")
        assert "expected a folder" in json.loads(next(lines)[6:])["error"]
        found = client.get("/api/experiments").json()
        assert "expected a folder" in found["error"] and [e["name"] for e in found["experiments"]] == ["new"]


def test_without_the_token_nothing_is_told(storage: Path) -> None:
    paths = ["/api/experiments", TRIAL, f"{TRIAL}/model.safetensors", "/api/events", "/openapi.json"]
    paths += ["/static/page.js", "/static/plotly.min.js", "/none"]
    refused: list[dict[str, Any]] = [
        {},
        {"headers": {"Authorization": "Bearer"}},
        {"headers": {"Authorization": f"Bearer {TOKEN}x"}},
        {"headers": {"Authorization": f"Bearer {TOKEN[:-1]}"}},
        {"headers": {"Authorization": f"Basic {TOKEN}"}},
        {"headers": {"Authorization": "Bearer ü".encode()}},
    ]
    with serving(storage, TOKEN) as client:
        refused.append({"headers": {"Cookie": f"{_cookie_name(client)}={TOKEN}"}})
        for path in paths:
            for how in refused:
                assert client.get(path, **how).status_code == 401, (path, how)
        assert client.get(f"/api/experiments?token={TOKEN}").status_code == 401
        assert client.get("/").headers["location"] == "/login" and client.get("/login").status_code == 200
        good = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/api/experiments", headers=good).status_code == 200
        assert client.get("/api/experiments", headers={**good, "Host": "box.example"}).status_code == 200


def test_the_form_sets_a_cookie_that_is_not_the_token(storage: Path) -> None:
    with serving(storage, TOKEN) as client:
        wrong = client.post("/login", data={"token": "x"})
        assert wrong.status_code == 303 and "set-cookie" not in wrong.headers
        assert "<p hidden" not in client.get(wrong.headers["location"]).text
        right = client.post("/login", data={"token": TOKEN})
        cookie = right.headers["set-cookie"]
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and TOKEN not in cookie
        assert client.get("/api/experiments").status_code == 200 and client.get("/").status_code == 200
    with serving(storage, TOKEN) as other:
        value = cookie.partition(";")[0].partition("=")[2]
        old = {"Cookie": f"{_cookie_name(other)}={value}"}
        assert other.get("/api/experiments", headers=old).status_code == 401


@pytest.mark.parametrize("other", ['prefs={"theme":"dark","n":[1,2]}', "a=b c", "ü=1", "alone", "user@x=1", 'q="a;b"'])
def test_cookies_of_other_programs_do_not_sign_out(storage: Path, other: str) -> None:
    with serving(storage, TOKEN) as client:
        given = client.post("/login", data={"token": TOKEN}).headers["set-cookie"].partition(";")[0]
        client.cookies.clear()
        for cookies in (f"{other}; {given}", f"{given}; {other}"):
            assert client.get("/api/experiments", headers={"Cookie": cookies.encode()}).status_code == 200
        assert client.get("/api/experiments", headers={"Cookie": other.encode()}).status_code == 401


def test_two_dashboards_of_one_host_do_not_sign_each_other_out(storage: Path) -> None:
    with serving(storage, TOKEN) as first, serving(storage, f"{TOKEN}-2") as second, httpx.Client() as browser:
        for server, token in ((first, TOKEN), (second, f"{TOKEN}-2")):
            assert browser.post(f"{server.base_url}/login", data={"token": token}).status_code == 303
        assert set(browser.cookies) == {_cookie_name(first), _cookie_name(second)}
        for server in (first, second):
            assert browser.get(f"{server.base_url}/api/experiments").status_code == 200


def _cookie_name(client: httpx.Client) -> str:
    return f"litesnn_dashboard_{client.base_url.port}"


def test_many_ask_at_once(client: httpx.Client, storage: Path) -> None:
    seen: list[int] = []

    def ask(path: str) -> Callable[[], None]:
        return lambda: seen.append(httpx.get(f"{client.base_url}{path}", timeout=20).status_code)

    threads = [threading.Thread(target=ask(path)) for path in ("/api/experiments", TRIAL, "/") for _ in range(8)]
    for thread in threads:
        thread.start()
    for i in range(20):
        Experiment(storage / "digits <1>").trial(f"t{i}").write_start(POINT, {})
    for thread in threads:
        thread.join(20)
    assert seen == [200] * 24
