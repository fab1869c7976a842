#!/usr/bin/env bash
# Everything that Polong needs on Debian 12: packages, virtual environment, the package itself. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "setup: Python 3.11 or newer is needed ($("$python" -V))" >&2; exit 1; }

# runtime: what a node needs; test: what the tests and the image builder need; build: a compiler, and what Debian cuts from Python
runtime=(crun conmon containernetworking-plugins golang-github-containers-common nftables iproute2)
# of them for debug --with: strace, gdb, jattach and a Java program to look at
test=(docker-registry skopeo runc busybox-static libc6-dev strace gdb jattach openjdk-17-jre-headless)
build=()
command -v gcc >/dev/null || build+=(gcc)
"$python" -c 'import ensurepip, venv' 2>/dev/null || build+=(python3-venv)

missing=()
for package in "${runtime[@]}" "${test[@]}" "${build[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "setup: missing Debian packages: ${missing[*]}. Install them, or run as root." >&2
        exit 1
    fi
    echo "setup: installing ${missing[*]}"
    log=$(mktemp)
    # A service that a package would start has no place on a test machine.
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "setup: cannot install Debian packages; the last lines of apt are above" >&2
        exit 1
    fi
    rm -f "$log"
fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "setup: creating .venv"
    "$python" -m venv --clear .venv
fi
echo "setup: installing the package and its development tools"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' 2> >(grep -v "^WARNING: Location" >&2)
mkdir -p build
touch build/setup.stamp
echo "setup: done"
