"""Text-to-image models learn an art collection, and visitors walk through what they learnt.

Importing this package needs no environment, starts nothing and loads no torch.
"""

__version__ = "0.1.0"
