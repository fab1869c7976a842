"""The kernel: three-line syscall wrappers, namespaces, mounts, cgroups, pidfd, /proc, processes. Holds no policy; the only ctypes."""
