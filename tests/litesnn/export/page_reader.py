"""A reader of packed files made of docs/export.md alone: its tables drive it, nothing of ``litesnn`` is imported."""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).parents[3] / "docs" / "export.md"


class Stream:
    """The codings of the page's first table."""

    def __init__(self, content: bytes) -> None:
        self.rest = iter(content[5:])
        self.x, self.width = int.from_bytes(content[:5].ljust(5, b"\0"), "big"), 2**40

    def _refill(self) -> None:
        while self.width < 2**32:
            self.width, self.x = self.width * 256, self.x * 256 + next(self.rest, 0)

    def _choice(self, a: int, b: int) -> int:
        lower = self.width // (a + b) * a
        bit = int(self.x >= lower)
        self.x, self.width = (self.x - lower, self.width - lower) if bit else (self.x, lower)
        self._refill()
        return bit

    def uniform(self, m: int) -> int:
        self.width //= m
        value, self.x = divmod(self.x, self.width)
        self._refill()
        return value

    def bits(self, n: int) -> int:
        value = 0
        while n > 0:
            size = min(n, 16)
            value, n = value * 2**size + self.uniform(2**size), n - size
        return value

    def integer(self) -> int:
        k = 0
        while self.uniform(2):
            k += 1
        return 2**k + self.bits(k) - 1

    def mask(self, n: int, k: int) -> list[int]:
        marks = []
        for left in range(n, 0, -1):
            marks.append(int(k > 0) if k in (0, left) else self._choice(left - k, k))
            k -= marks[-1]
        return marks

    def tree(self, counts: dict[int, list[int]], depth: int) -> int:
        node = 1
        for _ in range(depth):
            pair = counts.setdefault(node, [1, 1])
            bit = self._choice(*pair)
            pair[bit] += 2
            node = 2 * node + bit
        return node - 2**depth

    def decimal(self) -> float:
        m, e = self.integer(), self.integer()
        return float(f"{m}e-{e}")

    def number(self, kind: dict[str, dict[int, list[int]]]) -> float:
        sign, exponent, length = (
            self.tree(kind.setdefault(name, {}), depth) for name, depth in (("s", 1), ("e", 11), ("l", 6))
        )
        mantissa = (2 * self.bits(length - 1) + 1) << (52 - length) if length else 0
        value: float = struct.unpack("<d", struct.pack("<Q", sign << 63 | exponent << 52 | mantissa))[0]
        return value

    def text(self) -> str:
        return bytes(self.bits(8) for _ in range(self.integer())).decode("utf-8", "surrogatepass")


def header_rows() -> list[tuple[list[str], str, list[str]]]:
    """Rows of the page's header table: names, how often, and a coding for each name."""
    table = PAGE.read_text(encoding="utf-8").split("| field | times | coding | meaning |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]
    return [
        (re.findall(r"`(\w+)`", names), times, re.findall(r"\w+(?:\([^)]*\))?", coding))
        for names, times, coding, _ in rows
    ]


def read_header(stream: Stream, version: int) -> dict[str, Any]:
    """Every field of the table as a list, one entry for each time."""
    found: dict[str, Any] = {"version": [version]}
    for names, times, codings in header_rows():
        for name in names:
            found[name] = []
        counts = {name: values[0] for name, values in found.items() if values}
        for number in range(int(eval(times, {}, counts))):
            for name, coding in zip(names, codings, strict=True):
                call, _, argument = coding.rstrip(")").partition("(")
                read: Callable[..., Any] = getattr(stream, call)
                found[name].append(read(int(eval(argument, {}, {**counts, "i": number}))) if argument else read())
    return found


def shapes(head: dict[str, Any]) -> tuple[list[tuple[int, tuple[int, ...], list[int], int, int]], list[int]]:
    """Layers as (row fed, rows read, shape, bits, groups), -1 for the classifier's row, and channels per row."""
    nodes, channels = head["nodes"][0], head["channels"][0]
    rows, states, scale = [channels], [[0], [0]], 1
    layers: list[Any] = [(0, (), [channels, head["channels_in"][0], 3, 3], head["stem_bits_less_1"][0] + 1, 1)]
    edges = list(zip(head["source"], head["op"], strict=True))
    for wider, bits in zip(head["wider"], head["bits_less_1"], strict=True):
        scale <<= wider
        own: list[int] = []
        before = states[-2:]
        for node in range(nodes):
            for source, op in edges[2 * node : 2 * node + 2]:
                if source >= 2 and op == 1:
                    continue
                reads = before[source] if source < 2 else [own[source - 2]]
                side = 1 if op == 2 or (op == 1 and head["input_skip"][0]) else 3
                inputs, outputs = sum(rows[read] for read in reads), channels * scale // nodes
                apart = math.gcd(inputs, outputs) if op == 3 else 1
                layers.append((len(rows), tuple(reads), [outputs, inputs, side, side], bits + 1, apart))
            own.append(len(rows))
            rows.append(channels * scale // nodes)
        states.append(own)
    last = states[-1]
    size = [head["classes"][0], sum(rows[read] for read in last), 1, 1]
    layers.append((-1, tuple(last), size, head["classifier_bits_less_1"][0] + 1, 1))
    return layers, rows


def groups(weights: int, kept: int, n: int) -> list[tuple[int, int, int]]:
    """Where each group starts and ends, and how many it keeps."""
    if n == 0 or kept == 0:
        return [(0, weights, kept)]
    number = math.ceil(kept / n)
    starts = [math.ceil(Fraction(j * n * weights, kept)) for j in range(number)] + [weights]
    return [(starts[j], starts[j + 1], min(n, kept - j * n)) for j in range(number)]


def read_file(content: bytes) -> dict[str, Any]:
    """Header, codes, steps, scales and biases; what is not in the file is 0."""
    assert (
        content[:4] == b"LSNN"
        and content[4] in (2, 3, 4, 5)
        and zlib.crc32(content[:-4]) == int.from_bytes(content[-4:], "little")
    )
    stream = Stream(content[5:-4])
    head = read_header(stream, content[4])
    size = [head["channels_in"][0], head["height"][0], head["width"][0]]
    for name in ("mean", "std"):
        axes = [full if stream.bits(1) else 1 for full in size]
        kind: dict[str, Any] = {}
        head[name] = np.array([stream.number(kind) for _ in range(int(np.prod(axes)))]).reshape(axes)
    layers, rows = shapes(head)
    head["rates"] = [[stream.bits(16) / 65535 for _ in range(head["timesteps"][0])] for _ in rows]
    there = []
    for channels in rows:
        removed = stream.integer()
        there.append(np.array(stream.mask(channels, channels - removed), bool))
    outputs = [there[row] if row >= 0 else np.ones(shape[0], bool) for row, _, shape, _, _ in layers]
    inputs = [
        np.concatenate([there[r] for r in reads]) if reads else np.ones(shape[1], bool)
        for _, reads, shape, _, _ in layers
    ]
    own = [np.kron(np.eye(apart), np.ones((o // apart, i // apart))) > 0 for *_, (o, i, _, _), _, apart in layers]
    pairs = [marks & o[:, None] & i for marks, o, i in zip(own, outputs, inputs, strict=True)]
    counts: list[list[tuple[int, int]]] = []
    count_trees: dict[int, Any] = {}
    for (_, _, shape, _, _), both, marks in zip(layers, pairs, own, strict=True):
        present = np.repeat(both[marks], shape[2] ** 2)
        kept = int((1 - Fraction(repr(head["p"][0])) / 100) * len(present) + Fraction(1, 2))
        counts.append([])
        for start, end, few in groups(len(present), kept, (head["mask_n"] or [0])[0]):
            left = int(present[start:end].sum())
            low, high = max(0, few - (end - start - left)), min(few, left)
            if not head["mask_n"]:
                low += stream.uniform(high - low + 1)
            elif low < high:
                low += stream.tree(count_trees.setdefault(high - low, {}), len(f"{high - low:b}"))
            counts[-1].append((left, low))
    masks = [np.array([bit for left, few in layer for bit in stream.mask(left, few)], bool) for layer in counts]
    trees: dict[int, Any] = {}
    codes: list[Any] = []
    for (_, _, shape, bits, _), mask, both in zip(layers, masks, pairs, strict=True):
        values = [2 * stream.tree(trees.setdefault(bits, {}), bits) - 2**bits + 1 for _ in range(int(mask.sum()))]
        small = np.zeros(len(mask), int)
        small[mask] = values
        whole = np.zeros(shape, int)
        whole[both] = small.reshape(-1, *shape[2:])
        codes.append(whole)
    kind, steps, scales = {}, [], []
    for (row, _, shape, _, _), layer in zip(layers, codes, strict=True):
        filters = np.flatnonzero(layer.any((1, 2, 3)))
        steps.append(stream.number(kind) if len(filters) else 1.0)
        scale = np.zeros(shape[0])
        for out in filters if row >= 0 else ():
            scale[out] = stream.number(kind)
        scales.append(scale)
    kind, biases = {}, []
    for row, marks in enumerate(there):
        has = any(fed == row for fed, *_ in layers)
        bias = np.full(len(marks), -2.0 if has else 0.0)
        for channel in np.flatnonzero(marks) if has else ():
            bias[channel] = stream.number(kind)
        biases.append(bias)
    return {"head": head, "codes": codes, "steps": steps, "scales": scales, "biases": biases}
