"""Adapters that turn gradients of other forms into a pair of functions for `check`."""
