"""Programs that are measured, or measured with: where they are, and which version."""

import importlib.metadata
import re
import shutil
import subprocess


def need(name: str, why: str) -> str:
    """Return a program's path. Raises RuntimeError, with `why` it is needed, if it is not on the PATH."""
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not on the PATH: {why}")
    return found


def version(*command: str) -> str:
    """Return the version that a program prints about itself, such as "1.22.1"; "unknown" if it prints none."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "unknown"


def package_version(name: str) -> str:
    """Return the version of an installed Python package; "missing" if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
