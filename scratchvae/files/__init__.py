"""File formats and the disk: atomic writing, readers of untrusted files, the folder of a run.

It handles arrays and JSON, and knows nothing of models, training or pictures.
"""
