"""Bugs of the kinds that real VAEs ship with, each as a switch on this one.

    with BUGS["noise redrawn in backward"]():
        report = check_model(vae, x, eps)

Each replaces a function of this package while the context lasts, and the checks are expected to
notice: `teeth.py` asks whether they do. `examples/wrong_gradient.py` shows what such a VAE draws.
"""

from . import gradients, meaning
from .switch import BUGS

__all__ = ["BUGS", "gradients", "meaning"]
