"""Bytes and names on a disk: atomic writing, readers of untrusted files, the folder of a run.

It knows arrays and JSON. It does not know what a model, a training run or a picture is.
"""
