"""Kubernetes objects as JSON: typed views of what is used, quantities, selectors, schema, strategic merge. Does no I/O."""
