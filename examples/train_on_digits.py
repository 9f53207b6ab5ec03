"""Train a small VAE on the embedded digits, and draw what it learned into digits.png."""

from scratchvae import VAE, load_data, plots

X, _ = load_data("strokes")
X_test, y_test = load_data("strokes", split="test")

vae = VAE(latent_dim=2, hidden=(200,)).fit(X, X_test=X_test, epochs=5, verbose=True)
print(f"test ELBO: {vae.score_samples(X_test).mean():.1f} nats per digit")

mu, _ = vae.encode(X_test)
plots.latent_plane(mu, y_test).savefig("digits.png")
