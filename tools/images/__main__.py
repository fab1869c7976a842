"""`python -m tools.images`: build the archives of build/images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.images import build, debian


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.images", description="Build images from Debian packages as OCI archives.")
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--refresh", action="store_true", help="download newer packages and build again")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[2] / "build" / "images", help="where the archives go")
    options = parser.parse_args()
    try:
        build.ensure(options.output, refresh=options.refresh, say=(lambda line: None) if options.quiet else print)
    except (debian.BuildError, OSError) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
