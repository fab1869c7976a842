"""Polong runs Kubernetes Pods on one Linux machine; see ARCHITECTURE.md for the map."""

__version__ = "0.1.0"
