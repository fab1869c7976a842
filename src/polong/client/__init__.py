"""The REST client: HTTP and in-process transports, list+watch with resume, exec streams. Async, written once.

async with client.Client(kubeconfig.load(...).transport()) as api:
    pod = await api.get(gvk.PODS, "nginx", "default")
"""

from polong.client.rest import Client, DeleteOptions, ListOptions, PatchType, WriteOptions
from polong.client.transport import Answer, Call, Transport
from polong.client.watch import Change, ListWatch

__all__ = ["Answer", "Call", "Change", "Client", "DeleteOptions", "ListOptions", "ListWatch", "PatchType", "Transport", "WriteOptions"]
