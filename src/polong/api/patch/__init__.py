"""Patches of RFC 6902 and RFC 7386. Pure; strategic merge is in `objects`, since the command line makes such patches too."""
