"""What probes and lifecycle hooks do: run a command, send a request, open a connection, ask a gRPC server for its health.

Everything goes from the node's network namespace to the Pod's address, as Kubernetes' kubelet does it.
"""
