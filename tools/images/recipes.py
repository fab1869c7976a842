"""What goes into each image. Names are the published images' names, so that manifests written for those run unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.images import applets
from tools.images.debian import Packages
from tools.images.tree import Tree

Json = dict[str, Any]

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BUILT = {"org.opencontainers.image.description": "Built by Polong from Debian packages"}

_NGINX_CONF = """\
user  nginx;
worker_processes  1;

error_log  /var/log/nginx/error.log warn;
pid        /run/nginx.pid;

events {
    worker_connections  1024;
}

http {
    include       /etc/nginx/mime.types;
    default_type  application/octet-stream;
    access_log    /var/log/nginx/access.log;
    sendfile      on;

    include /etc/nginx/conf.d/*.conf;
}
"""

_NGINX_SERVER = """\
server {
    listen       80;
    server_name  localhost;

    location / {
        root   /usr/share/nginx/html;
        index  index.html index.htm;
    }
}
"""

_WELCOME = """\
<!DOCTYPE html>
<html>
<head><title>Welcome to nginx!</title></head>
<body>
<h1>Welcome to nginx!</h1>
<p>This server runs in a container. Its image was built by Polong from Debian packages.</p>
</body>
</html>
"""

_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""

_GROUP = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
tty:x:5:
www-data:x:33:
users:x:100:www-data
nogroup:x:65534:
"""


@dataclass(frozen=True)
class Recipe:
    """`build` takes the cache of packages and gives layers (lowest first), the OCI config and the package versions."""

    archive: str
    name: str
    build: Callable[[Path], tuple[list[bytes], Json, dict[str, str]]]


def _busybox_tree(packages: Packages) -> Tree:
    """Debian's dynamic busybox: its shell finds applets by PATH and starts each as a process under its own name. (The static one runs
    them inside the shell, where `ps` would show the shell's arguments.)"""
    tree = Tree()
    tree.file("bin/busybox", packages.read("bin/busybox"), 0o755)
    for path, content in packages.libraries(["bin/busybox"]).items():
        tree.file(path, content, 0o755)
    for applet in applets.NAMES:
        tree.hardlink(f"bin/{applet}", "bin/busybox")
    tree.symlink("usr/bin/env", "/bin/env")
    for path in ("dev", "proc", "sys", "home", "run", "var/spool/mail", "var/www", "usr/sbin"):
        tree.directory(path)
    tree.directory("root", 0o700)
    tree.directory("tmp", 0o1777)
    tree.symlink("var/run", "/run")
    tree.file("etc/passwd", _PASSWD)
    tree.file("etc/group", _GROUP)
    tree.file("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    return tree


def _base(cache: Path) -> tuple[Tree, Packages]:
    """The layer that images of this project share, the same in each."""
    packages = Packages(cache, ["busybox", "libc6", "coreutils"])
    tree = _busybox_tree(packages)
    # An applet of busybox elsewhere, which Debian's lacks.
    tree.file("bin/printenv", packages.read("usr/bin/printenv"), 0o755)
    return tree, packages


def _busybox(cache: Path) -> tuple[list[bytes], Json, dict[str, str]]:
    tree, packages = _base(cache)
    return [tree.layer()], {"Env": [_PATH], "Cmd": ["sh"], "Labels": _BUILT}, packages.versions


def _nginx(cache: Path) -> tuple[list[bytes], Json, dict[str, str]]:
    lower, base = _base(cache)
    packages = Packages(cache, ["nginx", "nginx-common", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"])
    tree = Tree()
    tree.file("usr/sbin/nginx", packages.read("usr/sbin/nginx"), 0o755)
    for path, content in packages.libraries(["usr/sbin/nginx"]).items():
        if path not in lower.entries:
            tree.file(path, content)
    tree.file("etc/nginx/nginx.conf", _NGINX_CONF)
    tree.file("etc/nginx/conf.d/default.conf", _NGINX_SERVER)
    tree.file("etc/nginx/mime.types", packages.read("etc/nginx/mime.types"))
    tree.file("usr/share/nginx/html/index.html", _WELCOME)
    tree.directory("var/lib/nginx")
    tree.symlink("var/log/nginx/access.log", "/dev/stdout")
    tree.symlink("var/log/nginx/error.log", "/dev/stderr")
    tree.file("etc/passwd", _PASSWD + "nginx:x:101:101:nginx user:/nonexistent:/bin/false\n")
    tree.file("etc/group", _GROUP + "nginx:x:101:\n")
    config = {
        "Env": [_PATH, f"NGINX_VERSION={packages.versions['nginx'].split('-')[0]}"],
        "Cmd": ["nginx", "-g", "daemon off;"],
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGQUIT",
        "Labels": _BUILT,
    }
    return [lower.layer(), tree.layer()], config, base.versions | packages.versions


def _static(cache: Path) -> tuple[list[bytes], Json, dict[str, str]]:
    packages = Packages(cache, ["busybox-static"])
    tree = Tree()
    tree.file("httpd", packages.read("bin/busybox"), 0o755)
    tree.file("www/index.html", "one static program, no shell\n")
    tree.file("etc/passwd", "root:x:0:0:root:/:/nonexistent\nweb:x:1000:1000:web:/:/nonexistent\n")
    tree.file("etc/group", "root:x:0:\nweb:x:1000:\n")
    config = {
        "Entrypoint": ["/httpd"],
        "Cmd": ["-f", "-p", "8080", "-h", "/www"],
        "User": "web",
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": _BUILT,
    }
    return [tree.layer()], config, packages.versions


RECIPES = (
    Recipe("nginx.tar", "docker.io/library/nginx:latest", _nginx),
    Recipe("busybox.tar", "docker.io/library/busybox:1.28", _busybox),
    Recipe("static.tar", "docker.io/library/static-web:latest", _static),
)
