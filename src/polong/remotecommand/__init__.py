"""Codecs of remote command streams, sans-I/O: bytes in, events out; nothing here opens a socket.

channels    the WebSocket subprotocols of exec, attach, port-forward and log
websocket   RFC 6455 frames, the client's side
spdy        SPDY/3.1 frames, streams and windows, both sides
"""
