"""Seam S2: a key-value store with revisions on SQLite. Values are opaque bytes; it knows no Pod."""
