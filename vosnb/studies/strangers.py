"""S0 among strangers: what else its adaptation could learn from, and why keys that match well gain so little by it.

    python -m vosnb.studies.strangers FOLDER --split lookalikes_dev --split dev

"new" is the matcher on photographs, "old" the one that learned from creatures alone. Parts (`--part`, by default all):
"stored": rows "worlds" and "training", what worlds.json and premise.json say of the shipped settings;
"tried": ways to adapt the new matcher's keys, on clips that settings may be chosen on;
"controls": keys that were told a wrong mask, or another clip's first frame, for both matchers, and what did best;
"leaks": how many of a thousand cells read what they should not, in frame 0, where the loss looks, and later;
"objects": several objects at once;
"cost": the seconds of one core that adaptation takes.

All but the stored rows are of a static memory and of every third frame, which it answers each by itself. A run that
was stopped goes on where it was (build/studies/). Writes data/results/s0.json, where rows that are not made again stay:
of each setting what, part, list, memory, matcher, J without and with adapted keys, the gain, its 95 % paired interval,
clips won and lost.
"""

import argparse
import copy
import json
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vosnb.clips import Clip
from vosnb.datasets import load
from vosnb.features import STRIDE
from vosnb.methods.augmentation import augment_first_frame, blur_kernel, cut_and_inpaint, paste, transform
from vosnb.methods.context import adapt_keys, excess_losses
from vosnb.methods.matching import affinity
from vosnb.paths import RESULTS
from vosnb.settings import Count, Positive
from vosnb.studies.common import compared, gains, rounded, write
from vosnb.trackers.base import resize
from vosnb.trackers.matching import ContextTracker, reference

THINNED = 3  # settings are tried on every third frame
MEMORIES = {"static": "first", "updated": "every+last"}
MATCHERS = {"old": {}, "new": {"backbone": "photos"}}
QUICK = {"steps": 20}  # of every way but the first: it gains what 50 steps gain, in two fifths of the time
TRIED = {  # {way: what is turned}; everything else stays as it is shipped
    "as shipped": {},
    "20 steps": QUICK,
    "loss as printed": QUICK | {"loss": "leak"},
    "alpha 1": QUICK | {"alpha": 1},
    "query key alone": QUICK | {"tune": "query"},
    "softmax four times as soft": QUICK | {"softness": 4.0},
    "a matrix behind the keys": QUICK | {"part": "matrix"},
    "pasted frames": QUICK | {"queries": "pasted"},
    "pasted frames, softmax four times as soft": QUICK | {"queries": "pasted", "softness": 4.0},
    "pasted frames with a recoloured copy": QUICK | {"queries": "pasted", "recoloured": True},
    "pasted frames and frame 0": QUICK | {"queries": "both"},
    "pasted frames, matrix": QUICK | {"queries": "pasted", "part": "matrix"},
    "pasted frames and frame 0, and again every 9 frames": QUICK | {"queries": "both", "again": 9 // THINNED},
    "again once, after 9 frames": QUICK | {"again": 9 // THINNED, "times": 1},
    "again every 9 frames": QUICK | {"again": 9 // THINNED},
}
FINALISTS = ("20 steps", "pasted frames and frame 0", "again every 9 frames")
COST = {way: TRIED[way] for way in ("as shipped", "20 steps", "a matrix behind the keys", "pasted frames")}
BEGAN = {"random": "at random", "features": "as features"}
CONTROLS = {
    "its own mask": QUICK,
    "a wrong mask": QUICK | {"mask": "rolled"},
    "a wrong mask, in the loss alone": QUICK | {"mask": "rolled in the loss"},
    "another clip's first frame": QUICK | {"mask": "other clip"},
} | {way: TRIED[way] for way in ("pasted frames and frame 0", "again every 9 frames")}


class Metric(nn.Module):
    """A key convolution, frozen, and behind it a matrix that may be tuned: d x d numbers instead of all of its own."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self.frozen = [convolution]  # in a list: none of this module's parameters
        self.matrix = nn.Parameter(torch.eye(convolution.out_channels), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ij,bjhw->bihw", self.matrix, self.frozen[0](x))


class Chosen(nn.Module):
    """The keys of chosen cells of several frames, as if they were those of one: (Q, C, h, w) -> (1, d, n)."""

    def __init__(self, key: nn.Module, cells: torch.Tensor):
        super().__init__()
        self.key, self.cells = key, cells

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.key(x).flatten(2).movedim(1, 0).flatten(1)[None, :, self.cells]


class Each(nn.Module):
    """A key convolution for each of K objects: (1 or K, C, h, w) -> (K, d, h, w)."""

    def __init__(self, keys: list[nn.Module]):
        super().__init__()
        self.keys = nn.ModuleList(keys)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.expand(len(self.keys), -1, -1, -1)
        return torch.cat([key(one[None]) for key, one in zip(self.keys, x, strict=True)])


class StrangersTracker(ContextTracker):
    """`matching+context` that adapts in other ways.

    queries: "first", frame 0 looks into itself; "pasted", so do `n` frames into which its object was pasted anew
        (S1 section 3.1) in its place; or "both". recoloured: the object once more, in other colours, stands in all of
        them and in the memory.
    softness: of the softmax while the keys are tuned. part: "convolutions", or a "matrix" behind each of them.
    again: adapt again after so many frames, at most `times` times, on frame 0 and the cells of the answer that it is
        sure of, to `sure` or more; what is remembered gets new keys.
    mask: "own", or for a control "rolled" by half the width, in what is remembered and in the loss or "in the loss"
        alone, or that of the "other clip" that comes next in `clips`.
    share: of several objects, the loss is the "sum" of theirs, or their "mean", or each has keys of its "own".
    """

    looks: OrderedDict = OrderedDict()  # what the frozen backbone made of frames: all ways look at the same ones

    def __init__(
        self,
        queries: Literal["first", "pasted", "both"] = "first",
        n: Count = 2,
        recoloured: bool = False,
        softness: Positive = 1.0,
        part: Literal["convolutions", "matrix"] = "convolutions",
        again: Count | None = None,
        times: Count = 99,
        sure: Positive = 0.95,
        mask: Literal["own", "rolled", "rolled in the loss", "other clip"] = "own",
        share: Literal["sum", "mean", "own"] = "sum",
        clips: list | None = None,
        **context,
    ):
        super().__init__(**context)
        self.queries, self.n, self.recoloured, self.softness, self.part = queries, n, recoloured, softness, part
        self.again, self.times, self.sure = again, times, sure
        self.mask, self.share, self.clips = mask, share, clips
        self.teacher: Clip | None = None

    def about(self, clip):
        if self.mask == "other clip":
            names = [other.name for other in self.clips]
            self.teacher = self.clips[(names.index(clip.name) + 1) % len(names)].only(1)

    def _reset(self):
        super()._reset()
        self.seen, self.remembered = 0, {}

    def _look(self, frame):
        if self.photos is None:
            return super()._look(frame)
        key = zlib.crc32(frame.tobytes()), self.short_side
        if key not in self.looks:
            self.looks[key] = super()._look(frame)
            while len(self.looks) > 100:
                self.looks.popitem(last=False)
        return self.looks[key]

    @torch.no_grad()
    def _add(self, frame, mask, ids):
        self.shown = frame, mask, ids
        super()._add(frame, mask, ids)

    def _adapt(self, seen, masks):
        if self.part == "matrix":
            self.net.query_key, self.net.memory_key = Metric(self.net.query_key), Metric(self.net.memory_key)
        if self.mask == "rolled":
            masks = masks.roll(masks.shape[-1] // 2, -1)
        elif self.mask == "other clip":
            seen = self._look(self.teacher.frames[0])
            masks = self._fit_masks(self.teacher.first_mask, [1], self._fit(self.teacher.frames[0]).shape[-2:])
        queries = [(seen, masks)]
        if self.queries != "first":
            frames, shown = self._pasted(masks.shape[-2:])
            pasted = [
                (self._look(f), torch.from_numpy(m)[None, None].float().to(self.device))
                for f, m in zip(frames, shown, strict=True)
            ]
            queries = pasted[1:] if self.queries == "pasted" else [*queries, *pasted[1:]]
            if self.recoloured:
                seen = pasted[0][0]
        remembered = self.net.memory_encoder(*reference(seen, masks))
        if self.mask == "rolled in the loss":
            masks = masks.roll(masks.shape[-1] // 2, -1)
            queries = [(seen, masks)]
        self.first = remembered, F.avg_pool2d(masks, STRIDE)[:, 0]
        self._tune(queries)

    def _tune(self, queries, cells: torch.Tensor | None = None) -> None:
        """On frames as `_look` gives them, with masks (K, 1, h, w); cells: of all of theirs, those that count."""
        features = torch.cat([self.net.query_encoder(seen)[-1] for seen, _ in queries])
        masks = torch.stack([F.avg_pool2d(m, STRIDE)[:, 0] for _, m in queries])  # (Q, K, h, w)
        query_key, scale = self.net.query_key, self.softness**-1 * self.generic[0].out_channels ** -0.5
        if cells is not None:
            query_key = Chosen(query_key, cells)
            masks = masks.flatten(2).movedim(1, 0).flatten(1)[None, :, cells]
        memory_features, m = self.first
        settings = self.settings | {"scale": scale}
        if self.share == "own":
            keys = [copy.deepcopy((query_key, self.net.memory_key)) for _ in m]
            for k, pair in enumerate(keys):
                one = memory_features[k : k + 1], m[k : k + 1]
                self.history = adapt_keys(*pair, features, *one, query_masks=masks[:, k : k + 1], **settings)
            self.net.query_key, self.net.memory_key = map(Each, zip(*keys, strict=True))
            return
        if self.share == "mean":
            settings["learning_rate"] /= len(m)
        keys = query_key, self.net.memory_key
        self.history = adapt_keys(*keys, features, memory_features, m, query_masks=masks, **settings)

    def _pasted(self, size) -> tuple[np.ndarray, np.ndarray]:
        """Frame 0 of object 1 and n like it, at the size that the network sees: (n + 1, h, w, 3), (n + 1, h, w)."""
        frame, mask, ids = self.shown
        frame = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
        mask = cv2.resize((mask == ids[0]).astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
        return augment_first_frame(with_copy(frame, mask) if self.recoloured else frame, mask, self.n + 1)

    def _remember(self, group, seen, masks, others=0.0):
        if self.again:
            self.remembered[self.memories[group].seen] = reference(seen, masks, others)
        super()._remember(group, seen, masks, others)

    def _step(self, frame):
        p = super()._step(frame)
        self.seen += 1
        if self.again and self.seen % self.again == 0 and self.seen <= self.again * self.times:
            self._adapt_again(self._look(frame), resize(p[None, 1:], self._fit(frame).shape[-2:])[0][:, None])
        return p

    def _adapt_again(self, seen, masks) -> None:
        """With the answer's masks (K, 1, h, w), where they are sure; then what is remembered is encoded anew."""
        m = F.avg_pool2d(masks, STRIDE).flatten(1)
        sure = ((m > self.sure) | (m < 1 - self.sure)).all(0)
        if not (m[:, sure] > self.sure).any():
            return  # nothing is known of the object
        frame, shown, ids = self.shown
        first = self._look(frame), self._fit_masks(shown, ids, masks.shape[-2:])
        cells = torch.cat([torch.ones_like(sure), sure]).nonzero().flatten()
        self._tune([first, (seen, masks)], cells)
        old, new = self.memories[0], self.new_memory()
        kept = [t for t in self.remembered if t % new.every == 0 or t == old.seen - 1]
        for t in range(old.seen):
            if t in kept:
                new.add(*self.net.encode_memory(*self.remembered[t]))
            else:
                new.skip()
        self.memories[0] = new
        self.remembered = {t: self.remembered[t] for t in kept}


def with_copy(frame: np.ndarray, mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """Frame 0 with a second object in it, the first one in other colours, behind it; (H, W, 3) uint8."""
    r, (H, W) = np.random.default_rng(seed), mask.shape
    cut, _ = cut_and_inpaint(frame, mask)
    hsv = cv2.cvtColor(cut[..., :3], cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + r.choice([-1, 1]) * r.uniform(8, 20)) % 180
    hsv[..., 2] = (hsv[..., 2] * r.choice([0.7, 1.3])).clip(0, 255)
    cut[..., :3] = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    width, height = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    x, y = columns[0] + width / 2, rows[0] + height / 2
    away = (0.25 if x > W / 2 else 0.75), r.uniform(0.3, 0.7)
    T = transform((H, W), (x, y, width, height), away, flip=bool(r.integers(2)), scale=r.uniform(0.8, 1.2))
    copied, _ = paste(frame, cut, mask, T, blur_kernel(0, 0))
    return np.where(mask[..., None] > 0, frame, copied)


def thinned(clip: Clip, step: int = THINNED) -> Clip:
    """Every third frame: a static memory answers each frame by itself."""
    return Clip(clip.name, clip.frames[::step], clip.masks[::step], clip.info)


def rows_of(part: str, name: str, clips: list[Clip], matcher: str, ways: dict, objects: str = "first") -> list[dict]:
    """A row for each way to adapt, beside the same matcher without; a static memory."""
    settings = MATCHERS[matcher] | {"memory": "first"}
    makers = {way: partial(StrangersTracker, **settings, **turned) for way, turned in ways.items()}
    found = gains(f"s0-{part}-{name}-{objects}-static-{matcher}", partial(plain, **settings), makers, clips, objects)
    where = {"part": part, "list": name, "memory": "static", "matcher": matcher}
    return [rounded({"what": way} | where | row_of(row)) for way, row in found.items()]


def plain(**settings):
    """The matcher without adaptation, which looks at what the others look at."""
    return StrangersTracker(steps=0, **settings)


def row_of(gain: dict) -> dict:
    """What `gains` says, under the names of s0.json; speed is left out, of a machine with other work."""
    row = {key: gain[key] for key in ("clips", "gain", "low", "high", "won", "lost")}
    return {"without": gain["J_without"], "with": gain["J"]} | row


def cost(lists: dict[str, list[Clip]]) -> Iterator[list[dict]]:
    """Seconds of one core that adaptation takes on each list's first clip; J is not looked at."""
    for name, clips in lists.items():
        for matcher, settings in MATCHERS.items():
            for way, turned in COST.items():
                seconds = round(seconds_of(clips[0].only(1), **settings | turned), 2)
                yield [{"what": way, "part": "cost", "list": name, "matcher": matcher, "seconds": seconds}]


def seconds_of(clip: Clip, **settings) -> float:
    """Seconds of one core for a clip's first frame, beyond those that it takes without steps."""
    spent = []
    for steps in ({"steps": 0}, {}):
        tracker = StrangersTracker(**settings | steps)
        tracker._look(clip.frames[0])
        begin = time.process_time()
        tracker.start(clip.frames[0], clip.first_mask)
        spent.append(time.process_time() - begin)
    return spent[1] - spent[0]


def tried(lists: dict[str, list[Clip]]) -> Iterator[list[dict]]:
    """Ways to adapt, on lists that settings may be chosen on, with a static memory: all ways on the first list, those
    that did best there on the others."""
    for k, (name, clips) in enumerate(lists.items()):
        ways = {way: TRIED[way] for way in FINALISTS} if k else TRIED
        yield rows_of("tried", name, [thinned(clip) for clip in clips], "new", ways)


def controls(lists: dict[str, list[Clip]]) -> Iterator[list[dict]]:
    """Keys that were told something wrong, beside those that were told the truth, and what did best when tried."""
    for matcher in MATCHERS:
        for name, clips in lists.items():
            thin = [thinned(clip) for clip in clips]
            ways = {way: turned | {"clips": thin} for way, turned in CONTROLS.items()}
            yield rows_of("controls", name, thin, matcher, ways)


def objects(lists: dict[str, list[Clip]]) -> Iterator[list[dict]]:
    """Each object alone, and all of them at once: their losses summed, as a mean, or keys of its own for each."""
    for matcher in MATCHERS:
        for name, clips in lists.items():
            thin = [thinned(clip) for clip in clips]
            yield rows_of("objects", name, thin, matcher, {"each object alone": QUICK}, "each")
            ways = {f"all objects, {share}": QUICK | {"share": share} for share in ("sum", "mean", "own")}
            yield rows_of("objects", name, thin, matcher, ways, "all")


def leaks(lists: dict[str, list[Clip]]) -> Iterator[list[dict]]:
    """What the loss sees in frame 0, and what leaks in later frames, by true masks: before and after adaptation.

    Of a thousand cells, how many read what they should not (`excess_losses`, alpha 1); "won" are clips where it grew.
    """
    for matcher, settings in MATCHERS.items():
        for name, clips in lists.items():
            tracker = StrangersTracker(memory="first", **settings | QUICK)
            found = np.array([leak(tracker, thinned(clip).only(1)) for clip in clips])  # (clips, frame 0 or later, 2)
            for place, what in enumerate(("leak, frame 0", "leak, later frames")):
                before, after = found[:, place].T
                row = {"what": what, "part": "leaks", "list": name, "memory": "static", "matcher": matcher}
                row |= {"without": before.mean(), "with": after.mean(), "clips": len(clips)}
                yield [rounded(row | compared(after, before))]


@torch.no_grad()
def leak(tracker: StrangersTracker, clip: Clip) -> np.ndarray:
    """[[before, after] in frame 0, [before, after] in later frames, a mean] of a clip with one object."""
    tracker.start(clip.frames[0], clip.first_mask)
    memory_features, m = tracker.first[0], tracker.first[1].flatten(1)
    found = []
    for frame, mask in zip(clip.frames, clip.masks, strict=True):
        seen = tracker.net.query_encoder(tracker._look(frame))[-1]
        shown = tracker._fit_masks(mask, [1], tracker._fit(frame).shape[-2:])
        q = F.avg_pool2d(shown, STRIDE).flatten(2)[0]
        pairs = tracker.generic, (tracker.net.query_key, tracker.net.memory_key)
        A = (affinity(query(seen).flatten(2), memory(memory_features).flatten(2)) for query, memory in pairs)
        found.append([1000 * sum(L.item() for L in excess_losses(a, q, m)) / q.shape[-1] for a in A])
    return np.array([found[0], np.mean(found[1:], 0)])


def stored(_) -> Iterator[list[dict]]:
    """What other studies stored of the shipped settings: three worlds, and longer or shorter training."""
    rows, where = [], {"static": ":memory=first", "updated": ""}
    kept = json.loads((RESULTS / "worlds.json").read_text())["rows"]
    fps = {(row["world"], row["list"], row["tracker"]): row["fps"] for row in kept if "tracker" in row}
    for row in kept:
        for memory, setting in where.items():
            for matcher, photos in {"new": ":backbone=photos", "old": ""}.items():
                pair = f"matching{photos}{setting}", f"matching+context{photos}{setting}"
                if (row.get("before"), row.get("after")) == pair:
                    found = {"what": "as shipped", "part": "worlds", "list": f"{row['world']} {row['list']}"}
                    found |= {"memory": memory, "matcher": matcher}
                    found |= row_of(row | {"J_without": row["J_before"], "J": row["J_after"]})
                    found |= dict(
                        zip(("fps_without", "fps"), (fps[row["world"], row["list"], t] for t in pair), strict=True)
                    )
                    rows.append(found)
    for row in json.loads((RESULTS / "premise.json").read_text())["rows"]:
        found = {"what": f"{row['steps']} steps of training, keys begin {BEGAN[row['keys']]}", "part": "training"}
        rows.append(found | {"list": row["list"], "memory": row["memory"], "matcher": "new"} | row_of(row))
    yield rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of clips in DAVIS, YouTube-VOS or OVIS layout")
    parser.add_argument("--split", action="append", help="a list of its clips; may be given several times")
    parser.add_argument("--part", action="append", choices=PARTS, help="by default all")
    parser.add_argument("--clips", type=int, default=6, help="of each list of FOLDER")
    given = parser.parse_args()
    parts, count = given.part or list(PARTS), given.clips
    torch.set_num_threads(1)
    real = {split: load(given.folder, split)[:count] for split in given.split or []}
    lists = "".join(f" --split {split}" for split in real)
    for part in parts:
        run, generated = PARTS[part]
        chosen = {name: of(*where) for name, where in generated.items()}
        for rows in run((real if part in ON_REAL else {}) | chosen):
            keep(rows, f"python -m vosnb.studies.strangers FOLDER{lists}")


def keep(rows: list[dict], command: str) -> None:
    """Rows into s0.json, each in the place of what it had before."""
    file = RESULTS / "s0.json"
    old = json.loads(file.read_text())["rows"] if file.exists() else []
    kept = {tuple(row.get(key) for key in KEY): row for row in [*old, *rows]}
    order = list(PARTS_OF_ROWS)
    write("s0", command, sorted(kept.values(), key=lambda row: order.index(row["part"])))


def of(world: str, split: str, difficulties: tuple[str, ...], count: int) -> list[Clip]:
    return [clip for clip in load(world, split) if clip.info["difficulty"] in difficulties][:count]


KEY = ("part", "what", "list", "memory", "matcher")  # what tells a row from all others
PARTS_OF_ROWS = ("worlds", "training", "tried", "controls", "leaks", "objects", "cost")
ON_REAL = ("tried", "controls", "leaks", "cost")  # parts that run on the lists of FOLDER too
ALIKE = ("twins", "lookalike")
PARTS = {  # {part: (what runs it, {list: clips of generated worlds that it runs on})}
    "stored": (stored, {}),
    "tried": (tried, {"creatures val": ("creatures", "val", ALIKE, 4)}),
    "controls": (controls, {"toys twins": ("toys", "test-large", ("twins",), 6)}),
    "cost": (cost, {}),
    "leaks": (leaks, {"toys twins": ("toys", "test-large", ("twins",), 6)}),
    "objects": (
        objects,
        {
            "creatures val": ("creatures", "val", ALIKE, 4),
            "creatures alike": ("creatures", "test-large", ALIKE, 8),
            "toys twins": ("toys", "test-large", ("twins",), 8),
        },
    ),
}


if __name__ == "__main__":
    main()
