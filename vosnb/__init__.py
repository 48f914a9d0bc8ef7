"""vosnb: learn how a video segmenter adapts to this object in this video.

    clip -> features -> method adapts to frame 0 -> probabilities per frame -> masks -> scores -> pictures

`import vosnb` loads nothing else: a module (`vosnb.clips`, `vosnb.show`, ...) is loaded when it is first named.
"""

import importlib
import pkgutil

__version__ = "0.1.0"

_MODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(_MODULES | globals().keys())
