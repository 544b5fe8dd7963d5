"""Makes docs/gallery.md and its drawings, docs/gallery/*.svg, anew from runs: `make gallery`."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE, DRAWINGS = FOLDER / "gallery.md", FOLDER / "gallery"


def main() -> int:
    """Exit status of `mftui figure all --quick`; what it could make is kept. Finished runs are used again."""
    with tempfile.TemporaryDirectory() as made:
        command = [sys.executable, "-m", "mftui.cli", "figure", "all", "--quick", "--out", made]
        status = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
        page = Path(made) / PAGE.name
        if not page.exists():
            return status
        DRAWINGS.mkdir(exist_ok=True)
        for old in DRAWINGS.glob("*.svg"):
            old.unlink()
        for drawing in Path(made).glob("*.svg"):
            (DRAWINGS / drawing.name).write_bytes(drawing.read_bytes())
        text = re.sub(r"\]\(([\w.-]+\.svg)\)", rf"]({DRAWINGS.name}/\1)", page.read_text(encoding="utf-8"))
        PAGE.write_text(text, encoding="utf-8")
    sys.stderr.write(f"wrote {PAGE}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
