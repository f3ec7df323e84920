"""The manifests against the schemas of Kubernetes and KubeRay, Ray's reading of them, and what a pod may do."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "cluster" / "kubernetes"
SCHEMAS = Path(__file__).parent / "schemas"
CORE = {
    "PersistentVolumeClaim": "kubernetes.json#/$defs/io.k8s.api.core.v1.PersistentVolumeClaim",
    "NetworkPolicy": "kubernetes.json#/$defs/io.k8s.api.networking.v1.NetworkPolicy",
}


def documents() -> dict[str, Any]:
    """Every resource of the manifests, by kind."""
    found: dict[str, Any] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            assert document["kind"] not in found
            found[document["kind"]] = document
    return found


def check(document: Any) -> None:
    """Raises if a resource is not as its schema says."""
    resources = [
        (name, Resource(json.loads((SCHEMAS / name).read_text()), DRAFT202012))
        for name in ("kubernetes.json", "kuberay.json")
    ]
    reference = CORE.get(document["kind"], "kuberay.json#/$defs/resource")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": reference}
    jsonschema.Draft202012Validator(schema, registry=Registry().with_resources(resources)).validate(document)


def clusters() -> list[Any]:
    found = documents()
    return [found["RayCluster"]["spec"], found["RayJob"]["spec"]["rayClusterSpec"]]


def pods(cluster: Any) -> Iterator[Any]:
    yield cluster["headGroupSpec"]["template"]["spec"]
    for group in cluster["workerGroupSpecs"]:
        yield group["template"]["spec"]


def all_pods() -> list[Any]:
    submitter = documents()["RayJob"]["spec"]["submitterPodTemplate"]["spec"]
    return [submitter, *(pod for cluster in clusters() for pod in pods(cluster))]


@pytest.mark.parametrize("kind", ["NetworkPolicy", "PersistentVolumeClaim", "RayCluster", "RayJob"])
def test_manifests_are_as_their_schemas_say(kind: str) -> None:
    check(documents()[kind])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["spec", "headGroupSpecs"], {}),
        (["spec", "headGroupSpec", "rayStartParams", "num-cpus"], 0),
        (["spec", "headGroupSpec", "template", "spec", "containers", 0, "comand"], ["sh"]),
        (["spec", "headGroupSpec", "template", "spec", "containers", 0, "ports", 0, "containerPort"], "6379"),
        (["spec", "workerGroupSpecs", 0, "replicas"], "4"),
        (["spec", "authOptions", "mode"], "Token"),
    ],
)
def test_the_schemas_refuse_a_slip(path: list[Any], value: Any) -> None:
    broken = copy.deepcopy(documents()["RayCluster"])
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(broken)


def test_ray_reads_both_groups_and_keeps_their_size() -> None:
    cluster = copy.deepcopy(documents()["RayCluster"])
    cluster["metadata"]["namespace"] = "default"
    types = _derive_autoscaling_config_from_ray_cr(cluster)["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0
    assert types["gpu"]["resources"]["GPU"] == 1 and "GPU" not in types["cpu"]["resources"]
    for name in ("gpu", "cpu"):
        assert types[name]["resources"]["CPU"] > 0
        assert types[name]["min_workers"] == types[name]["max_workers"] > 0


def test_the_single_run_repeats_its_command_on_the_shared_volume() -> None:
    job = documents()["RayJob"]["spec"]
    (mount,) = [
        m
        for m in job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        if m["name"] == "results"
    ]
    assert f"--storage {mount['mountPath']}" in job["entrypoint"] and job["backoffLimit"] > 0
    dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
    folder = re.search(r"^WORKDIR (\S+)$", dockerfile, re.MULTILINE)
    assert folder and f"python {folder[1]}/tune/pareto.py" in job["entrypoint"]
    claim = documents()["PersistentVolumeClaim"]
    for pod in (pod for cluster in clusters() for pod in pods(cluster)):
        (volume,) = [v for v in pod["volumes"] if v["name"] == "results"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_every_cluster_asks_for_the_token_and_runs_the_ray_of_the_lock_file() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    for cluster in clusters():
        assert cluster["authOptions"] == {"mode": "token", "secretName": "litesnn-token"}
        assert f"ray=={cluster['rayVersion']}\n" in lock and cluster["rayVersion"] == ray.__version__
        assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert "litesnn-token --from-file=auth_token=" in (ROOT / "cluster" / "README.md").read_text()


def test_pods_meet_the_restricted_standard() -> None:
    for pod in all_pods():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
            assert (
                container["resources"]["limits"] == container["resources"]["requests"]
                or container["name"] == "submitter"
            )
    ready = [container for cluster in clusters() for pod in pods(cluster) for container in pod["containers"]]
    assert all("readinessProbe" in container for container in ready)


def test_only_the_operator_and_the_submitter_reach_the_cluster_from_outside() -> None:
    inside, outside, metrics = documents()["NetworkPolicy"]["spec"]["ingress"]
    assert inside["from"][0]["podSelector"] == documents()["NetworkPolicy"]["spec"]["podSelector"]
    assert [port["port"] for port in outside["ports"]] == [8265]
    assert [port["port"] for port in metrics["ports"]] == [8080]
    for cluster in clusters():  # what docs/metrics.md asks a PodMonitor for
        for pod in pods(cluster):
            ports = [port for container in pod["containers"] for port in container.get("ports", [])]
            assert {"containerPort": 8080, "name": "metrics"} in ports
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            assert group["rayStartParams"]["metrics-export-port"] == "8080"
    label = documents()["RayJob"]["spec"]["submitterPodTemplate"]["metadata"]["labels"]
    assert label in [source["podSelector"]["matchLabels"] for source in outside["from"]]
