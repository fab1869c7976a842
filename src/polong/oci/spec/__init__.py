"""Pure builders: what a sandbox or container shall be -> the OCI runtime specification's config.json (v1.0.2).

No I/O here (checked): facts of the host come in as `model.Host`, files such as seccomp profiles as parsed documents.
`build.sandbox` and `build.container` are the whole surface; the other modules each build one section.
"""
