"""`ray start` with every server of the node on 127.0.0.1, for a cluster that never leaves its machine.

Usage: python cluster/loopback.py OPTIONS_OF_RAY_START...

`ray start` replaces a node address of 127.0.0.1 by the machine's outward one, and then listens on all interfaces: to the
token for most servers, to anybody for the metrics. The one switch against that also forbids a second node, so this
process is told that nodes may join, while all that it starts is told to stay on loopback. A test looks at the open ports.
"""

from __future__ import annotations

import os
import sys

_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def main() -> None:
    os.environ[_SWITCH] = "1"  # read by Ray when it is imported
    from ray._private import services
    from ray.scripts import scripts

    services.get_node_ip_address = lambda address=None: "127.0.0.1"
    os.environ[_SWITCH] = "0"  # for the servers, the workers and the jobs
    sys.argv[:1] = ["ray", "start"]
    scripts.main()


if __name__ == "__main__":
    main()
