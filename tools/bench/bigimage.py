"""An image of 200 MB in a real registry, and that registry on loopback, in whatever network namespace the caller is in."""

from __future__ import annotations

import io
import random
import shutil
import signal
import subprocess
import tarfile
import urllib.request
from pathlib import Path

from tools.bench.engine import IMAGES, run, until
from tools.images import archive
from tools.images.debian import architecture

PORT = 5055
ADDRESS = f"127.0.0.1:{PORT}"
BIG = f"{ADDRESS}/bench/big:1"
SMALL = f"{ADDRESS}/bench/busybox:1"

_LAYERS, _LAYER_BYTES = 4, 50_000_000
_CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {directory}}}}}
http: {{addr: "{address}"}}
"""


class Registry:
    """A context: serves what lies in `directory`."""

    def __init__(self, directory: Path, configuration: Path) -> None:
        program = shutil.which("docker-registry")
        if program is None:
            raise RuntimeError("docker-registry is not installed")
        configuration.write_text(_CONFIG.format(directory=directory, address=ADDRESS))
        self._process = subprocess.Popen([program, "serve", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, "the registry did not answer")

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the registry ended; is {ADDRESS} in use?")
        try:
            with urllib.request.urlopen(f"http://{ADDRESS}/v2/", timeout=1):
                return True
        except OSError:
            return False

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)


def fill(directory: Path, work: Path) -> None:
    """Both images into a registry's directory."""
    registry = Registry(directory, work / "fill.yml")
    try:
        big = work / "big.tar"
        archive.write(big, "bench/big:1", [_layer(number) for number in range(_LAYERS)], {"Cmd": ["/bin/true"]}, architecture())
        for source, target in ((big, BIG), (IMAGES / "busybox.tar", SMALL)):
            options = ("--insecure-policy", "--dest-tls-verify=false", "-q")
            run("skopeo", "copy", *options, f"oci-archive:{source}", f"docker://{target}")
        big.unlink()
    finally:
        registry.close()


def _layer(number: int) -> bytes:
    """Files as a distribution has them: many small, some large, half of their bytes such that gzip makes less of them."""
    chance = random.Random(number)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        written = index = 0
        while written < _LAYER_BYTES:
            size = chance.choice((300, 3_000, 12_000, 60_000, 1_000_000))
            content = chance.randbytes(size // 2) + (b"%d of the text\n" % index) * (size // 32)
            entry = tarfile.TarInfo(f"layer{number}/{index % 40}/file{index}")
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
            written += len(content)
            index += 1
    return buffer.getvalue()
