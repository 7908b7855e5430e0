"""Of a model that nobody loads."""

from momalisa.walk.model_facts import ModelFacts

FACTS = ModelFacts(
    fingerprints={},
    dtype="float32",
    ruler="styles",
    default_size=32,
    latent_channels=4,
    vae_scale_factor=8,
    num_unet_blocks=2,
)
