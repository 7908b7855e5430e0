"""Walks over HTTP: see the README beside this file."""
