"""One file a verb: what it does with any kind."""
