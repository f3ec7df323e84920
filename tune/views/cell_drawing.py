"""A network's cell as SVG: which input each node reads through which operation, and the bits of every cell.

The drawing is a circuit diagram. Every state (the two inputs of the cell, then its nodes) is a vertical wire that
begins where the state is computed; a node takes two branches from wires to its left. A dot joins wires, a plain crossing does
not. Node wires end in the bar at the bottom: the cell's output is their concatenation.
"""

from __future__ import annotations

from html import escape

from litesnn.genotype import Genotype

_STEP = 108  # from one node's wire to the next
_ROW = 62  # from one node down to the next
_BOX = 64, 22  # an operation's box
_LETTERS = 8  # that fit into it at the drawing's size
_CHIP = 46  # width of a cell in the strip of bits
_LEFT, _TOP = 26, 34

# Both inherit the colours of the page; a drawing on its own is black on nothing.
_STYLE = (
    'fill="none" stroke="currentColor" stroke-width="1.4" font-family="system-ui, sans-serif" font-size="13" '
    'stroke-linejoin="round"'
)


def draw_cell(genotype: Genotype, name: str) -> str:
    """The cell that all cells of a network share, and the strip of their weight bits.

    Args:
        genotype: the network.
        name: what a screen reader calls the network; escaped here.

    Returns:
        One ``<svg>`` element: no scripts, no outside references, colours by ``currentColor`` and the CSS variables
        ``--front``, ``--paper`` and ``--muted``.
    """
    count = len(genotype.nodes)
    bottom = _TOP + count * _ROW + 24
    strip, strip_width = _bits_strip(genotype.bits, bottom + 44)
    width = max(_wire(count + 1) + 34, strip_width + 2 * 8)
    parts = [_wires(genotype, bottom), *(_node(j, pairs) for j, pairs in enumerate(genotype.nodes))]
    parts += [_output(count, bottom), strip]
    height = bottom + 62
    return (
        f'<svg class="cell" role="img" aria-label="{escape(f"{name}: {in_words(genotype)}")}" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" {_STYLE}>'
        + "".join(parts)
        + "</svg>"
    )


def in_words(genotype: Genotype) -> str:
    """``node 0 = conv3x3(input 0) + skip(input 1); … bits per cell 4 1 2``, for who cannot see the drawing."""
    nodes = "; ".join(
        f"node {j} = " + " + ".join(f"{op}({_name(source)})" for source, op in pairs)
        for j, pairs in enumerate(genotype.nodes)
    )
    return f"{nodes}; bits per cell {' '.join(map(str, genotype.bits))}"


def _name(source: int) -> str:
    return f"input {source}" if source < 2 else f"node {source - 2}"


def _wire(state: int) -> float:
    """x of a state's wire: the inputs close together, then one step per node."""
    return _LEFT + (state * 44 if state < 2 else 44 + (state - 1) * _STEP)


def _row(node: int) -> float:
    """y of a node's centre."""
    return _TOP + 34 + node * _ROW


def _branch(node: int, which: int) -> float:
    """y of one of a node's two branches."""
    return _row(node) + (-14 if which == 0 else 14)


def _wires(genotype: Genotype, bottom: float) -> str:
    """All vertical wires; those of the inputs end at their last branch."""
    parts = []
    for state in (0, 1):
        taps = [
            _branch(j, i)
            for j, pairs in enumerate(genotype.nodes)
            for i, (source, _) in enumerate(pairs)
            if source == state
        ]
        x = _wire(state)
        parts.append(_text(x, _TOP - 14, f"in {state}"))
        colour = "" if taps else ' stroke="var(--muted, #777)" stroke-dasharray="2 3"'
        parts.append(f'<path d="M{x:g} {_TOP - 6}V{max(taps, default=_TOP + 12):g}"{colour}/>')
    for j in range(len(genotype.nodes)):
        parts.append(f'<path d="M{_wire(j + 2):g} {_row(j):g}V{bottom - 2:g}"/>{_arrow(_wire(j + 2), bottom - 2)}')
    return "".join(parts)


def _node(node: int, pairs: tuple[tuple[int, str], ...]) -> str:
    """A node with its two branches: dot on the wire, box of the operation, elbow into the circle."""
    x, y = _wire(node + 2), _row(node)
    box_width, box_height = _BOX
    end = x - 34  # right edge of the boxes
    parts = []
    for which, (source, op) in enumerate(pairs):
        branch = _branch(node, which)
        parts.append(f'<circle cx="{_wire(source):g}" cy="{branch:g}" r="3" fill="currentColor" stroke="none"/>')
        parts.append(f'<path d="M{_wire(source):g} {branch:g}H{end:g}"/>')
        parts.append(f'<path d="M{end:g} {branch:g}h8L{x:g} {y:g}"/>')
        look = 'fill="var(--paper, #fff)"' + (' stroke-dasharray="4 3"' if op == "skip" else "")
        name = _text(end - box_width / 2, branch + 4.5, op, size=None if len(op) <= _LETTERS else 10)
        parts.append(
            f'<rect class="op" x="{end - box_width:g}" y="{branch - box_height / 2:g}" width="{box_width}" '
            f'height="{box_height}" rx="4" {look}/>{name}'
        )
    parts.append(f'<circle class="node" cx="{x:g}" cy="{y:g}" r="13" fill="var(--front, #0b6e99)" stroke="none"/>')
    parts.append(_text(x, y + 4.5, str(node), "var(--paper, #fff)", 600))
    return "".join(parts)


def _output(nodes: int, y: float) -> str:
    """The bar in which the wires of all nodes end."""
    left, right = _wire(2) - 22, _wire(nodes + 1) + 22
    label = f'<text x="{left - 8:g}" y="{y + 4.5:g}" text-anchor="end" fill="currentColor" stroke="none">out</text>'
    return f'<path d="M{left:g} {y:g}H{right:g}" stroke-width="4"/>{label}'


def _bits_strip(bits: tuple[int, ...], y: float) -> tuple[str, float]:
    """One box per cell in the order of the network, its bits inside; also its width."""
    label = "bits per cell"
    start = 8.0 + 84
    parts = [f'<text x="8" y="{y + 4.5:g}" fill="var(--muted, #777)" stroke="none">{label}</text>']
    for i, width in enumerate(bits):
        x = start + i * _CHIP
        if i:
            parts.append(f'<path d="M{x - 10:g} {y:g}h10"/>')
        parts.append(
            f'<rect class="bits" x="{x:g}" y="{y - 13:g}" width="{_CHIP - 10}" height="26" rx="4" '
            f'fill="var(--front, #0b6e99)" fill-opacity="{min(0.6, 0.1 * width):g}"/>'
        )
        parts.append(_text(x + (_CHIP - 10) / 2, y + 4.5, str(width), weight=600))
    return "".join(parts), start + len(bits) * _CHIP


def _arrow(x: float, y: float) -> str:
    return f'<path d="M{x - 4:g} {y - 8:g}L{x:g} {y:g}L{x + 4:g} {y - 8:g}"/>'


def _text(x: float, y: float, text: str, fill: str = "currentColor", weight: int = 400, size: int | None = None) -> str:
    look = (f' font-weight="{weight}"' if weight != 400 else "") + (f' font-size="{size}"' if size else "")
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" fill="{fill}" stroke="none"{look}>{escape(text)}</text>'
