"""The ablations of context adaptation (S0): what each choice does to the loss, to affinity, and to J.

    python -m vosnb.studies.context

Target alone, static memory, clips of `twins` from test-large; nothing is chosen here, the defaults came from the val
stream. A run that was stopped goes on where it was (build/studies/). Networks that saw another share of look-alikes
in training are trained first, if they are not there (build/shares/; half an hour each). Writes
data/results/context_ablations.json: a row for each setting of each study, with J, the gain over the same network
without adaptation, its 95 % paired interval, clips won and lost, the loss after adaptation as a share of the loss
before, and how much the object and its look-alikes read from the object in late frames.
"""

import argparse
import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from vosnb import creatures
from vosnb.clips import Clip
from vosnb.course.cells import coverage, whole_cells
from vosnb.datasets import load
from vosnb.features import STRIDE, load_weights
from vosnb.methods.context import adapt_keys, object_heatmap
from vosnb.methods.matching import MatchingNet, affinity
from vosnb.metrics import jaccard
from vosnb.paths import ROOT
from vosnb.studies.common import Makers, compared, gains, rounded, write
from vosnb.trackers import make_tracker, segment
from vosnb.trackers.base import Tracker, resize
from vosnb.trackers.matching import ContextTracker, reference
from vosnb.training import matching

SETTINGS = {  # study: {setting: what is turned}; everything else stays as it is by default
    "loss": {"S0-E3": {"loss": "leak"}, "excess": {}},
    "alpha": {"balanced": {}, "1": {"alpha": 1}, "10": {"alpha": 10}},
    "rate": {"0.03": {"learning_rate": 0.03}, "0.3": {}}
    | {f"{rate:g}": {"learning_rate": rate, "patience": None} for rate in (1.0, 3.0, 10.0)},
    "steps": {"5": {"steps": 5}, "50": {}, "150": {"steps": 150}},
    "optimizer": {
        "SGD 0.3": {},
        "SGD 1, summed loss": {"normalise": "sum", "learning_rate": 1.0, "patience": None},
        "Adam 0.001": {"optimizer": "adam", "learning_rate": 1e-3},
        "Adam 0.003": {"optimizer": "adam", "learning_rate": 3e-3},
        "Adam 0.01": {"optimizer": "adam", "learning_rate": 1e-2},
    },
    "convolution": {"both": {}, "query": {"tune": "query"}, "memory": {"tune": "memory"}},
}
DIFFERENCES = (0.0, 0.3, 0.6, 1.0, 1.5)
BRIEF = 2000  # steps of training of `matching-brief`, and of its like that saw another share of look-alikes
TRAINED = {BRIEF: "matching-brief", 11500: "matching"}
SHARES = (0.0, 0.125, 0.6)
WIDTHS = (4, 8, 16, 32)
SHOWN = {"frame 0": (0,), "early frames": (0, 2, 4, 6, 8), "frames all along": (0, 4, 8, 12, 16)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=24, help="of `twins`, for each study")
    parser.add_argument("--no-training", action="store_true", help="leave out networks that would be trained first")
    given = parser.parse_args()
    count = given.clips
    torch.set_num_threads(1)
    twins = [clip for clip in load("embedded", "test-large") if clip.info["difficulty"] == "twins"][:count]
    rows = settings(twins) + differences(count) + widths(twins) + trainings(twins, not given.no_training) + told(twins)
    write("context_ablations", f"python -m vosnb.studies.context --clips {count}", rows)


def settings(twins: list[Clip]) -> list[dict]:
    """How the keys are tuned. What several studies have in common is run once."""
    net = load_weights(MatchingNet(), "matching")
    plain = partial(make_tracker, "matching", memory="first", net=net)
    makers = {
        str(turned): partial(make_tracker, "matching+context", memory="first", net=net, **turned)
        for values in SETTINGS.values()
        for turned in values.values()
    }
    found = compare("settings", plain, makers, twins)
    return [
        {"study": study, "setting": setting} | found[str(turned)]
        for study, values in SETTINGS.items()
        for setting, turned in values.items()
    ]


def differences(count: int) -> list[dict]:
    """Do closer look-alikes gain more? The same scenes with individuals that differ less or more."""
    net, rows = load_weights(MatchingNet(), "matching"), []
    for difference in DIFFERENCES:
        turned = {"species_difference": difference}
        clips = [creatures.generate(2_000_000 + k, "twins", "test", frames=20, **turned) for k in range(count)]
        found = compare(f"difference-{difference:g}", *with_and_without(net, "first"), clips)
        rows.append({"study": "species difference", "setting": f"{difference:g}"} | found["adapted"])
    return rows


def with_and_without(net: MatchingNet, memory: str) -> tuple[Callable[[], Tracker], Makers]:
    """The matcher, and {"adapted": what its keys make of it once they are tuned}."""
    before, after = (partial(make_tracker, name, memory=memory, net=net) for name in ("matching", "matching+context"))
    return before, {"adapted": after}


def trainings(twins: list[Clip], train: bool = True) -> list[dict]:
    """Does a network gain less that knows more: by longer training, or by look-alikes in training?"""
    rows = [
        {"study": "steps of training", "setting": f"{steps}, {mode} memory"} | found
        for steps, weights in TRAINED.items()
        for mode, found in both_memories(weights, twins)
    ]
    for share in SHARES:
        file = "matching-brief" if share == creatures.TRAINING.same_species else shares_file(share)
        if file != "matching-brief" and not file.exists():
            if not train:
                continue
            matching.train(steps=BRIEF, same_species=share, out=file, backbone="creatures")
        for mode, found in both_memories(file, twins):
            rows.append({"study": "look-alikes in training", "setting": f"{share:g}, {mode} memory"} | found)
    return rows


def shares_file(share: float) -> Path:
    return ROOT / "build" / "shares" / f"share-{share:g}.safetensors"


def both_memories(weights: str | Path, twins: list[Clip]) -> list[tuple[str, dict]]:
    """(mode, what adapted keys gain) for a static and an updated memory."""
    net = load_weights(MatchingNet(), weights)
    return [
        (mode, compare(f"{Path(weights).stem}-{mode}", *with_and_without(net, memory), twins)["adapted"])
        for memory, mode in (("first", "static"), ("every+last", "updated"))
    ]


def widths(twins: list[Clip]) -> list[dict]:
    """How many key channels does it take? The shipped keys, cut to the directions that matter most for affinity."""
    rows = []
    for width in WIDTHS:
        net = narrow_keys(load_weights(MatchingNet(), "matching"), width, load("embedded", "val"))
        found = compare(f"width-{width}", *with_and_without(net, "first"), twins)
        rows.append({"study": "key width", "setting": str(width)} | found["adapted"])
    return rows


class ToldTracker(ContextTracker):
    """Adapts with the true masks of some frames of a clip, which no tracker has: what could keys learn from more?"""

    def __init__(self, clip: Clip, times: tuple[int, ...], **context):
        super().__init__(**context)
        self.clip, self.times = clip, times

    def _adapt(self, image, masks):
        frames = [self._fit(self.clip.frames[t]) for t in self.times]
        shown = [self._fit_masks(self.clip.masks[t], self.objects, image.shape[-2:]) for t in self.times]
        cells = torch.stack([F.avg_pool2d(mask, STRIDE)[:, 0] for mask in shown])
        keys = self.net.query_key, self.net.memory_key
        query_features = torch.cat([self.net.query_encoder(frame)[-1] for frame in frames])
        memory_features = self.net.memory_encoder(*reference(image, masks))
        self.history = adapt_keys(*keys, query_features, memory_features, cells[0], **self.settings, query_masks=cells)


def told(twins: list[Clip]) -> list[dict]:
    """Is it the single frame that keeps keys from learning more? J is that of each clip's second half."""
    net = load_weights(MatchingNet(), "matching")

    def late(tracker: Tracker, clip: Clip) -> float:
        scores = [jaccard(clip.masks[t] == 1, mask == 1) for t, mask, _ in segment(tracker, clip)]
        return float(np.mean(scores[len(clip) // 2 :]))

    clips = [clip.only(1) for clip in twins]
    before = np.array([late(make_tracker("matching", memory="first", net=net), clip) for clip in clips])
    rows = []
    for setting, times in SHOWN.items():
        J = np.array([late(ToldTracker(clip, times, memory="first", net=net), clip) for clip in clips])
        row = {"study": "true masks shown", "setting": setting, "clips": len(clips), "J_without": before.mean()}
        rows.append(rounded(row | {"J": J.mean()} | compared(J, before)))
    return rows


@torch.no_grad()
def narrow_keys(net: MatchingNet, width: int, clips: list[Clip]) -> MatchingNet:
    """The network with `width` key channels that give K_Q . K_R as nearly as so many can, over first frames of clips.

    With covariances C_Q and C_R of the keys, whitened keys meet in the matrix C_Q^(1/2) C_R^(1/2); its leading singular
    pairs are the best of that rank (Eckart and Young 1936).
    """
    tracker, net = make_tracker("matching", net=net), copy.deepcopy(net)
    roots, back = [], []
    inputs = [first_frame(tracker, clip) for clip in clips]
    convolutions, encoders = (net.query_key, net.memory_key), (net.query_encoder, net.memory_encoder)
    for conv, encode, part in zip(convolutions, encoders, (0, 1), strict=True):
        features = (encode(*given[part]) for given in inputs)
        keys = torch.cat([conv(f if part else f[-1]).flatten(2)[0] for f in features], 1)
        values, vectors = torch.linalg.eigh(keys @ keys.T / keys.shape[1])
        roots.append(vectors * values.clamp_min(1e-12).sqrt() @ vectors.T)
        back.append(vectors / values.clamp_min(1e-12).sqrt() @ vectors.T)
    U, S, V = torch.linalg.svd(roots[0] @ roots[1])
    for conv, directions, root in zip(convolutions, (U, V.T), back, strict=True):
        # affinity divides by the square root of the width: keep the logits as they are
        cut = (width / conv.out_channels) ** 0.25 * S[:width].sqrt()[:, None] * directions[:, :width].T @ root
        conv.weight = torch.nn.Parameter(torch.einsum("kd,dchw->kchw", cut, conv.weight), requires_grad=False)
        conv.bias = torch.nn.Parameter(cut @ conv.bias, requires_grad=False)
        conv.out_channels = width
    return net


def first_frame(tracker, clip: Clip) -> tuple[tuple, tuple]:
    """What the query encoder and the memory encoder are given of frame 0 and object 1."""
    image = tracker._fit(clip.frames[0])
    mask = resize(torch.from_numpy(clip.first_mask == 1)[None, None].float(), image.shape[-2:])
    return (image,), reference(image, mask)


def compare(run: str, plain: Callable[[], Tracker], makers: Makers, clips: list[Clip]) -> dict[str, dict]:
    """{name: what that tracker gains on `plain`, on the same clips, and what happened to its loss and affinity}."""
    found = gains(run, plain, makers, clips)
    return {name: row | diagnosis(makers[name](), clips) for name, row in found.items()}


@torch.no_grad()
def diagnosis(tracker: ContextTracker, clips: list[Clip]) -> dict:
    """Means over clips: loss after over before, and h of the adapted keys in late frames before and after."""
    found = []
    for clip in clips:
        tracker.start(clip.frames[0], clip.only(1).first_mask)
        history, adapted = tracker.history, (tracker.net.query_key, tracker.net.memory_key)
        _, memory = first_frame(tracker, clip)
        features = tracker.net.memory_encoder(*memory)
        in_object = F.avg_pool2d(memory[1], STRIDE).flatten()
        late = len(clip) - 2
        masks = coverage(whole_cells(clip, tracker.short_side), late)[:2]  # the object and its look-alikes
        seen = tracker.net.query_encoder(tracker._fit(clip.frames[late]))[-1]
        values = [history.total[history.best] / history.total[0]]
        for query_key, memory_key in (tracker.generic, adapted):
            A = affinity(query_key(seen).flatten(2), memory_key(features).flatten(2))
            h = object_heatmap(A[0], in_object)
            values += [((g * h).sum() / g.sum()).item() if g.sum() > 0.5 else np.nan for g in masks]
        found.append(values)
    names = ("loss", "h_object_before", "h_alike_before", "h_object", "h_alike")
    return dict(zip(names, np.nanmean(found, 0).round(4).tolist(), strict=True))


if __name__ == "__main__":
    main()
