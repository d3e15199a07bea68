"""Writes the snapshot of the production overlay anew."""

import sys

from tests.deploy.static import snapshot
from tests.deploy.static.manifests import ROOT

if __name__ == "__main__":
    snapshot.write()
    sys.stdout.write(f"written: {snapshot.FILE.relative_to(ROOT)}\n")
