"""The REST client: HTTP and in-process transports, list+watch with resume, exec streams. Async, written once."""
