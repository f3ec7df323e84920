"""Two hosts with a network of their own, two namespaces joined by a veth pair, whose link is cut and healed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

from benchmarks.fault_scenarios.stage import Scenario, Stage
from benchmarks.fault_scenarios.storage_fails import not_root


def _needs() -> str:
    return not_root() or ("" if shutil.which("ip") else "iproute2 (ip)")


def _cut(stage: Stage) -> None:
    """Storage is seen from both hosts all the time; Ray on the second one is started again whenever it ends."""
    tag = f"{os.getpid() % 10000}"
    spaces = [f"faults-{tag}-{side}" for side in "ab"]
    links = [f"fv{tag}{side}" for side in "ab"]
    ips = ["10.203.77.1", "10.203.77.2"]
    inside = [["ip", "netns", "exec", space] for space in spaces]
    try:
        for space in spaces:
            _ip("netns", "add", space)
        _ip("link", "add", links[0], "netns", spaces[0], "type", "veth", "peer", "name", links[1], "netns", spaces[1])
        for space, link, ip in zip(spaces, links, ips, strict=True):
            _ip("-n", space, "addr", "add", f"{ip}/24", "dev", link)
            _ip("-n", space, "link", "set", link, "up")
            _ip("-n", space, "link", "set", "lo", "up")
        stage.hosts.start_head(inside=inside[0], ip=ips[0])
        stage.hosts.start_node("node", inside=inside[1], ip=ips[1], supervised=True)
        run = stage.drive(inside=inside[0])
        stage.wait_epochs(6, 40, run)

        stage.strike(stage.wait(lambda: stage.on("node"), "a trial on the host that will be cut off", run))
        _ip("-n", spaces[0], "link", "set", links[0], "down")
        stage.wait(lambda: not stage.on("node"), "Ray to notice", run)
        stage.facts["noticed_s"] = round(time.monotonic() - stage.moment, 1)
        _ip("-n", spaces[0], "link", "set", links[0], "up")
        healed = time.monotonic()
        while stage.hosts.starts("node") < 2 and run.poll() is None:
            time.sleep(0.1)
        back = stage.hosts.starts("node") > 1
        stage.facts["back_after_healing_s"] = round(time.monotonic() - healed, 1) if back else None
        stage.end(run)
    finally:
        stage.hosts.kill()
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


SCENARIOS = {
    "network": Scenario(
        what="the network between two hosts is cut, and healed when Ray has noticed",
        act=_cut,
        retrain_epochs=120,
        needs=_needs,
    ),
}
