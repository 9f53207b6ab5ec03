"""Everything that is drawn: figures, animations, the diagram of a model, and two HTML pages.

A figure is a function of arrays, and only `gallery`, `diagram` and `explorer` read a model. Nothing
here trains, loads data or parses options, and matplotlib is imported only where a figure is drawn.
"""

SHOWN = 48  # examples in a picture of reconstructions
ROWS = 2000  # most rows of a table in a picture
