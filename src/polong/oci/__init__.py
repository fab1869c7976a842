"""The OCI runtime: specs (pure), bundles, crun/runc and conmon drivers, CRI logs, /pause."""
