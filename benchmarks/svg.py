"""Bar charts as SVG, without any library: a panel a row, two panels beside each other."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

PANEL, LEFT, RIGHT, BAR, GAP, TOP, BELOW = 470, 100, 76, 14, 5, 30, 22  # pixels
COLUMNS = 2
LETTER = 6.6  # of a title, at its size
COLOURS = {"procman": "#6762a6", "floor": "#dcdce2"}
PEER = "#a9a9b4"


class Panel(NamedTuple):
    """One chart: a title, its unit, and a bar a name."""

    title: str
    values: Mapping[str, float]

    @property
    def height(self) -> int:
        """In pixels, with the space below."""
        return TOP + len(self.values) * (BAR + GAP) + BELOW


def sheet(panels: Sequence[Panel]) -> str:
    """All panels, row by row; those beside each other begin at the same height."""
    parts, y = [], 8
    for at in range(0, len(panels), COLUMNS):
        beside = panels[at : at + COLUMNS]
        for column, panel in enumerate(beside):
            parts += drawn(panel, column * PANEL, y)
        y += max(panel.height for panel in beside)
    width = PANEL * min(COLUMNS, max(len(panels), 1))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}"'
    paper = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f'{head} font-family="sans-serif" font-size="11">', paper, *parts, "</svg>\n"])


def drawn(panel: Panel, x: int, y: int) -> list[str]:
    """One horizontal bar a name, on a linear scale from zero; what is too small for the scale is a hair."""
    most = max(panel.values.values(), default=0) or 1
    room = PANEL - LEFT - RIGHT
    fit = int((PANEL - 20) / LETTER)
    title = panel.title if len(panel.title) <= fit else f"{panel.title[: fit - 1]}…"
    parts = [f'<text x="{x + 8}" y="{y + 16}" font-size="12" font-weight="bold">{escape(title)}</text>']
    for index, (name, value) in enumerate(panel.values.items()):
        top, length = y + TOP + index * (BAR + GAP), max(value / most * room, 1)
        colour = COLOURS.get(name, PEER)
        parts += [
            f'<text x="{x + LEFT - 6}" y="{top + 11}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{x + LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{x + LEFT + length + 5:.1f}" y="{top + 11}">{label(value)}</text>',
        ]
    return parts


def label(value: float) -> str:
    """Three digits, without exponent."""
    return f"{value:,.0f}" if value == 0 or value >= 100 else f"{value:.3g}"
