"""Models that ship with momalisa, and how they are made."""
