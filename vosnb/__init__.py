"""vosnb: learn how a video segmenter adapts to this object in this video.

    clip -> features -> method adapts to frame 0 -> probabilities per frame -> masks -> scores -> pictures

`import vosnb` loads nothing else: a module (`vosnb.clips`, `vosnb.show`, ...) is loaded when it is first named.
"""

import importlib
import importlib.abc
import importlib.util
import pkgutil
import sys

__version__ = "0.1.0"

_MODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))
_MOVED = {  # where lessons, and notebooks of students, still look for what has moved
    "lesson": "course.lesson",
    "cells": "course.cells",
    "exercises": "course.exercises",
    "doctor": "course.doctor",
    "session": "trackers.session",
    "masks": "clips.masks",
    "video": "clips.video",
    "downloads": "clips.downloads",
}


class _MovedFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the module itself under its old name too, so that there is never a second copy of it."""

    def find_spec(self, fullname, path=None, target=None):
        package, _, name = fullname.partition(".")
        first, _, rest = name.partition(".")
        if package != __name__ or first not in _MOVED:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=".".join(filter(None, (_MOVED[first], rest))))

    def create_module(self, spec):
        module = importlib.import_module(f"{__name__}.{spec.origin}")
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = module.__spec__.loader_state  # its own again


sys.meta_path.insert(0, _MovedFinder())  # before the finder that would load a second copy


def __getattr__(name):
    if name in _MODULES or name in _MOVED:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(_MODULES | globals().keys())
