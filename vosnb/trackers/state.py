"""What a tracker has seen and learned, as one file, so that it can go on in another process.

The file is safetensors: the arrays, and in its metadata a json text of everything else. That text is a list of nodes;
a node names its kind and holds plain values (numbers, texts, None) and the places of other nodes, so that what is
shared stays shared. Nothing in the file is ever run: a tracker that was freshly made gives functions, devices and
paths, and the only classes of which instances are made, without their constructors, are this package's and torch's
modules.
"""

import functools
import hashlib
import json
import sys
import types
from collections import OrderedDict, deque
from pathlib import Path, PurePath
from typing import Literal

import numpy as np
import safetensors.torch
import torch
from pydantic import BaseModel, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from vosnb.files import FileError, write_bytes
from vosnb.trackers.base import Tracker

FORMAT = "vosnb state 1"
CLASSES = ("vosnb.", "torch.nn.modules.")  # of which instances may be made
PLAIN = (bool, int, float, str, type(None))
FROM_THE_FRESH_ONE = (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial, type, PurePath, torch.device,
)  # fmt: skip
SEQUENCES = {"list": list, "tuple": tuple, "set": set, "size": torch.Size, "deque": deque}
MAPPINGS = {"dict": dict, "ordered": OrderedDict}
BIT_GENERATORS = {name: getattr(np.random, name) for name in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")}
NOTHING = object()


class StateError(FileError):
    """A state that cannot be kept or taken up; the message says why."""


Value = bool | int | float | str | tuple[int] | None  # a tuple: the place of a node


class Node(BaseModel):
    kind: Literal[
        "list", "tuple", "set", "size", "deque", "dict", "ordered", "record", "object", "tensor", "array", "scalar",
        "dtype", "generator", "numpy", "fresh",
    ]  # fmt: skip
    name: str = ""
    items: list[Value] = []


class Content(BaseModel):
    about: dict[str, int | str]
    nodes: list[Node]


def save_state(path: str | Path, tracker: Tracker, **about: int | str) -> None:
    """Keep a tracker's state, and a few words `about` it, in a file that is written whole or not at all.

    Raises StateError when the tracker holds something that cannot be kept, OSError when the file cannot be written.
    """
    try:
        writer = _Writer()
        writer.value(tracker)
        text = json.dumps({"about": about, "nodes": writer.nodes})
        card = {"format": FORMAT, "state": text, "digest": _digest(text, writer.tensors)}
        data = safetensors.torch.save(writer.tensors, card)
    except (TypeError, LookupError, AttributeError, RuntimeError) as error:
        raise StateError(f"This tracker's state cannot be kept ({error})") from error
    write_bytes(path, data)


class State:
    """What `save_state` kept in a file. about: the words it was given; `restore` brings a tracker there.

    Raises StateError when there is no such file, or it is damaged or of another version.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            with safe_open(self.path, "pt") as file:
                card = file.metadata() or {}
                # copied: where numbers lie in a file, some processors take other ways to the last digit
                self._tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118  not a dict
            if card.get("format") != FORMAT:
                raise StateError(f"{path} is of another version of vosnb")
            if card["digest"] != _digest(card["state"], self._tensors):
                raise StateError(f"{path} is damaged")
            content = TypeAdapter(Content).validate_json(card["state"])
        except FileNotFoundError:
            raise StateError(f"{path} is missing") from None
        except (OSError, SafetensorError, KeyError, ValidationError) as error:
            raise StateError(f"{path} is damaged") from error
        self.about, self._nodes = content.about, content.nodes

    def restore(self, tracker: Tracker) -> None:
        """Bring a tracker that was made with the same settings to this state.

        Raises StateError when the state does not fit it; the tracker is then as it was.
        """
        try:
            attributes = _Reader(self._nodes, self._tensors, tracker).root()
        except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
            raise StateError(f"{self.path} does not fit this tracker") from error
        vars(tracker).clear()
        vars(tracker).update(attributes)


def _digest(text: str, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class _Writer:
    """From a tracker to nodes and tensors."""

    def __init__(self):
        self.nodes: list[dict] = []
        self.tensors: dict[str, torch.Tensor] = {}
        self._places: dict[int, int] = {}
        self._alive = []  # what was made on the way: its id must not be given to anything else

    def value(self, x):
        if type(x) in PLAIN:
            return x
        if id(x) not in self._places:
            place = self._places[id(x)] = len(self.nodes)
            self._alive.append(x)
            self.nodes.append({})
            self.nodes[place] = self._node(x)
        return [self._places[id(x)]]

    def _node(self, x) -> dict:
        for kind, cls in SEQUENCES.items():
            if type(x) is cls:
                name = "" if getattr(x, "maxlen", None) is None else str(x.maxlen)
                return {"kind": kind, "name": name, "items": [self.value(item) for item in x]}
        for kind, cls in MAPPINGS.items():
            if type(x) is cls:
                return {"kind": kind, "items": self._pairs(x)}
        if type(x) in (torch.Tensor, torch.nn.Parameter):
            # In the order of its dimensions in memory, which decides about a convolution's last digits.
            order = sorted(range(x.ndim), key=lambda d: -x.stride(d))
            name = self._keep(x.detach().permute(order))
            return {"kind": "tensor", "name": name, "items": [*_about_tensor(x), *order]}
        if type(x) is np.ndarray:
            return {"kind": "array", "name": self._keep(torch.from_numpy(np.array(x)))}
        if isinstance(x, np.generic):
            return {"kind": "scalar", "name": x.dtype.name, "items": [x.item()]}
        if isinstance(x, torch.dtype):
            return {"kind": "dtype", "name": str(x).removeprefix("torch.")}
        if isinstance(x, torch.Generator):
            return {"kind": "generator", "name": self._keep(x.get_state()), "items": [x.device.type != "cpu"]}
        if isinstance(x, np.random.Generator):
            return {"kind": "numpy", "items": [self.value(x.bit_generator.state)]}
        if isinstance(x, FROM_THE_FRESH_ONE):
            return {"kind": "fresh"}
        name = f"{type(x).__module__}:{type(x).__qualname__}"
        if self.nodes[1:] and not name.startswith(CLASSES):  # the tracker itself is never made from the file
            raise StateError(f"This tracker's state cannot be kept: it holds a {type(x).__qualname__}")
        if isinstance(x, tuple):
            return {"kind": "record", "name": name, "items": [self.value(item) for item in x]}
        return {"kind": "object", "name": name, "items": self._pairs(vars(x))}

    def _pairs(self, mapping) -> list:
        return [self.value(part) for pair in mapping.items() for part in pair]

    def _keep(self, x: torch.Tensor) -> str:
        name = f"{len(self.tensors)}"
        self.tensors[name] = x.cpu().clone(memory_format=torch.contiguous_format)
        return name


def _about_tensor(x: torch.Tensor) -> list[bool]:
    """Whether it is on the tracker's device, is a parameter, wants a gradient."""
    return [x.device.type != "cpu", isinstance(x, torch.nn.Parameter), x.requires_grad]


class _Reader:
    """From nodes and tensors to a tracker's attributes, with what only a fresh one can give."""

    def __init__(self, nodes: list[Node], tensors: dict[str, torch.Tensor], tracker: Tracker):
        self.nodes, self.tensors, self.tracker = nodes, tensors, tracker
        self.device = getattr(tracker, "device", "cpu")
        self.made = {0: tracker}

    def root(self) -> dict:
        node = self.nodes[0]
        if node.kind != "object" or node.name != f"{type(self.tracker).__module__}:{type(self.tracker).__qualname__}":
            raise StateError(f"this is the state of a {node.name}")
        return self._attributes(node, self.tracker)

    def _value(self, x: Value, fresh=NOTHING):
        """The value; fresh: what stands in its place in the fresh tracker."""
        if not isinstance(x, tuple):
            return x
        (place,) = x
        if place not in self.made:
            self._make(place, self.nodes[place], fresh)
        return self.made[place]

    def _make(self, place: int, node: Node, fresh) -> None:
        if node.kind in ("list", "deque"):
            made = [] if node.kind == "list" else deque(maxlen=int(node.name) if node.name else None)
            self.made[place] = made  # before its items, which may hold it
            made.extend(self._items(node, fresh))
        elif node.kind in MAPPINGS:
            made = self.made[place] = MAPPINGS[node.kind]()
            made.update(self._mapping(node, fresh if isinstance(fresh, dict) else {}))
        elif node.kind == "object":
            cls = _class(node.name)
            made = self.made[place] = object.__new__(cls)
            vars(made).update(self._attributes(node, fresh))
        else:
            self.made[place] = self._simple(node, fresh)

    def _simple(self, node: Node, fresh):
        """What cannot hold itself."""
        if node.kind in SEQUENCES:
            return SEQUENCES[node.kind](self._items(node, fresh))
        if node.kind == "record":
            return tuple.__new__(_class(node.name), self._items(node, fresh))
        if node.kind == "tensor":
            on_device, parameter, gradient, *order = node.items
            x = self.tensors[node.name].permute([order.index(d) for d in range(len(order))])
            x = x.to(self.device) if on_device else x
            return torch.nn.Parameter(x, gradient) if parameter else x.requires_grad_(gradient)
        if node.kind == "array":
            return self.tensors[node.name].numpy()
        if node.kind == "scalar":
            return np.dtype(node.name).type(node.items[0])
        if node.kind == "dtype":
            return {str(x): x for x in vars(torch).values() if isinstance(x, torch.dtype)}[f"torch.{node.name}"]
        if node.kind == "generator":
            made = torch.Generator(self.device if node.items[0] else "cpu")
            made.set_state(self.tensors[node.name])
            return made
        if node.kind == "numpy":
            state = self._value(node.items[0])
            made = np.random.Generator(BIT_GENERATORS[state["bit_generator"]]())
            made.bit_generator.state = state
            return made
        if fresh is NOTHING or not isinstance(fresh, FROM_THE_FRESH_ONE):
            raise StateError("a function is not where it was")
        return fresh

    def _items(self, node: Node, fresh) -> list:
        beside = list(fresh) if isinstance(fresh, list | tuple | deque) else []
        beside += [NOTHING] * (len(node.items) - len(beside))
        return [self._value(*pair) for pair in zip(node.items, beside, strict=False)]

    def _mapping(self, node: Node, beside: dict) -> dict:
        keys = [self._value(key) for key in node.items[::2]]
        return {k: self._value(x, beside.get(k, NOTHING)) for k, x in zip(keys, node.items[1::2], strict=True)}

    def _attributes(self, node: Node, fresh) -> dict:
        return self._mapping(node, getattr(fresh, "__dict__", {}))


def _class(name: str) -> type:
    """A class of this package or of torch's modules; only of what is loaded already: a fresh tracker needed it too."""
    module, _, path = name.partition(":")
    found = sys.modules.get(module) if module.startswith(CLASSES) else None
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or found.__module__ != module:
        raise StateError(f"it holds a {name}, which is none of vosnb's classes")
    return found
