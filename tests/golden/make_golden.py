"""Makes `steps.npz`: losses, gradients and three Adam steps in float64, as PyTorch computes them.

And `plain.safetensors`: the first module's weights, as users of PyTorch keep them. The module is
the one of the blog post, with any number of hidden layers. Run it where PyTorch and safetensors are
installed (no test needs it): python tests/golden/make_golden.py
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "softplus": nn.Softplus}
CASES = {
    "blog": {"D": 12, "hidden": (7,), "Z": 3, "activation": "relu", "likelihood": "bernoulli"},
    "deep": {"D": 10, "hidden": (9, 5), "Z": 4, "activation": "tanh", "likelihood": "bernoulli"},
    "linear": {"D": 8, "hidden": (), "Z": 2, "activation": "relu", "likelihood": "bernoulli"},
    "soft": {
        "D": 9,
        "hidden": (6, 4, 5),
        "Z": 2,
        "activation": "softplus",
        "likelihood": "bernoulli",
    },
    "gaussian": {"D": 11, "hidden": (6,), "Z": 3, "activation": "relu", "likelihood": "gaussian"},
}
BETA = {"deep": 2.5}
B, LR, STEPS = 5, 0.01, 3


class Module(nn.Module):
    def __init__(self, D, hidden, Z, activation, likelihood):
        super().__init__()
        act = ACTIVATIONS[activation]
        encoder, width = [nn.Flatten()], D
        for h in hidden:
            encoder += [nn.Linear(width, h), act()]
            width = h
        decoder, last = [], Z
        self.encoder = nn.Sequential(*encoder)
        self.fc_mu, self.fc_logvar = nn.Linear(width, Z), nn.Linear(width, Z)
        for h in reversed(hidden):
            decoder += [nn.Linear(last, h), act()]
            last = h
        self.decoder = nn.Sequential(*decoder, nn.Linear(last, D))
        self.gaussian = likelihood == "gaussian"
        if self.gaussian:
            self.x_logvar = nn.Parameter(torch.tensor([0.3]))

    def losses(self, x, eps):
        h = self.encoder(x)
        mu, logvar = self.fc_mu(h), self.fc_logvar(h)
        y = self.decoder(mu + eps * (0.5 * logvar).exp())
        if self.gaussian:
            rec = F.gaussian_nll_loss(
                y, x, self.x_logvar.exp().expand_as(x), full=True, reduction="sum"
            )
        else:
            rec = F.binary_cross_entropy(torch.sigmoid(y), x, reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return rec / len(x), kl / len(x)


def main():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    arrays = {}
    for name, case in CASES.items():
        module, beta = Module(**case), BETA.get(name, 1.0)
        x, eps = torch.rand(B, case["D"]), torch.randn(B, case["Z"])
        arrays |= {f"{name}/x": x.numpy(), f"{name}/eps": eps.numpy()}
        if name == "blog":
            save_file(module.state_dict(), Path(__file__).with_name("plain.safetensors"))
        adam = torch.optim.Adam(module.parameters(), lr=LR)
        for step in range(STEPS):
            rec, kl = module.losses(x, eps)
            adam.zero_grad()
            (rec + beta * kl).backward()
            if step == 0:
                for key, p in module.named_parameters():
                    arrays[f"{name}/weight/{key}"] = p.detach().numpy().copy()
                    arrays[f"{name}/gradient/{key}"] = p.grad.numpy().copy()
                arrays[f"{name}/losses"] = np.array(
                    [rec.item(), kl.item(), (rec + beta * kl).item()]
                )
            adam.step()
        for key, p in module.named_parameters():
            arrays[f"{name}/after/{key}"] = p.detach().numpy().copy()
    np.savez_compressed(Path(__file__).with_name("steps.npz"), **arrays)


if __name__ == "__main__":
    main()
