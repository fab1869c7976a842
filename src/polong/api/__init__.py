"""Seam S1: the Kubernetes REST server."""
