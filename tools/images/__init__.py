"""Images built from Debian packages, as OCI archives: for hosts that reach no image registry.

`python -m tools.images [--quiet] [--refresh]` writes `build/images/{nginx,busybox,static}.tar`. Packages are downloaded and read, never
installed on the host. Builds are reproducible: the same packages give the same digests.
"""
