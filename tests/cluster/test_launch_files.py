"""The files of `ray up` against Ray's schema and validation, Amazon's service model and simulator, and Google's API."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest
import ray
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws import config as aws_config
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config

import litesnn

ROOT = Path(__file__).parents[2]
SCHEMAS = Path(__file__).parent / "schemas"
PROVIDERS = ["ssh", "aws", "gcp"]


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster" / f"{name}.yaml").read_text())


def commands(config: dict[str, Any]) -> Iterator[str]:
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        yield from (command for command in config[key] if "ray start" in command)


@pytest.mark.parametrize("name", PROVIDERS)
def test_ray_accepts_the_file_and_its_completed_form(name: str) -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(read(name), schema)
    validate_config(prepare_config(read(name)))


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("slip", [{"max_worker": 2}, {"docker": {"image": "a", "container": "b"}}, {"file_mounts": []}])
def test_ray_refuses_a_slip(name: str, slip: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**prepare_config(read(name)), **slip})


@pytest.mark.parametrize("name", PROVIDERS)
def test_nodes_listen_behind_the_token_and_the_dashboard_on_loopback(name: str) -> None:
    config = read(name)
    assert config["file_mounts"]["/home/litesnn/.ray/auth_token"] == "~/.ray/auth_token"
    dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
    assert "RAY_AUTH_MODE=token" in dockerfile and "HOME=/home/litesnn" in dockerfile
    head, worker = commands(config)
    assert "--head" in head and "--dashboard-host=127.0.0.1" in head and "RAY_JOB_STOP_WAIT_TIME_S=60" in head
    assert "--address=$RAY_HEAD_IP:6379" in worker
    assert all("--metrics-export-port=8080" in command for command in (head, worker))


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_workers_may_be_preempted_and_are_replaced_and_the_head_may_not(name: str) -> None:
    config = prepare_config(read(name))
    head, gpu = (config["available_node_types"][key] for key in ("head", "gpu"))
    assert config["head_node_type"] == "head" and gpu["resources"]["GPU"] == 1
    assert gpu["min_workers"] == gpu["max_workers"] == config["max_workers"] > 0
    market = {"aws": "InstanceMarketOptions", "gcp": "scheduling"}[name]
    assert "spot" in json.dumps(gpu["node_config"][market]).lower() and market not in head["node_config"]


@mock_aws
def test_amazon_gets_spot_machines_and_opens_ssh_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    config = prepare_config(read("aws"))
    region = config["provider"]["region"]
    ec2 = boto3.resource("ec2", region_name=region)
    # What Ray does on `ray up`, apart from the key: that it would write into the home folder.
    for node_type in config["available_node_types"].values():
        node_type["node_config"]["KeyName"] = "key"
    config["auth"]["ssh_private_key"] = "key.pem"
    config["head_node"] = {}
    config = aws_config._configure_security_group(aws_config._configure_subnet(aws_config._configure_iam_role(config)))

    group = ec2.SecurityGroup(config["available_node_types"]["gpu"]["node_config"]["SecurityGroupIds"][0])
    assert group.group_name == config["provider"]["security_group"]["GroupName"]
    for rule in group.ip_permissions:
        ports = (rule.get("FromPort"), rule.get("ToPort"))
        if rule["IpRanges"] or rule.get("Ipv6Ranges"):
            assert ports == (22, 22) and rule["IpProtocol"] == "tcp"
        else:
            assert {pair["GroupId"] for pair in rule["UserIdGroupPairs"]} == {group.id}
    assert len(group.ip_permissions) == 2

    # The simulator knows no images by their parameter, so one of its own takes the place.
    image = next(iter(ec2.images.all())).id
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for name, node_type in config["available_node_types"].items():
        node = copy.deepcopy(node_type["node_config"])
        assert node["ImageId"].startswith("resolve:ssm:/aws/service/")
        node.update(ImageId=image)
        node.pop("IamInstanceProfile")  # nor the role, which the account's owner makes
        provider.create_node(node, {"ray-node-type": name}, 1)
    kinds = {}
    for instance in ec2.instances.all():
        tags = {tag["Key"]: tag["Value"] for tag in instance.tags}
        kinds[tags["ray-node-type"]] = (instance.instance_type, instance.instance_lifecycle)
    assert kinds["head"][1] is None and kinds["gpu"][1] == "spot"


def test_amazon_knows_every_field() -> None:
    from botocore.validate import ParamValidator

    shape = (
        boto3.client("ec2", region_name="eu-central-1").meta.service_model.operation_model("RunInstances").input_shape
    )
    for node_type in read("aws")["available_node_types"].values():
        report = ParamValidator().validate({**node_type["node_config"], "MinCount": 1, "MaxCount": 1}, shape)
        assert not report.has_errors(), report.generate_report()
        unknown = {**node_type["node_config"], "MinCount": 1, "MaxCount": 1, "SpotOptions": {}}
        assert ParamValidator().validate(unknown, shape).has_errors()


def google_faults(value: Any, schema: dict[str, Any], schemas: dict[str, Any], place: str) -> list[str]:
    """What a value has that Google's description of the API does not allow."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    if not isinstance(value, kinds[schema["type"]]):
        return [f"{place}: expected {schema['type']}, got {value!r}"]
    if isinstance(value, list):
        return [fault for item in value for fault in google_faults(item, schema["items"], schemas, f"{place}[]")]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return [
            fault
            for key, item in value.items()
            for fault in (
                google_faults(item, known[key], schemas, f"{place}.{key}")
                if key in known
                else [f"{place}.{key}: unknown"]
            )
        ]
    return [f"{place}: got {value}"] if "enum" in schema and value not in schema["enum"] else []


def test_google_knows_every_field() -> None:
    # int64 fields are text in this description and numbers in its practice, as in Ray's own examples.
    schemas = json.loads((SCHEMAS / "compute.json").read_text())["schemas"]
    for node_type in read("gcp")["available_node_types"].values():
        node = copy.deepcopy(node_type["node_config"])
        for disk in node["disks"]:
            disk["initializeParams"]["diskSizeGb"] = str(disk["initializeParams"]["diskSizeGb"])
        assert google_faults(node, {"$ref": "Instance"}, schemas, "node_config") == []
        assert google_faults({**node, "machine": "a"}, {"$ref": "Instance"}, schemas, "n") == ["n.machine: unknown"]


def test_all_files_name_one_image() -> None:
    named = set()
    for path in (ROOT / "cluster").rglob("*"):
        if path.is_file():
            named |= set(re.findall(r"REGISTRY/\S+?:[\w.]+", path.read_text()))
    assert named == {f"REGISTRY/litesnn:{litesnn.__version__}"}
