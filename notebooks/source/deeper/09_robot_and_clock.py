# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   vosnb:
#     style: 2
# ---

# %% [markdown]
# # The robot and the clock
#
# *Goes deeper than* {{to core}}. There the robot and AUC were tools. Here is what they do in detail, where they can go
# wrong, and what S2's own segmenter does in the same rounds.
#
# 1. The curve of DAVIS, and its area.
# 2. When the number is garbage.
# 3. Ties: the same error, another stroke.
# 4. The robot's settings.
# 5. S2 as printed, beside ours, round by round.
#
# <small>To read: {{read}}. To run: {{run}}. No exercises. The numbers in the text are those of the run that is
# shipped.</small>

# %% tags=["parameters", "setup"]
DATASET = "toys"
SPLIT = "test"
MAX_CLIPS = 2
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %% tags=["setup"]
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure

from vosnb import show
from vosnb.clips import Clip
from vosnb.course.classroom import device, hold, numbers, predict, progress, table
from vosnb.datasets import load
from vosnb.methods.robot import Robot
from vosnb.methods.scribbles import Scribble, draw
from vosnb.trackers.interactive import ClipFeatures, InteractiveSegmenter, PaperSegmenter
from vosnb.trackers.session import InteractiveSession, Round, curve
from vosnb.widgets.sliders import Sliders

torch.set_grad_enabled(False)
dev = device(DEVICE)
LENGTH = max(6, round(8 * BUDGET))
ROUNDS = 3
loaded = [clip for clip in load(DATASET, SPLIT) if clip.masks[0] is not None and 1 in clip.masks[0]]


def short(clip):
    """Every second frame, and object 1 alone."""
    times = [t for t, mask in enumerate(clip.masks) if mask is not None][: 2 * LENGTH : 2]
    frames, masks = [clip.frames[t] for t in times], [clip.masks[t] for t in times]
    return Clip.from_arrays(clip.name, frames, masks).only(1)


# %% [markdown]
# ## 1. The curve of DAVIS
# A session has rounds $k = 1, \dots, K$. Round $k$ takes $\tau_k$ seconds and leaves J&F of $s_k$, the mean over all
# frames, the first and the last among them (DAVIS 2017 leaves those out). The curve goes in straight lines through
#
# $$(0, 0),\ (t_1, s_1),\ \dots,\ (t_K, s_K),\ (T, s_K), \qquad t_k = \tau_1 + \dots + \tau_k$$
#
# and AUC is the area under it, over $T$. Of many sessions $\tau_k$ is the mean over sessions, $s_k$ the mean over all
# objects of all sessions, and $T$ is 8 times 30 s, times the mean number of objects. Only the segmenter's time counts,
# not the user's. A session that ended early keeps its score and takes no more time.


# %% tags=["package"]
@dataclass(frozen=True)
class Curve:
    """J&F against seconds: `times` and `scores` (rounds + 2), straight lines between them."""

    times: np.ndarray
    scores: np.ndarray

    @property
    def auc(self) -> float:
        """The area under the curve over its length, 0..1."""
        return float(np.diff(self.times) @ (self.scores[1:] + self.scores[:-1]) / 2 / self.times[-1])

    def at(self, seconds: float = 60.0) -> float:
        """J&F at a time; DAVIS takes 60 s."""
        return float(np.interp(seconds, self.times, self.scores))


# %% [markdown]
# An example of eight made-up scores, in rounds of 2, 12 and 29 seconds.

# %%
scores = np.array([0.50, 0.62, 0.68, 0.71, 0.73, 0.74, 0.745, 0.75])


def session_of(took, scores=scores):
    """Rounds that took so many seconds each."""
    return [Round(n, 0, took, (s,), (s,)) for n, s in enumerate(scores, 1)]


made = {took: curve([session_of(took)]) for took in (2.0, 12.0, 29.0)}
for took, line in made.items():
    print(f"{took:4.0f} s a round: AUC {line.auc:.3f}, J&F@60s {line.at():.3f}; mean over rounds {scores.mean():.3f}")

# %% [markdown]
# The same scores give AUC {{auc_2:.3f}}, {{auc_12:.3f}} and {{auc_29:.3f}}. At 2 s the rounds are over after 16 of 240
# seconds. S2 reports AUC .621 and J&F@60s .601 on DAVIS: the area is above the height after a minute, so its curve
# still rose then, and its rounds took many seconds. With such a method AUC measures time and quality together. With one
# that answers in two seconds it measures the last round.
#
# ## 2. When the number is garbage
# The benchmark's own code puts the last point at the end of the *allowed* time, wherever the clock stands. Let our
# session take 12 s a round, 96 s in all, and be scored with a limit of 30 s.

# %% tags=["ask"]
guess_garbage = predict(
    "Eight rounds with scores from 0.50 to 0.75, 96 s in all, scored with a limit of 30 s by the benchmark's formula. "
    "AUC is ...",
    {
        "mean": "about the mean of the scores, 0.68.",
        "error": "an error: the limit is broken.",
        "less": "less than 0.50, the lowest score of any round.",
    },
    seed=0,
)

# %%
times = np.array([0, *np.cumsum(np.full(len(scores), 12.0)), 30.0])  # the last point lies before the one before it
heights = np.array([0, *scores, scores[-1]])
garbage = np.trapezoid(heights, times) / times.max()

# %% tags=["plot"]
with show.style():
    fig = Figure((8.2, 3))
    axes = fig.subplots()
    axes.plot(times[:-1], heights[:-1], "o-", color=show.TONES[0])
    axes.plot(times[-2:], heights[-2:] + 0.03, "s--", color=show.TONES[1])
    axes.text(63, 0.82, "the last line, back to 30 s", color=show.TONES[1], ha="center")
    axes.text(50, 0.5, "rounds", color=show.TONES[0])
    axes.set(xlabel="seconds", ylabel="J&F", ylim=(0, 1))
show.figure(
    fig, alt="J&F against seconds: eight rounds up to 96 seconds, and a last line that runs back from there to 30."
)

# %% tags=["plot"]
guess_garbage.reveal(
    "less" if garbage < scores.min() else "mean",
    f"It is {garbage:.2f}: the area under the line that runs back is subtracted, though nobody was worse for a moment.",
)

# %% [markdown]
# That is {{garbage:.2f}}, for scores of 0.50 and more. Our `curve` refuses such rounds with an error, and a session
# that is played with the limit it is scored with discards what comes too late, as DAVIS's server does.
#
# ## 3. Ties
# A pixel of the medial axis is equally far from two borders. On a grid many pixels tie, and `skimage` decides by a
# random order. DAVIS's robot leaves that order to chance, so the same errors get different strokes from run to run, and
# a score on DAVIS's track is never exactly repeated. Ours has a seed. How much does it change?

# %%
regions = [clip.masks[0] == 1 for clip in loaded[: max(4, round(12 * BUDGET))]]


def in_pixels(region, seed):
    """The robot's longest stroke on a region, points (n, 2) in pixels."""
    strokes = Robot(seed=seed).scribbles(region[None].astype(np.uint8), frame=0)
    paths = [s.path * region.shape[::-1] for s in strokes]
    return max(paths, key=lambda path: np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def apart(a, b):
    """How far the points of one stroke are from the nearest of the other, in pixels, on average."""
    return np.linalg.norm(a[::20, None] - b[None, ::20], axis=-1).min(1).mean()


moved = [apart(in_pixels(region, SEED), in_pixels(region, SEED + 1)) for region in regions]
print("pixels between the strokes of two seeds: " + ", ".join(f"{pixels:.1f}" for pixels in sorted(moved)))

# %% [markdown]
# Of {{regions}} objects {{differ}} get another stroke with another seed. Half of the strokes move by less than
# {{moved:.1f}} pixels, and the one that moves most by {{moved_most:.1f}}. So ties are a reason why two runs of a
# benchmark differ in the third digit, and no reason to distrust it; but a test that compares strokes exactly needs the
# seed. (Where two branches are nearly equally long, a few pixels could decide which of them is the longest path. In
# these objects it did not happen.)
#
# ## 4. The robot's settings
# `kernel` sets the opening: its disk has a radius of kernel / 2 times the root of the region's area, at most 16 pixels.
# The benchmark takes 0.2, though its class says 0.15. Parts of a skeleton with fewer than `nodes=4` pixels are left
# out.

# %%
kernels = (0.0, 0.1, 0.2, 0.4, 0.8)
inks = {}
for kernel in kernels:
    some = [Robot(kernel=kernel, seed=SEED).scribbles(r[None].astype(np.uint8), frame=0) for r in regions[:4]]
    ink = [(draw(s, r.shape) > 0).sum() / r.sum() for s, r in zip(some, regions[:4], strict=True)]
    inks[kernel] = np.mean(ink)
    print(f"kernel {kernel:.2f}: {np.mean([len(s) for s in some]):.1f} strokes, {inks[kernel]:.1%} of the object")


# %% tags=["plot"]
def turned(frame, region):
    """A slider: the robot's medial axis and strokes for each kernel."""
    colour = show.contour_colors([frame], [region.astype(np.uint8)])
    scale = 450 / frame.shape[1]

    def draw_it(kernel):
        robot = Robot(kernel=kernel, seed=SEED)
        axis = cv2.dilate(robot.skeleton(region).astype(np.uint8), np.ones((2, 2), np.uint8))
        ink = np.maximum(draw(robot.scribbles(region[None].astype(np.uint8), frame=0), region.shape, 2), 0)
        panels = [show.contoured(frame, mark.astype(np.uint8), colour, fill=0.9, scale=scale) for mark in (axis, ink)]
        return show.Photo(
            show.tiled(panels, [f"kernel {kernel:.2f}: medial axis", "strokes"], 2),
            alt=f"Medial axis and strokes of an object, for an opening with kernel {kernel:.2f}.",
        )

    return Sliders(draw_it, kernel=(0.0, 0.9, 0.2))


turned(loaded[0].frames[0], regions[0])

# %% [markdown]
# Without an opening the ink is {{ink_0:.1%}} of the object, at 0.2 {{ink_2:.1%}}, at 0.4 {{ink_4:.1%}}: limbs go first,
# then most of the trunk. At 0.8 it is {{ink_8:.1%}}; a disk so large leaves nothing, and then the robot takes smaller
# and smaller ones until something is left. A line has no width and the middle of a thick body is short; a disk's is a
# point.
#
# A smaller thing: a stroke is stored in fractions of the frame, made by dividing pixels by width and height, and drawn
# by multiplying with width - 1 and height - 1, cut off. It is not an exact round trip.

# %%
W = H = 64
back = [tuple(np.argwhere(draw([Scribble(0, 1, np.array([[n, n]]) / W)], (H, W)) == 1)[0]) for n in range(W)]
shifted = sum(place != (n, n) for n, place in enumerate(back))
print(f"of {W} pixels on the diagonal {shifted} come back as their neighbour, up and to the left")

# %% [markdown]
# ## 5. S2 as printed, beside ours
# S2's segmenter answers for *all* frames at once: the ridge learns from all ink and from random background pixels, as
# many as ink, outside of boxes around it, and classifies every pixel of the clip. In the last round masks of painted
# frames are propagated. Ours classifies painted frames alone, draws with R, lets in what ink touches, and propagates
# after every round. Both see the same features of the same clips, and each has its own robot.

# %%
chosen = [clip for clip in loaded if clip.name in ("easy-000", "twins-000")] or loaded
both = {"S2 as printed": [], "ten negatives": [], "ours": []}
for clip in progress([short(clip) for clip in chosen[:MAX_CLIPS]], "clips"):
    features = ClipFeatures(list(clip.frames), device=dev)
    tools = {
        "S2 as printed": PaperSegmenter(features, negatives=1.0, propagated=0.5, seed=SEED),
        "ten negatives": PaperSegmenter(features, propagated=0.5, seed=SEED),
        "ours": InteractiveSegmenter(features, seed=SEED),
    }
    for name, tool in tools.items():
        finish = "every" if name == "ours" else "last"
        played = InteractiveSession(clip, tool, Robot(seed=SEED), ROUNDS, max_time=None, finish=finish).run()
        both[name].append([row.JF for row in played] + [played[-1].JF] * (ROUNDS - len(played)))
means = {name: np.mean(found, 0) for name, found in both.items()}
table([{"": name} | {f"J&F, round {n}": s for n, s in enumerate(found, 1)} for name, found in means.items()])

# %% [markdown]
# On {{clips}} clips S2 as printed goes from {{paper_1:.2f}} to {{paper_3:.2f}}, ours from {{ours_1:.2f}} to
# {{ours_3:.2f}}. The middle row has one change, ten background pixels for each of the object: it goes from
# {{ten_1:.2f}} to {{ten_3:.2f}}, and its last step, in which the photograph matcher of lesson 01 propagates, takes it
# from {{ten_2:.2f}} to there. So most of what is wrong with S2 *as printed* is the balance of its samples, not its
# idea. Ours is ahead after the first round, where a user forms an opinion; after the last one it is not always. Two
# clips show what the tools do, not which is better on average; the stored rows of the core lesson are for that.
#
# Back to {{to core}}.

# %% tags=["hold"]
numbers(
    auc_2=made[2.0].auc,
    auc_12=made[12.0].auc,
    auc_29=made[29.0].auc,
    garbage=garbage,
    differ=sum(pixels > 0 for pixels in moved),
    regions=len(moved),
    moved=np.median(moved),
    moved_most=max(moved),
    ink_0=inks[0.0],
    ink_2=inks[0.2],
    ink_4=inks[0.4],
    ink_8=inks[0.8],
    clips=len(both["ours"]),
    paper_1=means["S2 as printed"][0],
    paper_3=means["S2 as printed"][-1],
    ten_1=means["ten negatives"][0],
    ten_2=means["ten negatives"][-2],
    ten_3=means["ten negatives"][-1],
    ours_1=means["ours"][0],
    ours_3=means["ours"][-1],
)
hold("the garbage is below every score", garbage < scores.min())
hold("all pixels but the first are shifted", shifted == W - 1)
hold("strokes hardly move with the seed", max(moved), high=8)
try:
    curve([session_of(12.0)], max_time=30.0)
except ValueError as error:
    refused = str(error)
hold("the package refuses", "max_time" in refused)
if (DATASET, SPLIT, SEED) == ("toys", "test", 0) and BUDGET >= 1 and MAX_CLIPS >= 2:  # what the prose is about
    hold("ours is ahead after the first round", means["ours"][0] - means["ten negatives"][0], low=0.02)
    hold("the balance of samples counts", means["ten negatives"][0] - means["S2 as printed"][0], low=0.1)
    hold("ours is not always ahead in the end", means["ours"][-1] - means["ten negatives"][-1], high=0.02)
