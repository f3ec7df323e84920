"""Cuts the schemas that these tests need out of the packages that publish them.

Usage, in an environment with kubernetes-validate and google-api-python-client:  python extract.py

Descriptions are dropped, everything else stays as it is published, with all definitions that it refers to.
"""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KUBERNETES = "v1.34.0-local-strict"
KINDS = [
    "io.k8s.api.core.v1.PodTemplateSpec",
    "io.k8s.api.core.v1.PersistentVolumeClaim",
    "io.k8s.api.networking.v1.NetworkPolicy",
]


def without_descriptions(node: Any, *, names: bool = False) -> Any:
    """The schema without its texts; ``names``: the keys of this dictionary are names of fields, not words of the schema."""
    if isinstance(node, list):
        return [without_descriptions(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: without_descriptions(value, names=key in ("properties", "$defs", "schemas") and not names)
        for key, value in node.items()
        if names or key not in ("description", "enumDescriptions")
    }


def referred(node: Any, prefix: str = "") -> set[str]:
    """Names of the definitions that a schema refers to."""
    if isinstance(node, dict):
        own = {node["$ref"].rsplit("/", 1)[-1]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(referred(value) for value in node.values()))
    return set().union(*map(referred, node)) if isinstance(node, list) else set()


def closure(definitions: dict[str, Any], roots: list[str]) -> dict[str, Any]:
    """The definitions that can be reached from ``roots``, those included, by name."""
    found: set[str] = set()
    todo = set(roots)
    while todo:
        name = todo.pop()
        found.add(name)
        todo |= referred(definitions[name]) - found
    return {name: without_descriptions(definitions[name]) for name in sorted(found)}


def write(name: str, content: dict[str, Any]) -> None:
    text = json.dumps(content, separators=(",", ":"), sort_keys=True).replace('},"', '},\n"')
    (HERE / name).write_text(text + "\n")


def kubernetes() -> dict[str, Any]:
    import kubernetes_validate

    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / KUBERNETES
    text = (folder / "_definitions.json").read_text().replace("/api/_definitions.json#/$defs/", "#/$defs/")
    return {"$defs": closure(json.loads(text)["$defs"], KINDS)}


def compute() -> dict[str, Any]:
    import googleapiclient

    document = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents" / "compute.v1.json"
    content = json.loads(document.read_text())
    definitions = closure(content["schemas"], ["Instance"])
    return {"revision": content["revision"], "schemas": definitions}


if __name__ == "__main__":
    write("kubernetes.json", kubernetes())
    write("compute.json", compute())
