"""File formats and the disk: atomic writing, readers of untrusted files, the folder of a run.

It handles arrays and JSON, and knows a run's files by their names. It knows nothing of models, the
training loop or figures.
"""
