"""What an edge of a cell may do: the paper's two operations and those that a recipe can add. Loads no torch."""

from __future__ import annotations

import math

PRIMITIVES = ("conv3x3", "skip")
"""The paper's."""

OPERATIONS = (*PRIMITIVES, "conv1x1", "dwconv3x3")
"""All that there are. Packed files know them by their place, so new ones come last."""


def kernel_side(operation: str, source: int, input_skip: str) -> int:
    """Side of the convolution that an operation is; 0 where it is the identity.

    Args:
        operation: one of ``OPERATIONS``.
        source: where its edge begins; from 2 on a node, whose channels are as many as those of the node that reads it.
        input_skip: what a skip of a cell's input is, see ``Recipe``.
    """
    if operation == "skip":
        if source >= 2:
            return 0
        operation = input_skip
    return 1 if operation == "conv1x1" else 3


def group_count(operation: str, in_channels: int, out_channels: int) -> int:
    """Groups of channels that a convolution keeps apart: as many as there can be where it is depthwise.

    Between two nodes each output channel reads one input channel. A cell's input has more channels than a node, and each
    output channel reads an equal share of consecutive ones.
    """
    return math.gcd(in_channels, out_channels) if operation == "dwconv3x3" else 1
