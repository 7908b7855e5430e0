"""Captioned artworks: reading, drawing, sharding, caching."""
