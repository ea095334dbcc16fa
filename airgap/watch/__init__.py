"""Bundles are imported as their volumes arrive."""
