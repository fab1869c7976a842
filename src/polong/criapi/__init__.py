"""Seam S4: CRI v1 messages and the interface of a runtime."""
