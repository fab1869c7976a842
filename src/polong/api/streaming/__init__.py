"""exec, attach, port-forward and log over WebSocket and SPDY/3.1: from a client's socket to `api.ports.Node`.

    serve_exec(request, node, pod, container, command, wanted) -> StreamResponse
    serve_attach(request, node, pod, container, wanted) -> StreamResponse
    serve_portforward(request, node, pod, ports) -> StreamResponse
    serve_log_websocket(request, chunks) -> StreamResponse

Each negotiates, upgrades, serves to the end and leaves nothing running. Before the upgrade they raise `kit.errors` (to be answered as an
ordinary Status); whatever fails later is told on the session's error channel. Authorisation and the checks of the Pod come before.
"""
