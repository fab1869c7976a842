"""Builds the graph of objects, once; start and stop order."""
