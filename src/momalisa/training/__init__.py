"""Fine-tuning: the loop and its parts. Only `ray_trainer` knows Ray."""
