"""LoRA adapters: loading them, and weights that differ from picture to picture."""
