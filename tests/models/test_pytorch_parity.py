"""Losses, gradients, steps of Adam and weights, against those that PyTorch computed."""

import numpy as np
import pytest
from support.golden import CASES, golden

from scratchvae import VAE
from scratchvae.train.optim import Adam


def close(ours, theirs):
    """Equal to 1e-10 of the largest entry."""
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-10 * np.abs(theirs).max()


@pytest.mark.parametrize("case", CASES)
def test_one_step_is_pytorchs(case):
    g = golden(case)
    vae = VAE(**CASES[case], dtype="float64").load_state_dict(g["weight"])
    loss, grads = vae.loss_and_grad(g["x"], g["eps"])
    acts = vae.forward(g["x"], g["eps"])
    close(np.array([acts.rec.mean(), acts.kl.mean(), loss]), g["losses"])
    ours = vae.state_dict(grads)
    assert ours.keys() == g["gradient"].keys()
    for name, theirs in g["gradient"].items():
        close(ours[name], theirs)


@pytest.mark.parametrize("case", CASES)
def test_three_steps_of_adam_are_pytorchs(case):
    g = golden(case)
    vae = VAE(**CASES[case], dtype="float64").load_state_dict(g["weight"])
    adam = Adam(vae.params_.array, lr=0.01)
    for _ in range(3):
        vae.backward(vae.gradients, vae.forward(g["x"], g["eps"]))
        adam.step(vae.params_.array, vae.gradients.array)
    for name, theirs in g["after"].items():
        close(vae.state_dict()[name], theirs)


@pytest.mark.parametrize("case", CASES)
def test_weights_go_both_ways(case):
    g = golden(case)
    vae = VAE(**CASES[case], dtype="float64").load_state_dict(g["weight"])
    state = vae.state_dict()
    assert state.keys() == g["weight"].keys()
    for name, a in g["weight"].items():
        np.testing.assert_array_equal(state[name], a)
        assert state[name].flags.c_contiguous
    again = VAE(**CASES[case], dtype="float64").load_state_dict(state)
    np.testing.assert_array_equal(again.params_.array, vae.params_.array)


def test_the_names_are_those_of_the_blog_posts_module():
    assert list(VAE().build(784).state_dict()) == [
        *("encoder.1.weight", "encoder.1.bias", "fc_mu.weight", "fc_mu.bias"),
        *("fc_logvar.weight", "fc_logvar.bias", "decoder.0.weight", "decoder.0.bias"),
        *("decoder.2.weight", "decoder.2.bias"),
    ]
    shapes = {name: a.shape for name, a in VAE().build(784).state_dict().items()}
    assert shapes["encoder.1.weight"] == (400, 784)
    assert shapes["fc_logvar.weight"] == (32, 400)
    assert shapes["decoder.2.weight"] == (784, 400)
