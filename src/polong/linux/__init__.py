"""The kernel: thin wrappers of syscalls, and the few objects built from them. The only `ctypes` of the project; no policy."""
