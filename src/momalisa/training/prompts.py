"""Prompts that are drawn by default."""

MOMA_VALIDATION_PROMPTS = (
    "A MOMA artwork of: changing seasons",
    "A MOMA artwork of: a coffee",
    "A MOMA artwork of: an industrial setting",
    "A MOMA artwork of: critique of the USA",
    "A MOMA artwork of: Picasso and Monet",
)

OUTSIDE_PROMPTS = (
    "a photograph of a dog in a park",
    "a city street at night in the rain",
    "a bowl of fruit on a wooden table",
    "a portrait of an old fisherman",
    "a red sports car on a mountain road",
    "an astronaut riding a horse",
    "a cup of tea and a book by the window",
    "a snowy forest at dawn",
)
"""Prompts outside any one collection: what the base model knew and should not forget."""
