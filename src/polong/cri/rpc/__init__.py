"""One RPC of CRI v1 a file, named as the specification names it; `service.CriService` delegates to these."""
