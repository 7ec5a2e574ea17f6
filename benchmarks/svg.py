"""Bar charts as SVG, without any library."""

from collections.abc import Mapping
from html import escape

WIDTH, LEFT, BAR, GAP, TOP = 640, 120, 18, 8, 40


def bars(title: str, unit: str, values: Mapping[str, float]) -> str:
    """One horizontal bar a name, on a linear scale from zero."""
    most = max(values.values(), default=0) or 1
    room = WIDTH - LEFT - 100
    parts = [f'<text x="8" y="22" font-size="15">{escape(title)} ({escape(unit)})</text>']
    for index, (name, value) in enumerate(values.items()):
        y, colour = TOP + index * (BAR + GAP), "#6762a6" if name == "procman" else "#b8b8c0"
        length = max(value / most * room, 1)
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{y + 13}">{value:,.3g}</text>',
        ]
    height = TOP + len(values) * (BAR + GAP) + 8
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif"'
    return "\n".join([f'{head} font-size="12">', '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])
