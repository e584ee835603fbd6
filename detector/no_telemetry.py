"""Keeps OpenVINO from telling others about its users.

Without being asked it reports every import, and every network that it converts, to an analytics server of Google. It
does so from a process that it forks off the threads of its own, and waits for that at the end: where the fork hangs,
which has been seen, a program does not end any more. vidan talks to nobody whom its config does not name. OpenVINO goes
without the package that does this if there is none.
"""

from __future__ import annotations

import sys
from typing import Any

_modules: dict[str, Any] = sys.modules
_modules.setdefault("openvino_telemetry", None)  # an import of it now fails, as of a package that is not installed
