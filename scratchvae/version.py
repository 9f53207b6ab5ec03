"""The version: the build reads it, and so does everything that prints it."""

__version__ = "0.1.0"
