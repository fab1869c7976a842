"""exec, attach and port-forward as servers speak them: WebSocket and SPDY/3.1 sessions on aiohttp, for the API and for CRI alike.

What a session is about comes in as a function over byte streams (`session.Work`, `portforward.Forward`); this package knows neither Pods
nor containers.
"""
