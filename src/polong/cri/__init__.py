"""The runtime and image service of CRI v1: one RPC a file. Knows no Kubernetes objects."""
