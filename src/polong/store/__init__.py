"""Seam S2: a key-value store with revisions on SQLite. Values are opaque bytes; it knows no Pod.

storage = await store.SQLiteStorage.open(path)     # or store.MemoryStorage()
revision = await storage.create("/pods/default/nginx", b"...")
"""

from polong.store.compaction import Retention
from polong.store.interface import Event, KeyValue, Page, Storage, Watch
from polong.store.memory import MemoryStorage
from polong.store.sqlite import SQLiteStorage

__all__ = ["Event", "KeyValue", "MemoryStorage", "Page", "Retention", "SQLiteStorage", "Storage", "Watch"]
