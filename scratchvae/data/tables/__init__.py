"""Read tables: CSV, TSV and .amat, plain or gzipped, Parquet and Excel.

Each column holds numbers, except one that may hold labels. `files` yields rows of text, `columns`
interprets columns and values, `read` makes the `Table`.
"""

from .columns import Means
from .finish import Table
from .read import SUFFIXES, is_table, read_table, sets_among

__all__ = ["SUFFIXES", "Means", "Table", "is_table", "read_table", "sets_among"]
