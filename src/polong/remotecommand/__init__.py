"""WebSocket channel and SPDY/3.1 codecs: bytes in, events out. Opens no socket."""
