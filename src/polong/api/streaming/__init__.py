"""exec, attach, port-forward and log over WebSocket and SPDY/3.1: from a client's socket to `api.ports.Node`.

Each `serve_*` negotiates, upgrades, serves to the end and leaves nothing running. Before the upgrade they raise `kit.errors` (to be
answered as an ordinary Status); whatever fails later is told on the session's error channel. Authorisation and the checks of the Pod
come before.
"""

from polong.api.streaming.attach import serve_attach
from polong.api.streaming.exec import serve_exec
from polong.api.streaming.logs import serve_log_websocket
from polong.api.streaming.portforward import serve_portforward
from polong.api.streaming.proxy import serve_proxy
from polong.streaming.wanted import Wanted

__all__ = ["Wanted", "serve_attach", "serve_exec", "serve_log_websocket", "serve_portforward", "serve_proxy"]
