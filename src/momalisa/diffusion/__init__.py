"""Latent diffusion models: loading, encoding, the training objective, drawing pictures."""
