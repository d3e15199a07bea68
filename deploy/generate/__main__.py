"""Writes every derived product file: `python -m deploy.generate`."""

import sys

from deploy.generate.products import PRODUCTS, ROOT

for path, made in PRODUCTS.items():
    path.write_text(made())
    sys.stdout.write(f"written: {path.relative_to(ROOT)}\n")
