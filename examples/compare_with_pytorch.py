"""Load the weights of a PyTorch module, and return gradients under its names.

`state` stands for the `state_dict()` of a module with `encoder`, `fc_mu`, `fc_logvar` and
`decoder`, as in many tutorials. Its values may be arrays or CPU tensors.
"""

import numpy as np

from scratchvae import VAE

rng = np.random.default_rng(0)
shapes = {
    "encoder.1": (16, 64),
    "fc_mu": (4, 16),
    "fc_logvar": (4, 16),
    "decoder.0": (16, 4),
    "decoder.2": (64, 16),
}
state = {}
for name, (fan_out, fan_in) in shapes.items():
    state[f"{name}.weight"] = rng.standard_normal((fan_out, fan_in)) * fan_in**-0.5
    state[f"{name}.bias"] = np.zeros(fan_out)

vae = VAE(latent_dim=4, hidden=(16,), dtype="float64").load_state_dict(state)
loss, grads = vae.loss_and_grad(rng.random((8, 64)), rng.standard_normal((8, 4)))
print(f"loss {loss:.3f} nats per example")
for name, gradient in vae.state_dict(grads).items():
    print(f"{name:20} {gradient.shape!s:10} norm {np.linalg.norm(gradient):.4f}")
