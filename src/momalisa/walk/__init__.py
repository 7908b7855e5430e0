"""Latent walks: from prompts to a smooth animation. No Ray in here."""
