"""The dashboard and the files for Prometheus: structure, and no metric asked for that nobody has, or said and not shown."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune.watching.metrics import COUNTER, HISTOGRAM, METRICS

CLUSTER = Path(__file__).parents[2] / "cluster"
GRAFANA = CLUSTER / "grafana"
PROMETHEUS = CLUSTER / "prometheus"
# Ray's own that the files may use; tests/tune/watching/test_metrics_ray.py sees on a real page those that need no GPU.
OF_RAY = {
    "ray_node_cpu_utilization",
    "ray_node_mem_used",
    "ray_node_mem_total",
    "ray_node_disk_utilization_percentage",
    "ray_node_gpus_utilization",
}
WORDS = set("by and on unless sum max min rate increase time histogram_quantile last_over_time le".split())


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    return json.loads((GRAFANA / "dashboards" / "litesnn.json").read_text())


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield target["expr"]


def names_in(expression: str) -> set[str]:
    """Metrics that an expression of PromQL reads, without what histograms add to a name."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(by|on) ?\([^)]*\)', " ", expression)
    names = set(re.findall(r"\b[a-z]\w+", bare)) - WORDS
    histograms = {metric.exported for metric in METRICS if metric.kind == HISTOGRAM}
    return {
        re.sub(r"_(bucket|count|sum)$", "", name) if name.rpartition("_")[0] in histograms else name for name in names
    }


def test_every_metric_asked_for_exists_and_every_metric_of_ours_is_shown(dashboard: dict[str, Any]) -> None:
    ours = {metric.exported for metric in METRICS}
    shown = set().union(*(names_in(expression) for expression in expressions(dashboard)))
    assert shown - OF_RAY == ours
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
    assert set().union(*(names_in(rule["expr"]) for rule in rules)) <= ours | OF_RAY


def test_rays_own_metrics_are_those_of_its_agent() -> None:
    # Imported here: it brings gRPC, beside whose threads other tests had better not start programs.
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    assert {f"ray_{name}" for name in METRICS_GAUGES} >= OF_RAY


def test_labels_exist_and_series_of_several_processes_are_brought_together(dashboard: dict[str, Any]) -> None:
    labels = {metric.exported: set(metric.labels) | {"le"} for metric in METRICS}
    for expression in expressions(dashboard):
        for name, braces in re.findall(r"(ray_litesnn_\w+)\{([^}]*)\}", expression):
            asked = set(re.findall(r"(\w+) ?=~", braces))
            assert "experiment" in asked and asked <= labels[re.sub("_bucket$", "", name)], expression
        for grouping in re.findall(r"by \(([^)]*)\)", expression):
            known = set.union(*(labels.get(name, {"ip", "GpuIndex"}) for name in names_in(expression)))
            assert set(grouping.split(", ")) <= known, expression
        assert re.match(r"(time\(\) - |60 \* |histogram_quantile\(0\.95, )?(sum|max|min) by \(", expression), expression
        for name in names_in(expression):
            counter = any(m.exported == name and m.kind in (COUNTER, HISTOGRAM) for m in METRICS)
            assert not counter or re.search(rf"(sum by .*){name}", expression), expression


def test_the_structure_is_what_grafana_reads(dashboard: dict[str, Any]) -> None:
    assert dashboard["uid"] and dashboard["title"] and dashboard["schemaVersion"] >= 39
    assert dashboard.get("id") is None  # Grafana gives it
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "stat"]
    assert len(titles) == len(set(titles)) and all(titles)
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    source = {"type": "prometheus", "uid": "${datasource}"}
    for variable in variables.values():
        if variable["type"] == "query":
            name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            assert label in next(metric.labels for metric in METRICS if metric.exported == name)
            assert variable["datasource"] == source
    covered = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not covered & cells, panel["title"]
        covered |= cells
    for panel in panels(dashboard):
        assert panel["datasource"] == source and panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["datasource"] == source for target in panel["targets"])
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))
        used = set(re.findall(r"\$(?:\{)?(\w+)", json.dumps(panel)))
        assert used <= set(variables) | {"__rate_interval"}, panel["title"]


def test_provisioning_names_what_is_there() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text())
    assert sources["apiVersion"] == 1 and [s["type"] for s in sources["datasources"]] == ["prometheus"]
    assert sources["datasources"][0]["url"] == "http://127.0.0.1:9090"
    boards = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "litesnn.yaml").read_text())
    path = boards["providers"][0]["options"]["path"].replace("${LITESNN_GRAFANA}", str(GRAFANA))
    assert boards["apiVersion"] == 1 and [file.name for file in Path(path).iterdir()] == ["litesnn.json"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return Path(shutil.copytree(PROMETHEUS, tmp_path / "prometheus"))


def promtool(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True)


def test_promtool_accepts_configuration_and_alerts(files: Path) -> None:
    for command in (["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"]):
        checked = promtool(*command, cwd=files)
        assert checked.returncode == 0 and "SUCCESS" in checked.stdout, checked.stdout + checked.stderr


def test_each_alert_fires_when_it_should(files: Path) -> None:
    tested = promtool("test", "rules", "alerts_test.yml", cwd=files)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    # And would be missed: without any one alert, some test fails.
    alerts = yaml.safe_load((files / "alerts.yml").read_text())
    rules = alerts["groups"][0]["rules"]
    for left_out in rules:
        alerts["groups"][0]["rules"] = [rule for rule in rules if rule is not left_out]
        (files / "alerts.yml").write_text(yaml.safe_dump(alerts))
        assert promtool("test", "rules", "alerts_test.yml", cwd=files).returncode == 1, left_out["alert"]
