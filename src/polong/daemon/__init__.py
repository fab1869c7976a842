"""The wiring: builds the graph of objects once, starts and stops it in order. Only `polong serve` imports it."""
