"""Where a secret lies: systemd hands a service copies of files that the service's own user may not read."""

from __future__ import annotations

import os
from pathlib import Path


def secret_file(path: Path) -> Path:
    """Return the copy of this name among the service's credentials (LoadCredential=), else the path itself."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    copy = Path(folder, path.name) if folder else path
    return copy if copy.is_file() else path
