"""Everything that is drawn: figures, animations, the diagram of a model, and two HTML pages.

A figure is a function of arrays, and only `gallery`, `diagram` and `explorer` read a model. Nothing
here trains, loads data or parses options, and matplotlib is imported only where a figure is drawn.
"""

from colorsys import hls_to_rgb

SHOWN = 48  # examples in a picture of reconstructions
ROWS = 2000  # most rows of a table in a picture


def class_colours(n: int) -> list[str]:
    """A colour for each of n classes, around the circle of hues, as #rrggbb."""
    colours = (hls_to_rgb(i / max(n, 1), 0.6 if i % 2 else 0.44, 0.7) for i in range(n))
    return [f"#{''.join(f'{round(255 * c):02x}' for c in colour)}" for colour in colours]
