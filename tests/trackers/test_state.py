"""A tracker's state as a file: what comes back is what was kept, and nothing in the file is ever run."""

import json
from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from vosnb.clips import Clip
from vosnb.methods.matching import Query
from vosnb.trackers import make_tracker, segment, tracker_names
from vosnb.trackers.simple import StillTracker
from vosnb.trackers.state import State, StateError, save_state

QUICK = {"device": "cpu", "short_side": 32}
SETTINGS = dict.fromkeys(tracker_names(), QUICK) | {"still": {}, "histogram": {}}
del SETTINGS["masks"]  # its state is a folder of files
SETTINGS |= {name: QUICK | {"augmented": 2} for name in SETTINGS if name.startswith(("frtm", "target", "base"))}
SETTINGS |= {name: QUICK | {"steps": 1} for name in SETTINGS if name.startswith(("one-shot", "parent", "e-osvos"))}
SETTINGS |= {name: SETTINGS[name] | {"every": 2, "adapt_steps": 1} for name in SETTINGS if name.endswith("OnA")}
SETTINGS["frtm+ridge"] |= {"capacity": 3}
SETTINGS["base-net+finetune"] |= {"finetune": 1, "batch": 1}
SETTINGS |= {"matching+context": QUICK | {"steps": 2}, "kernels+context": QUICK | {"steps": 2}}
SETTINGS |= {"still++histogram": {}, "ridge++matching@memory=variation": QUICK | {"flip": True, "scales": "1/1.5"}}
SETTINGS = {name: given for name, given in SETTINGS.items() if not name.startswith("e-osvos-50")}  # as e-osvos-10


@pytest.fixture(scope="module")
def clip():
    """Six frames of noise on which a square moves; another comes in frame 2."""
    frames, masks = np.random.default_rng(0).integers(0, 99, (6, 36, 44, 3), np.uint8), np.zeros((6, 36, 44), np.uint8)
    for t in range(6):
        frames[t, 4:18, 3 + 2 * t : 17 + 2 * t], masks[t, 4:18, 3 + 2 * t : 17 + 2 * t] = (220, 60, 20), 1
        if t > 1:
            frames[t, 20:33, 24:38], masks[t, 20:33, 24:38] = (30, 40, 230), 2
    return Clip.from_arrays("squares", frames, masks)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_tracker_goes_on_from_its_state_as_if_nothing_had_happened(name, clip, tmp_path):
    tracker, other = (make_tracker(name, **SETTINGS[name]) for _ in range(2))
    whole = []
    for t, _, p in segment(tracker, clip):
        whole.append(p)
        if t == 3:
            save_state(tmp_path / "state", tracker, done=4)
    state = State(tmp_path / "state")
    state.restore(other)
    rest = [p for *_, p in segment(other, clip, start=state.about["done"])]
    assert len(rest) == 2 and all(torch.equal(a, b) for a, b in zip(rest, whole[4:], strict=True))


class Everything(StillTracker):
    """Holds one of each kind of thing."""


@dataclass(frozen=True)
class Foreign:
    number: int


def test_every_kind_of_value_comes_back_as_it_was_and_what_is_shared_stays_shared(tmp_path):
    tracker, other = Everything(), Everything()
    shared, r, draw = [1, 2.5], np.random.default_rng(3), torch.Generator().manual_seed(3)
    r.random(5), torch.rand(5, generator=draw)
    tracker.held = {
        "plain": [None, True, 7, -0.1, "text", 2**100, float("inf")],
        (1, "key"): {3, 4},
        5: deque([1, 2, 3], maxlen=3),
        "ordered": OrderedDict(b=1, a=2),
        "numpy": [np.float32(0.1), np.arange(6).reshape(2, 3)[:, ::-1], np.array(3), np.zeros((0, 2), bool)],
        "torch": [torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last), torch.tensor(True), torch.zeros(0)],
        "types": [torch.float64, torch.Size([2, 3]), Query(*torch.rand(4, 2))],
        "twice": (shared, shared),
    }
    tracker.held["itself"] = tracker.held
    tracker.r, tracker.draw = r, draw
    save_state(tmp_path / "state", tracker)
    State(tmp_path / "state").restore(other)
    held, back = tracker.held, other.held
    for key in ("plain", (1, "key"), 5, "ordered", "twice"):
        assert back[key] == held[key] and type(back[key]) is type(held[key])
    assert back[5].maxlen == 3 and back["itself"] is back and back["twice"][0] is back["twice"][1]
    for a, b in zip(back["numpy"], held["numpy"], strict=True):
        assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
    for a, b in zip(back["torch"], held["torch"], strict=True):
        assert torch.equal(a, b) and a.dtype == b.dtype and a.stride() == b.stride()
    assert back["types"][:2] == held["types"][:2] and type(back["types"][2]) is Query
    assert other.r.random() == tracker.r.random()
    assert torch.equal(torch.rand(3, generator=other.draw), torch.rand(3, generator=draw))


@pytest.mark.parametrize(
    "what",
    [Foreign(3), open, torch.optim.SGD([torch.zeros(1)]), iter([])],
    ids=["object", "function", "optimizer", "iterator"],
)
def test_what_cannot_be_kept_is_told_and_functions_come_from_the_fresh_tracker(tmp_path, what):
    tracker, fresh = Everything(), Everything()
    tracker.held = what
    if what is open:
        save_state(tmp_path / "state", tracker)
        with pytest.raises(StateError, match="does not fit this tracker"):
            State(tmp_path / "state").restore(fresh)
        assert not hasattr(fresh, "held")
        fresh.held = what
        State(tmp_path / "state").restore(fresh)
        assert fresh.held is open
    else:
        with pytest.raises(StateError, match="cannot be kept"):
            save_state(tmp_path / "state", tracker)
        assert not (tmp_path / "state").exists()


@pytest.fixture
def kept(tmp_path):
    tracker = make_tracker("still")
    tracker.start(np.zeros((8, 8, 3), np.uint8), np.eye(8, dtype=np.uint8))
    save_state(tmp_path / "state", tracker, done=3)
    return tmp_path / "state"


def forged(file, change):
    """The state file with its nodes changed, and a digest that fits again."""
    from vosnb.trackers.state import _digest

    with safe_open(file, "pt") as opened:
        card, tensors = opened.metadata(), {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    content = json.loads(card["state"])
    change(content["nodes"])
    text = json.dumps(content)
    card |= {"state": text, "digest": _digest(text, tensors)}
    file.write_bytes(safetensors.torch.save(tensors, card))


@pytest.mark.parametrize(
    "node",
    [
        {"kind": "object", "name": "subprocess:Popen", "items": ["args", "true"]},
        {"kind": "object", "name": "vosnb.trackers.state:json.JSONDecoder"},
        {"kind": "record", "name": "vosnb.trackers.state:safe_open"},
        {"kind": "list", "items": [[99]]},
        {"kind": "tuple", "items": [[1]]},
        {"kind": "tensor", "name": "9"},
        {"kind": "dtype", "name": "load"},
        {"kind": "fresh"},
    ],
    ids=lambda node: f"{node['kind']} {node.get('name')}",
)
def test_a_forged_state_makes_nothing_that_is_not_ours(kept, node):
    def change(nodes):
        nodes[1] = node

    forged(kept, change)
    tracker = make_tracker("still")
    before = dict(vars(tracker))
    with pytest.raises(StateError):
        State(kept).restore(tracker)
    assert vars(tracker) == before


def test_a_forged_kind_is_told(kept):
    forged(kept, lambda nodes: nodes.append({"kind": "pickle"}))
    with pytest.raises(StateError, match="damaged"):
        State(kept)


def test_a_state_of_another_tracker_is_told(kept):
    with pytest.raises(StateError, match="does not fit this tracker"):
        State(kept).restore(make_tracker("histogram"))


def test_a_missing_cut_or_changed_state_is_told(kept, tmp_path):
    data = kept.read_bytes()
    for damage in (b"", data[:7], data[:50], data[:-1], data + b"0", data[:-1] + bytes([data[-1] ^ 1]), b"\xff" * 99):
        kept.write_bytes(damage)
        with pytest.raises(StateError, match="state is damaged"):
            State(kept)
    kept.write_bytes(safetensors.torch.save({}, {"format": "vosnb state 0"}))
    with pytest.raises(StateError, match="of another version"):
        State(kept)
    for other, says in ((tmp_path / "none", "is missing"), (tmp_path, "damaged")):
        with pytest.raises(StateError, match=says):
            State(other)
