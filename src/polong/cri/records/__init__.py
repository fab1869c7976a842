"""What the service remembers of sandboxes and containers: facts on disk, states derived from them."""
