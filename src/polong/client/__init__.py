"""The REST client: HTTP and in-process transports, list+watch with resume, exec streams. Async, written once.

What a short command does not need (`client.watch`, `client.http`, …) is imported by name, by whoever needs it.

async with client.Client(kubeconfig.load(...).transport()) as api:
    pod = await api.get(gvk.PODS, "nginx", "default")
"""

from polong.client.rest import Client, DeleteOptions, ListOptions, PatchType, WriteOptions
from polong.client.transport import Answer, Call, Transport

__all__ = ["Answer", "Call", "Client", "DeleteOptions", "ListOptions", "PatchType", "Transport", "WriteOptions"]
