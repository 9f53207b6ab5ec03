"""Everything that is drawn: figures, animations, the diagram of a model, and two HTML pages.

A figure is a function of arrays, and only `gallery`, `diagram` and `explorer` read a model. Nothing
here trains, loads data or parses options, and matplotlib is imported only where a figure is drawn.
"""

from colorsys import hls_to_rgb

SHOWN = 48  # examples in a picture of reconstructions
ROWS = 2000  # most rows of a table in a picture


def class_colours(n: int) -> list[str]:
    """A colour for each of n classes, as #rrggbb: hues around the circle, in two shades in turn.

    Both shades can be seen on white and on dark paper: their luminance is at least 0.2 and 0.35.
    """
    return [_shade(i / n, 0.35 if i % 2 else 0.2) for i in range(n)]


def _shade(hue: float, least: float) -> str:
    """The darkest colour of this hue with at least this luminance."""
    shades = (hls_to_rgb(hue, percent / 100, 0.7) for percent in range(101))
    weights = (0.2126, 0.7152, 0.0722)  # of red, green and blue (Rec. 709)
    colour = next(
        rgb for rgb in shades if sum(w * c**2.2 for w, c in zip(weights, rgb, strict=True)) >= least
    )
    return f"#{''.join(f'{round(255 * c):02x}' for c in colour)}"
