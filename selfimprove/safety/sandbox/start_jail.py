"""The program that `jail_process` starts: it imports this folder's modules without the folder above on its path.

So programs cannot import from the folder that holds this package, and no file in it hides a standard module.
"""

from __future__ import annotations

import sys
import types

if __name__ == "__main__":
    for name in ("selfimprove", "selfimprove.safety", "selfimprove.safety.sandbox"):
        package = sys.modules[name] = types.ModuleType(name)
        package.__path__ = [__file__.rpartition("/")[0]] if name.endswith(".sandbox") else []
    from selfimprove.safety.sandbox import jail

    jail.main(sys.argv[1:])
