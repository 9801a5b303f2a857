"""Weights of others as backbones of this repository: read by content, renamed, and made to compute the same here."""
