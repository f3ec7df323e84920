#!/usr/bin/env bash
# Prints exact versions of everything that pyproject.toml asks for, in requirements format.
# Usage: cluster/lock.sh [python]
set -euo pipefail
python=${1:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet setuptools wheel >&2
"$folder/bin/python" -m pip install --quiet --editable '.[tune,test]' >&2
echo "# Exact versions for Python $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); made by: make lock"
# CUDA's packages exist for Linux only.
"$folder/bin/python" -m pip freeze --all --exclude-editable --exclude pip |
    sed -E "s/^((nvidia|cuda|triton)[^;]*)$/\1; sys_platform == 'linux'/"
