"""Prints every line that breaks the rules of language: ``python -m tests.support.language [FOLDER]``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.language.check import faults_in

if __name__ == "__main__":
    found = faults_in(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    sys.stderr.writelines(f"{fault}\n" for fault in found)
    sys.exit(f"{len(found)} names or sentences are not in the field's language" if found else 0)
