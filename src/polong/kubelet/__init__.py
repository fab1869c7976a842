"""The node agent: Pods in, CRI calls out, status back. Touches neither the store nor the OCI runtime."""
