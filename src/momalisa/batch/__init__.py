"""Batch jobs that Ray spreads over a cluster."""
