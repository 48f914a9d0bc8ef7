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
# # Refine and update
#
# One clip, three trackers, and the same D, learned on the same frame 0. On the left D alone, as lesson 04 left it. In
# the middle a second network, R, draws its outlines; R has never seen a toy. On the right D also goes on learning while
# the clip runs, from masks that nobody checked. **Watch the outline, then watch what it lies on.** Which mistakes does
# each of them mend, and which can it make?
#
# <small>To read: {{read}}. To solve the four exercises: about 65 minutes. To run: {{run}}. The numbers in the text are
# those of the run that is shipped; with other parameters yours will differ.</small>

# %% tags=["parameters", "setup"]
DATASET = "toys"
SPLIT = "test-large"
MAX_CLIPS = 4
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %% tags=["plot"]
import copy
import json

import numpy as np
import torch

from vosnb import metrics, show
from vosnb.benchmark import load_results
from vosnb.course.cells import whole_cells
from vosnb.course.classroom import device
from vosnb.course.exercises import lesson_06 as exercises
from vosnb.datasets import load
from vosnb.features import to_image
from vosnb.methods.refinement import backbone_maps
from vosnb.paths import RESULTS
from vosnb.trackers import make_tracker

torch.set_grad_enabled(False)
dev = device(DEVICE)
LENGTH = max(8, round(24 * BUDGET))
tracker = make_tracker("frtm", backbone="photos", capacity=40, device=dev, seed=SEED)  # 40 slots: enough for 24 frames
net = tracker.net


class Scene:
    """A clip in whole cells, and for each of some objects a D that has learned frame 0."""

    def __init__(self, clip, objects=(1,), length=LENGTH):
        self.clip = whole_cells(clip, tracker.short_side).subclip(0, min(length, len(clip)))
        first = sum(n * (self.clip.masks[0] == k) for n, k in enumerate(objects, start=1))
        tracker.start(self.clip.frames[0], np.asarray(first, np.uint8))
        self.learned, self.whiten, self.seen = tracker.targets, net.whiten, {}

    def look(self, t):
        """The backbone's maps of frame t, deepest first, and what D is given of them."""
        if t not in self.seen:
            maps = backbone_maps(tracker.encoder, to_image(self.clip.frames[t], dev)[None])
            self.seen[t] = maps, self.whiten(net.together(maps))
        return self.seen[t]

    def targets(self):
        """The target models as frame 0 left them."""
        return copy.deepcopy(self.learned)

    def refine(self, maps, s):
        """R's logits (K, 1, H, W) for scores s (K, 1, h, w)."""
        return net(maps, s, self.clip.size)

    def coarse(self, maps, s):
        """Logits that are read off the scores, without R."""
        return net.coarse(s, self.clip.size)

    def follow(self, follow, **how):
        """Probabilities of all frames after the first: of object 1, without updates, unless something else is said."""
        how = {"targets": self.targets()[:1], "refine": self.refine, "every": None} | how
        return follow(self.look, len(self.clip), **how)


def J_of(clip, found, k=1):
    """J of object k in each frame after the first, NaN where the truth is not known."""
    pairs = zip(clip.masks[1:], found, strict=True)
    return np.array(
        [np.nan if m is None else metrics.jaccard(m == k, (p.argmax(0) == k).cpu().numpy()) for m, p in pairs]
    )


def masks_of(clip, found):
    """Index masks for a film: the given one, then those that were found."""
    return [
        clip.masks[0] * (clip.masks[0] <= len(found[0]) - 1),
        *(p.argmax(0).cpu().numpy().astype(np.uint8) for p in found),
    ]


study = json.loads((RESULTS / "updates.json").read_text())["rows"]
tried = {row["clip"]: row for row in study if "clip" in row}
by_updates = {name: row["own masks"] - row["no update"] for name, row in tried.items()}
loaded = load(DATASET, SPLIT, limit=len(tried))
known = sorted((clip for clip in loaded if clip.name in by_updates), key=lambda clip: -by_updates[clip.name])
clips = known or loaded[: MAX_CLIPS + 2]
pair = [1, *[k for k in np.unique(clips[0].masks[0]) if k > 1][:1]]  # the second one has its turn at the end
hook = Scene(clips[0], pair)
ALGORITHM_1 = exercises.follow.reference
opening = {
    "D alone": hook.follow(ALGORITHM_1, refine=hook.coarse),
    "D and R": hook.follow(ALGORITHM_1),
    "updated": hook.follow(ALGORITHM_1, every=tracker.update_every),
}
show.film(
    hook.clip.frames,
    {name: masks_of(hook.clip, found) for name, found in opening.items()},
    fill=0.25,
    still=max(0, len(hook.clip) - 4),
    limit=700_000,
    alt="A moving clip of toys, three times, with the outline of the target as each tracker sees it: D alone on the "
    "left, coarse; D and R in the middle, closer to what the frame shows; with updates on the right.",
)

# %% [markdown]
# Mean J is {{J_coarse:.2f}} for D alone, {{J_refined:.2f}} with R, and {{J_updated:.2f}} with updates. R changes the
# *outline*. Updates change what it *lies on*: look for patches on other things. Of all that is marked, {{stray_R:.0%}}
# lie off the object in the middle, {{stray_updated:.0%}} on the right. We picked this clip because, of the
# {{study_clips}} clips of our study, it is the one in which updates helped most. The one in which they did worst comes
# below.

# %% tags=["ask"]
import torch.nn.functional as F
from IPython.display import display
from matplotlib.figure import Figure

from vosnb.course.classroom import card, check, chosen, estimate, hold, numbers, predict, progress
from vosnb.methods.refinement import bilinear, conv3, pool
from vosnb.methods.target_model import SampleMemory
from vosnb.show.diagrams import CARD, DARK, OTHER, TARGET, Canvas
from vosnb.widgets.sliders import Sliders

nn = torch.nn
guess_helped = predict(
    f"D and R ran through {len(tried)} toys clips of all kinds, once frozen after frame 0, once learning from their "
    "own masks. In how many clips did learning raise J?",
    {
        "most": "In more than two thirds: a tracker that has seen more of its object knows it better.",
        "half": "In more than a third, but not in more than two thirds.",
        "few": "In a third or less: it learns its own mistakes.",
    },
    seed=1,
)

# %% [markdown]
# | | |
# |---|---|
# | **You will be able to** | ask a network what it believes, write S1's loop, tell learning from drift |
# | **Paper** | S1: Robinson and others, *Discriminative Online Learning for Fast Video Object Segmentation* |
# | **Equations** | S1-E5; Algorithm 1; table 1 (sections 3.2 to 4.1) |
# | **Before** | {{to before}}; soft aggregation from lesson 01 |
# | **After** | {{to after}} |
# | **Deeper** | {{to deeper}} |
#
# ## The scoreboard

# %% tags=["plot"]
board = show.scoreboard("frtm")
rows = {row["name"]: row for row in board.rows}
display(board)

# %% [markdown]
# The new row, D with R and updates, has {{board_real:.2f}} on real video, where D alone, lesson 04's target model, has
# {{board_D_real:.2f}} and the matcher {{board_matching_real:.2f}}; on toy twins it has {{board_twins:.2f}}, D alone
# {{board_D_twins:.2f}} and the matcher {{board_matching_twins:.2f}}. All three look through the same backbone. On real
# video the matcher, which was trained for hours, and a linear model that is trained on this clip are level; among twins
# the model of *this* object is far ahead. The last section goes step by step. Lessons 07 and 11 build on this way of
# thinking: a small model that is *trained on this clip*, and goes on being trained.
#
# ## One level of R (S1-E5)
# D knows *which* object is meant, but only to a cell of 8 x 8 pixels. Even scores that are perfect on every cell give J
# {{J_perfect_read:.2f}} if a mask is read off them. Where a leg ends can be seen in the frame, whosever leg it is. So
# S1 divides the labour: D is learned in this clip and points; **R**, the refinement network, is learned before, on
# other clips, and draws.
#
# R is given D's scores $\mathbf s$ and the backbone's maps $\mathbf x^d$ at several depths $d$. It goes from the
# deepest map to the shallowest, the upward half of a U:
#
# $$\mathbf z^d = R^d(T^d(\mathbf x^d, \mathbf s),\; \mathbf z^{d+1})$$
#
# $T^d$, the *target segmentation encoder*, reads the map in the light of the scores; $\mathbf z^{d+1}$ is what the
# deeper level has found.

# %% tags=["plot"]
canvas = Canvas(820, 330, "One level of R")
for y, stride, words in ((60, 4, "parts, roughly"), (200, 2, "fine edges")):
    canvas.box(20, y, 150, 70, CARD, OTHER, 6, 2)
    canvas.text(95, y + 30, f"x at stride {stride}", DARK, 15, bold=True)
    canvas.text(95, y + 52, words, DARK, 13)
    canvas.box(250, y, 110, 70, CARD, DARK, 6)
    canvas.text(305, y + 30, "T", DARK, 17, bold=True)
    canvas.text(305, y + 52, "x meets s", DARK, 13)
    canvas.box(440, y, 130, 70, CARD, DARK, 6)
    canvas.text(505, y + 30, "attention", DARK, 15, bold=True)
    canvas.text(505, y + 52, "which channels?", DARK, 13)
    canvas.box(640, y, 90, 70, CARD, TARGET, 6, 2)
    canvas.text(685, y + 42, f"z at {stride}", DARK, 15, bold=True)
    for x0, x1 in ((170, 248), (360, 438), (570, 638)):
        canvas.arrow(x0, y + 35, x1, y + 35)
    canvas.arrow(305, y - 28, 305, y - 2, TARGET, 3)
    canvas.text(318, y - 14, "scores s", TARGET, 14, "start", bold=True)
canvas.arrow(685, 130, 560, 198)
canvas.text(440, 24, "from stride 8", size=14, anchor="start")
canvas.arrow(505, 32, 505, 58)
canvas.text(640, 178, "enlarged, added", size=14, anchor="start")
canvas.arrow(730, 235, 800, 235)
canvas.text(775, 222, "mask", size=14)
canvas.text(410, 310, "deep to shallow: each level keeps what it was told and adds what it sees", size=14)
show.Drawing(
    canvas.svg(),
    "Two levels of R, one above the other. In each, a map x and the scores s meet in T, attention chooses channels, "
    "and the result is z. What the level of stride 4 has found is enlarged and added in the level of stride 2, whose z "
    "becomes the mask.",
    canvas.width,
)

# %% [markdown]
# First $T$. Features are projected to a few channels, the score is laid on top as one channel more, and three
# convolutions mix it in. (`conv3` is a 3 x 3 convolution.)


# %% tags=["package"]
class TargetSegmentationEncoder(nn.Module):
    """T^d: features, projected to n channels, meet the scores in three convolutions (S1 section 3.2, figure 2)."""

    def __init__(self, inputs: int, n: int):
        super().__init__()
        self.project = nn.Sequential(nn.Conv2d(inputs, n, 1), nn.ReLU(), nn.Conv2d(n, n, 1))
        self.encode = nn.Sequential(
            conv3(n + 1, n + 1), nn.ReLU(), conv3(n + 1, n + 1), nn.ReLU(), conv3(n + 1, n), nn.ReLU()
        )

    def forward(self, x: torch.Tensor, s: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x (1 or K, C, h, w), s (K, 1, h, w) -> encoding (K, n, h, w) and projection (1 or K, n, h, w)."""
        projected = self.project(x)
        return self.encode(torch.cat([projected.expand(len(s), -1, -1, -1), s], 1)), projected


# %% [markdown]
# We give it the weights of the trained R, and a late frame of the clip above, once with D's scores and once with scores
# of 0 everywhere.

# %%
late = len(hook.clip) - 4
frame, size = hook.clip.frames[late], hook.clip.size
maps, x = hook.look(late)
s = hook.learned[0].scores(x)

at4 = maps[1]
level = net.refiner.blocks[1]  # that of stride 4
T = TargetSegmentationEncoder(at4.shape[1], level.before.mix.in_channels)
T.load_state_dict(level.encoder.state_dict())
s4 = bilinear(s, at4.shape[-2:])
with_scores, _ = T(at4, s4)
without, _ = T(at4, 0 * s4)
changed = (with_scores - without).abs().mean(1)[0] / without.abs().mean()
print(f"{at4.shape[1]} channels and the score -> {with_scores.shape[1]}, at {s4.shape[2]} x {s4.shape[3]} places")

# %% tags=["plot"]
truth = hook.clip.masks[late] == 1
on_object = F.avg_pool2d(torch.from_numpy(truth)[None, None].float().to(dev), 4)[0, 0]
marked_on, marked_off = changed[on_object > 0.5].mean().item(), changed[on_object == 0].mean().item()
show.heat(
    frame,
    {"what the scores change": changed.cpu()},
    truth.astype(np.uint8),
    top=max(float(changed.quantile(0.995)), 1e-3),
    label="change of T's encoding, as a part of its mean size",
    alt="How much the scores change the encoding in each place of the frame: most on the object, which is outlined.",
)

# %% [markdown]
# The features are the same both times, so what lights up comes from the scores. On the object they change the encoding
# by {{marked_on:.1%}} of its mean size, elsewhere by {{marked_off:.1%}}. That is how scores *mark* a part of the
# features. It is a faint mark; at which depth the scores count, we ask as soon as all levels are there.
#
# Next, two depths meet. What is seen here holds edges of everything, and the deep level knows better what matters. So
# the means of both are read by a small network, which answers with one number for each channel: how much of it is
# wanted? That is **channel attention**. What comes from below is added as it is.


# %% tags=["package"]
class ChannelAttention(nn.Module):
    """What is seen at this depth, each channel by how much both depths want it, plus what comes from below."""

    def __init__(self, n: int):
        super().__init__()
        self.attend = nn.Sequential(nn.Conv2d(2 * n, n, 1), nn.ReLU(), nn.Conv2d(n, n, 1), nn.Sigmoid())

    def forward(self, here: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        """here (K, n, h, w), below (K, n, h', w') of any size -> (K, n, h, w)."""
        attention = self.attend(torch.cat([pool(here), pool(below)], 1))
        return attention * here + bilinear(below, here.shape[-2:])


# %% [markdown]
# One residual block (two convolutions whose answer is added to their input) comes before the attention and one after
# it, and that is a level: `after(attention(before(T(x, s)), below))`. We run the levels, and set R's answer beside the
# mask that is read off D's scores. Ours differ from S1's in two ways. The deepest level gets the scores alone: from the
# features at stride 8 R learned what our few hundred training clips show, and spoiled real video. And our R says what
# to *change* about that mask, and before training its last weights are zero: it begins as changing nothing. To learn
# where the scores count we also give some levels scores of 0.

# %%
R = net.refiner
plain = R.scale * bilinear(s, size) + R.offset


def levels(s8, s4, s2):
    """R's logits for the late frame, where each level may be given scores of its own."""
    z8 = R.blocks[0](torch.zeros_like(s8), s8, None)  # the deepest level: scores alone, and nothing below
    z4 = R.blocks[1](maps[1], s4, z8)
    z2 = R.finest(maps[2], s2, R.halve(z4))  # half the channels, on four times as many places
    return plain + bilinear(R.logit(F.relu(R.narrow(z2))), size)


logits, none = levels(s, s, s), torch.zeros_like(s)
deaf = {"at stride 8": levels(none, s, s), "at strides 4 and 2": levels(s, none, none)}
J_deaf = {name: metrics.jaccard(truth, (z[0, 0] > 0).cpu().numpy()) for name, z in deaf.items()}
for name, J in J_deaf.items():
    print(f"scores of 0 {name:18}  J {J:.2f}")

# %% tags=["plot"]
change = (logits - plain)[0, 0].cpu()
read, drawn = (plain[0, 0] > 0).cpu().numpy(), (logits[0, 0] > 0).cpu().numpy()
top = max(float(change.abs().quantile(0.99)), 1e-3)
tone = show.contour_colors([frame], [truth.astype(np.uint8)])  # one colour in both panels
strength = (change / top).clamp(-1, 1)[..., None].numpy()
colors = np.where(strength > 0, [[[31, 127, 196]]], [[[213, 94, 0]]])
mixed = (1 - abs(strength)) * frame.mean(-1, keepdims=True) + abs(strength) * colors
scale = 304 / size[1]
panels = {
    f"read off D's scores: J {metrics.jaccard(truth, read):.2f}": show.contoured(
        frame, read.astype(np.uint8), tone, scale=scale
    ),
    f"R takes up to {top:.0f} (orange), adds (blue)": show.contoured(mixed.astype(np.uint8), None, scale=scale),
    f"after R: J {metrics.jaccard(truth, drawn):.2f}": show.contoured(frame, drawn.astype(np.uint8), tone, scale=scale),
}
show.Photo(
    show.tiled(list(panels.values()), list(panels), 3),
    alt="A late frame three times: with the coarse outline that is read off D's scores; with what R adds to the "
    "logits, blue, and takes from them, orange; and with the outline after R.",
)

# %% [markdown]
# In this frame J goes from {{J_late_coarse:.2f}} to {{J_late_refined:.2f}}. Blue is where R adds to the object, orange
# where it takes away. Orange far from the object changes no pixel of the mask, R is only surer there; look at the
# outline. With scores of 0 in the deepest level, which tell it that there is no object, J is {{J_deaf_deep:.2f}}; with
# scores of 0 in both others it is {{J_deaf_fine:.2f}}. So in this frame R follows the deepest level, and the mark that
# we saw at stride 4 counts for less. The other two levels are the only ones that see the frame: whatever R takes from
# the frame comes through them.
#
# R has {{R_numbers:,}} numbers, and learned them on creatures alone: D was learned on one frame of a clip and scored
# another one, R drew, and only R got a gradient. Since D does not depend on R, each D is learned *once*, before
# training, and kept. It is important that R trains on D's scores, and not on perfect ones: it has to know what D's
# mistakes look like.
#
# ## What does R believe?
# R is told two things, scores and features. Which does it trust for what? Scores are a map like any other, so we make
# some up, wrong on purpose.

# %% tags=["ask"]
guess_shift = predict(
    "Perfect scores, but all of them two cells (16 pixels) too far to the right. What does R make of them?",
    {
        "keeps": "A mask that is shifted as well, within 0.05 of J: wrong in, wrong out.",
        "half": "It moves the outline part of the way back.",
        "mends": "It mends them: J is within 0.05 of what perfect scores give, as it sees the edges.",
    },
    seed=1,
)
guess_square = predict(
    "Scores of 1 in a square of empty ground, and 0 on the object. What does R draw?",
    {
        "square": "Most of the square: it is told so.",
        "some": "Bits of it, between a tenth and a half.",
        "nothing": "Next to nothing (under a tenth): there is no object to draw.",
    },
    seed=0,
)


# %%
def on_cells(mask):
    """The share of each cell that a mask (H, W) covers, (1, 1, h, w): perfect scores."""
    return F.avg_pool2d(torch.from_numpy(np.ascontiguousarray(mask))[None, None].float().to(dev), 8)


def moved(scores, cells):
    """Scores, moved to the right by some cells."""
    return F.pad(scores, (cells, 0))[..., : scores.shape[-1]]


def drawn_by_R(o, scores, maps=None):
    """R's mask (H, W), with the frame's own maps or with others."""
    return (net(maps or o.maps, scores, o.size)[0, 0] > 0).cpu().numpy()


def read_off(scores, size):
    """Where scores, brought up to pixels, are above one half."""
    return (bilinear(scores, size)[0, 0] > 0.5).cpu().numpy()


# %% tags=["setup"]
def with_hole(scores):
    """Scores, with a hole in the middle half of what they cover."""
    rows, columns = ((scores[0, 0] > 0.5).any(axis).nonzero().flatten() for axis in (1, 0))
    holed = scores.clone()
    if len(rows) and len(columns):
        (top, bottom), (left, right) = (np.quantile(side.cpu(), (0.25, 0.75)).astype(int) for side in (rows, columns))
        holed[..., top : bottom + 1, left : right + 1] = 0
    return holed


class Asked:
    """A late frame of a clip: maps, D's scores, true masks of the object and of the largest stranger."""

    def __init__(self, scene):
        clip = self.clip = scene.clip
        seen = [t for t in range(1, len(clip)) if clip.masks[t] is not None and (clip.masks[t] == 1).sum() > 300]
        self.t = seen[3 * len(seen) // 4] if seen else len(clip) - 1
        mask = clip.masks[self.t] if clip.masks[self.t] is not None else clip.masks[0]
        self.frame, self.truth, self.size = clip.frames[self.t], mask == 1, clip.size
        self.maps, x = scene.look(self.t)
        self.s = scene.learned[0].scores(x)
        areas = {k: (mask == k).sum() for k in np.unique(mask) if k > 1}
        other = max(areas, key=areas.get, default=0)
        self.stranger = mask == other if other and areas[other] > 300 else None
        free = F.max_pool2d(on_cells(mask > 0) + self.s.clamp_min(0) / 4, 7, 1, 3)[0, 0, 3:-3, 3:-3]  # 7 x 7 cells
        row, column = divmod(int(free.argmin()), free.shape[1])
        self.square = np.zeros(self.size, bool)
        self.square[8 * (row + 1) : 8 * (row + 6), 8 * (column + 1) : 8 * (column + 6)] = True

    def made_up(self):
        """{name: (scores, the mask that they mean)}."""
        true = on_cells(self.truth)
        kinds = {
            "D's own": (self.s, self.truth),
            "perfect": (true, self.truth),
            "a hole": (with_hole(true), self.truth),
            "two cells to the right": (moved(true, 2), self.truth),
            "a square of ground": (on_cells(self.square), self.square),
        }
        return kinds | ({"a stranger": (on_cells(self.stranger), self.stranger)} if self.stranger is not None else {})


drift = Scene(clips[-1])  # the last section but one is about it
others = [clip for clip in loaded if clip.name not in (clips[0].name, clips[-1].name)]  # in the order of the list
others = others[: max(0, round(MAX_CLIPS * min(1, BUDGET)) - 2)]
asked = [Asked(hook), Asked(drift), *(Asked(Scene(clip)) for clip in progress(others, "asking R"))]
CONTROL = "perfect, another clip's frame"
answers = {}  # {kind: [(J read off, J of R, share of what was meant that R draws)]}, J against what is meant
for o, other in zip(asked, [*asked[1:], asked[0]], strict=True):
    kinds = {name: (*pair, None) for name, pair in o.made_up().items()}
    if o.size == other.size:
        kinds[CONTROL] = (*o.made_up()["perfect"], other.maps)
    for name, (scores, meant, maps_) in kinds.items():
        mask = drawn_by_R(o, scores, maps_)
        row = metrics.jaccard(meant, read_off(scores, o.size)), metrics.jaccard(meant, mask), mask[meant].mean()
        answers.setdefault(name, []).append(row)
believed = {name: np.mean(rows, 0) for name, rows in answers.items()}

# %% tags=["plot"]
shown = asked[0]
SHOWN = ("a hole", "two cells to the right", "a square of ground")
wrong = {name: shown.made_up()[name][0] for name in SHOWN}
scale = 304 / shown.size[1]
top_row = [show.heat_over(shown.frame, scores[0, 0].cpu(), scale=scale) for scores in wrong.values()]
bottom_row = [
    show.contoured(shown.frame, drawn_by_R(shown, scores).astype(np.uint8), tone, scale=scale)
    for scores in wrong.values()
]
show.Photo(
    show.tiled(top_row + bottom_row, [f"scores: {name}" for name in SHOWN] + ["R's mask"] * 3, 3),
    alt="Above, three made-up scores: with a hole, moved to the right, a square of ground. Below, the mask that R "
    "draws for each of them.",
)

# %% tags=["plot"]
guess_shift.reveal(
    "keeps"
    if believed["two cells to the right"][1] < believed["two cells to the right"][0] + 0.05
    else "mends"
    if believed["two cells to the right"][1] > believed["perfect"][1] - 0.05
    else "half",
    f"J of R is {believed['two cells to the right'][1]:.2f}; with perfect scores it is {believed['perfect'][1]:.2f}.",
)
part = believed["a square of ground"][2]
guess_square.reveal(
    "square" if part > 0.5 else "some" if part > 0.1 else "nothing", f"R draws {part:.0%} of the square."
)
with show.style():
    fig = Figure((8.2, 0.6 + 0.4 * len(believed)))
    axes = fig.subplots()
    for y, (before, after, _) in enumerate(believed.values()):
        axes.annotate("", (after, y), (before, y), arrowprops={"arrowstyle": "->", "color": show.INK, "lw": 1.5})
        axes.plot(before, y, "o", ms=9, mfc="none", mec=show.TONES[1], mew=2)
        axes.plot(after, y, "o", ms=9, color=show.TONES[0])
        axes.text(1.02, y, f"{before:.2f} → {after:.2f}", transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    axes.set_title("ring: read off the scores; disc: R's mask")
    axes.set_yticks(range(len(believed)), list(believed))
    axes.set(
        xlim=(0, 1.02),
        ylim=(len(believed) - 0.5, -0.9),
        xlabel=f"J against the mask that the scores mean ({len(asked)} clips)",
    )
    axes.grid(axis="x", alpha=0.2)
show.figure(
    fig,
    alt="For each kind of scores an arrow from J read off them to J of R: "
    + "; ".join(f"{name} {before:.2f} to {after:.2f}" for name, (before, after, _) in believed.items()),
)

# %% [markdown]
# Start with the first row ({{asked_clips}} clips, one late frame each, so look at large differences only; J is against
# the object itself, and in the rows of the square and the stranger against those). D's own scores go from
# {{own_read:.2f}}, if a mask is read off them, to {{own_R:.2f}} after R.
#
# - **Another frame's features.** Perfect scores go from {{perfect_read:.2f}} to {{perfect_R:.2f}}: R was trained on D's
#   scores, and what it has learned is to mend those, not to lift the bound that cells set. If R sees *another clip's*
#   frame, it has {{control_R:.2f}}. So it does look at the frame, and a wrong one misleads it. In the first row R gains
#   with the right frame; how much of that comes from the frame, and how much from tidying D's scores, this experiment
#   does not tell.
# - **Wrong on the object.** A hole in the scores goes from {{hole_read:.2f}} to {{hole_R:.2f}}, a shift of two cells
#   from {{shift_read:.2f}} to {{shift_R:.2f}}. What R does not mend, D has to get right.
# - **Wrong object.** Of a square of empty ground R draws {{square_share:.0%}}. Of a stranger's scores it makes a mask
#   of the stranger, J {{stranger_R:.2f}} (read off: {{stranger_read:.2f}}): which object is meant, R can only be told.
#
# How strong must a wrong score be? Below, D's own scores fade into a wrong map.


# %% tags=["plot"]
def believing(o, drawn_by_R):
    """A slider: D's scores fade into a wrong map, and what R draws."""
    wrongs = {name: scores for name, (scores, _) in o.made_up().items() if name not in ("D's own", "perfect")}

    def draw(wrong, strength):
        scores = (1 - strength) * o.s + strength * wrongs[wrong]
        mask = drawn_by_R(o, scores)
        meant = o.made_up()[wrong][1]
        on = f"J {metrics.jaccard(o.truth, mask):.2f} on the object, {mask[meant].mean():.0%} of what was meant"
        scale = 450 / o.size[1]
        panels = [
            show.heat_over(o.frame, scores[0, 0].clamp(0, 1).cpu(), scale=scale),
            show.contoured(o.frame, mask.astype(np.uint8), scale=scale),
        ]
        return show.Photo(
            show.tiled(panels, [f"scores: {wrong}, {strength:.0%}", f"R: {on}"], 2),
            alt=f"Scores that are {strength:.0%} {wrong}, and R's mask: {on}.",
        )

    order = ["a stranger", *wrongs] if "a stranger" in wrongs else [*wrongs]
    return Sliders(draw, wrong=list(dict.fromkeys(order)), strength=(0.0, 1.0, 0.5))


believing(shown, drawn_by_R)

# %% [markdown]
# So R follows a wrong D. And in a minute that wrong mask becomes a lesson for D.
#
# ## Algorithm 1
# All parts are there. S1's whole method is a loop: **predict** with D, **refine** with R, **extend** the memory with
# the frame and its answer, and every $t_s$ frames **update** D on what is remembered. Each object has a D and a memory
# of its own; R is the same for all, and `soft_aggregate` of lesson 01 settles who gets a pixel.

# %% tags=["check"]
card(exercises.follow)


# %% tags=["exercise"]
from vosnb.methods.matching import soft_aggregate


def follow(look, frames, targets, refine, every=2):
    """Probabilities (K + 1, H, W), background first, of frames 1 to frames - 1, by Algorithm 1 of S1.

    look(t): the backbone's maps of frame t, and x, what D is given. targets: a D for each of K objects, each with
    scores(x) -> (1, 1, h, w), add(x, label (1, 1, H, W)) and update(). refine(maps, s): R's logits (K, 1, H, W) for
    scores s (K, 1, h, w). every: t_s; None: nothing is learned. soft_aggregate: (K, H, W) -> (K + 1, H, W).
    """
    # solution begin
    found = []
    for t in range(1, frames):
        maps, x = look(t)
        s = torch.cat([D.scores(x) for D in targets])  # predict
        p = soft_aggregate(torch.sigmoid(refine(maps, s)[:, 0]))  # refine
        if every is not None:
            for D, label in zip(targets, p[1:], strict=True):
                D.add(x, label[None, None])  # extend
                if t % every == 0:
                    D.update()  # update
        found.append(p)
    return found
    # solution end


# %% tags=["check", "nbval-check-output"]
check(exercises.follow, follow)
follow = chosen(exercises.follow, follow)

# %% [markdown] tags=["solution"]
# Two things are easily got wrong. The label is the *fused* answer: before fusion two objects can claim the same pixel,
# and both would learn it. And it is soft: where R is in doubt, D should not be taught certainty.

# %% [markdown]
# An update learns the second layer $\mathbf w_2$ alone, as in the paper. With $\mathbf w_1$ fixed that is a ridge
# regression (least squares with a small pull to zero; lesson 07), which we solve exactly. We timed it in the last cell:
# with sums that are kept for each sample an update takes {{update_ms:.0f ± 40}} milliseconds, and without them it
# would take about {{dearer:.0f ± 60}} times as long ({{to deeper}}).
#
# ## The life of the memory
# How much does each remembered frame count? In the paper a new sample *"is first given a weight
# $\gamma_i = (1 - \eta)^{-1} \gamma_{i-1}$, with $\gamma_0 = \eta$. We then normalize the sample weights to sum to
# unity."* The authors' code divides the weights of frame 0 by $1 - \eta$ once, when the first new sample comes. So the
# newest sample counts most, and $\eta$ is a rate of forgetting.

# %% tags=["ask"]
guess_left = estimate(
    f"Our tracker has a rate of {tracker.settings.rate}. After 20 new frames, how many per cent of all weight are left "
    "to frame 0, the only one whose mask is known?",
    0,
    100,
    "%",
    1,
)
card(exercises.first_share)


# %% tags=["exercise"]
def first_share(frames, rate):
    """The share of all weight that is left to frame 0 after so many new frames, at this rate (eta)."""
    # solution begin
    first, newest, new = 1.0, 0.0, 0.0
    for n in range(frames):
        if n == 0:
            first, newest = first / (1 - rate), rate
        else:
            newest = newest / (1 - rate)
        new += newest
    return first / (first + new)
    # solution end


# %% tags=["check", "nbval-check-output"]
check(exercises.first_share, first_share)

# %% [markdown] tags=["solution"]
# With $r = 1 / (1 - \eta)$ the undivided weights are $r$ for frame 0 and $\eta, \eta r, \eta r^2, \dots$ for the new
# frames. In the long run each new frame multiplies all older weights by $1 - \eta$.


# %% tags=["plot"]
def life(rate, least, frames=40, initial=10):
    """The share of frame 0's samples in the package's memory, after 0 .. frames new ones."""
    memory = SampleMemory(80, rate, least)
    memory.start(initial)
    shares = [1.0]
    for _ in range(frames):
        memory.insert()
        shares.append(memory.weights[:initial].sum().item())
    return np.array(shares)


share_of = exercises.first_share.reference
lives = {
    "rate 0.1, as ours": life(0.1, 0.0),
    "rate 0.2": life(0.2, 0.0),
    "rate 0.1, frame 0 keeps a quarter": life(0.1, 0.25),
}
guess_left.reveal(100 * share_of(20, tracker.settings.rate), "The other weight lies on answers that nobody checked.")
with show.style():
    fig = Figure((8.2, 2.5))
    axes = fig.subplots()
    for (name, shares), tone, at in zip(lives.items(), show.TONES, (9, 13, 24), strict=False):
        axes.plot(shares, color=tone)
        axes.annotate(name, (at, shares[at]), (4, 4), textcoords="offset points", color=tone)
    axes.set(xlabel="new frames", ylabel="weight left to frame 0", ylim=(0, 1.02), xlim=(0, 40))
show.figure(
    fig,
    alt="The weight that is left to frame 0 over 40 new frames. At a rate of 0.1 it falls to a half in about eight "
    "frames, at 0.2 in about four; protected, it stays at a quarter.",
)

# %% [markdown]
# After 20 frames frame 0 has {{left_ours:.0%}} of the weight at our rate, which is the paper's, and {{left_fast:.0%}}
# at a rate of 0.2. Most of what D learns from is *its own answers*. ATOM, the tracker from which S1 takes its loop,
# protects its first samples: they keep their slots, and a quarter of all weight. A student has written that down. Here
# is what the program does with the first new frames, where slots 0 to 9 hold frame 0 and nine changed copies (the
# original counts twice):

# %% tags=["check"]
weights, last, taken = torch.tensor([2.0, *[1.0] * 9, *[0.0] * 20]).double() / 11, None, []
for _ in range(6):
    weights, last = exercises.protect.faulty(weights, last, 0.2, 10, 0.25)
    taken.append(last)
print("slots that six new frames take:", *taken)
print(f"weight of slots 0 to 9 afterwards: {weights[:10].sum():.2f}, of slot 0 alone {weights[0]:.2f}")
card(exercises.protect)


# %% tags=["exercise"]
def protect(weights, last, rate, first, least):
    """The new weights, and the slot of a new sample; the slots before `first` are frame 0's, and keep `least`."""
    weights, slot = weights.clone(), int(weights[first:].argmin())
    if last is None:
        weights, new = weights / (1 - rate), rate
    else:
        new = weights[last] / (1 - rate)
    weights[slot] = new
    weights = weights / weights.sum()
    kept = weights[:first].sum()
    if kept < least:
        weights[:first] *= least / kept
        weights[first:] *= (1 - least) / (1 - kept)
    return weights, slot


# solution begin
unmended, protect = protect, exercises.protect.reference  # the place in a part is not the place in the whole
# solution end

# %% tags=["check", "nbval-check-output"]
check(exercises.protect, protect)

# %% [markdown]
# ## Updates that help, updates that drift
# Do updates help, then? We ran Algorithm 1 through {{study_clips}} toys clips, which nothing was trained or chosen on,
# each clip in seven ways, from the same D. One way is not allowed, and says what updates *could* be worth: after each
# answer D is told the true mask.

# %% tags=["plot"]
ways = {row["way"]: row for row in study if "way" in row}
own, told = ways["own masks"]["gain"], ways["the truth"]["gain"]
won = ways["own masks"]["won"] / len(tried)
guess_helped.reveal(
    "most" if won > 2 / 3 else "half" if won > 1 / 3 else "few",
    f"{ways['own masks']['won']} of {len(tried)}: your first question.",
)
show.forest(
    list(ways.values()),
    label="way",
    xlabel=f"gain in mean J over no updates ({len(tried)} toys clips)",
    alt="Forest plot of six ways to update, beside none: own masks, the truth, and four attempts at a cure.",
)

# %% [markdown]
# Own masks change J by {{own_gain:+.3f}} [{{own_low:+.3f}}, {{own_high:+.3f}}] and raise it in {{own_won}} clips; true
# masks change it by {{told_gain:+.3f}} [{{told_low:+.3f}}, {{told_high:+.3f}}]. (Where an interval holds 0, the change
# may be nothing.) The distance between the two is the price of learning from oneself. The other rows are attempts at a
# cure, one change each. The first two leave more weight to frame 0, whose mask is known: a quarter for frame 0 has
# {{least_gain:+.3f}}, a rate of 0.05 {{rate_gain:+.3f}}. An update every eighth frame (the paper's $t_s$) lets D learn
# less often, {{rare_gain:+.3f}} [{{rare_low:+.3f}}, {{rare_high:+.3f}}]. To remember only answers of which R is sure,
# 0.9 on average inside the mask, has {{sure_gain:+.3f}}; we count below, in one clip, how many masks this test turns
# away. (Our own rate of {{rate:.1f}}, which is the paper's, was chosen on the 12 clips of real video on which we make
# such choices.)
#
# Here is the clip that did worst in that study. Without updates a wrong frame means nothing for the next one. With
# updates it is a *lesson*.


# %% tags=["plot"]
class Watched:
    """A D that keeps for each slot of its memory how true the label was; told: it learns the truth instead."""

    def __init__(self, D, clip, told=False):
        self.D, self.clip, self.told, self.t, self.true = D, clip, told, 0, {}
        self.scores, self.update = D.scores, D.update

    def add(self, x, label):
        self.t += 1
        truth = self.clip.masks[self.t]
        if self.told and truth is not None:
            label = torch.from_numpy(truth == 1).to(label)[None, None]
        slot = self.D.add(x, label)
        if slot is not None and truth is not None:
            self.true[slot] = metrics.jaccard(truth == 1, label[0, 0].cpu().numpy() > 0.5)


every = tracker.update_every
learner, pupil = (Watched(drift.targets()[0], drift.clip, told) for told in (False, True))
drifting = {
    "no update": drift.follow(follow),
    "own masks": drift.follow(follow, targets=[learner], every=every),
    "the truth": drift.follow(follow, targets=[pupil], every=every),
}
J_drift = {name: J_of(drift.clip, found) for name, found in drifting.items()}
show.film(
    drift.clip.frames,
    {
        f"{name}: J {np.nanmean(J_drift[name]):.2f}": masks_of(drift.clip, drifting[name])
        for name in ("no update", "own masks")
    },
    fill=0.25,
    columns=2,
    limit=500_000,
    alt="The clip in which updates did worst, twice: without updates, and with updates on own masks; J is below each.",
)

# %% tags=["plot"]
slots = sorted(learner.true)
gammas = learner.D.memory.weights[slots].numpy()
truths = np.array([learner.true[slot] for slot in slots])
with show.style():
    fig = Figure((8.2, 2.6))
    left, right = fig.subplots(1, 2)
    ends = sorted(J_drift, key=lambda name: np.nan_to_num(J_drift[name][-1]))
    for (name, J), color in zip(J_drift.items(), show.TONES, strict=False):
        left.plot(range(1, len(J) + 1), J, color=color)
        lowest = min(np.nan_to_num(J_drift[ends[0]][-1]), 0.74)
        where = len(J), lowest + 0.11 * ends.index(name)  # labels one above the other
        left.annotate(name, where, (6, 0), textcoords="offset points", color=color, va="center")
    left.set(xlabel="frame", ylabel="J", ylim=(0, 1.02), xlim=(1, 1.3 * len(drift.clip)))
    bars = right.bar(range(1, len(slots) + 1), gammas, color=show.TONES[0], edgecolor="white", lw=0.5)
    for bar, true in zip(bars, truths, strict=True):
        worse = true < np.median(truths)
        bar.set(facecolor=show.TONES[int(worse)], hatch="//" if worse else "")
    right.set(xlabel="remembered frame", ylabel="weight at the end", title="hatched: the worse half of the labels")
show.figure(
    fig,
    alt="Left, J over the frames without updates, with own masks, and with the truth. Right, the weight of each "
    "remembered frame at the end of the clip, growing to the newest; the half with the worse labels is hatched.",
)

# %% [markdown]
# Mean J is {{drift_still:.2f}} without updates, {{drift_own:.2f}} with own masks and {{drift_told:.2f}} if D is told
# the truth: same clip, same memory, same weights, other labels. So the difference of the last two comes from the
# labels, all of them together; how the truth compares with not learning at all stands before them.
#
# Was R sure of its worse masks, too? {{sure_answers:.0f}} of {{all_answers:.0f}} answers passed the test of 0.9, and
# the worst of those had J {{worst_sure:.2f}}. On the right, {{worse_weight:.0%}} of the weight of what was remembered
# lies on the worse half of the labels. What is new counts most, so it matters *when* mistakes are made: see which bars
# are hatched.
#
# *Did* the badly labelled samples spoil D? In closed form we can ask: take samples out of the memory, solve again, and
# look at the last frames. As a control we take out as many of the *best* labelled ones.


# %%
def taking_out(slots):
    """Mean J in the last third of the clip, of a D that never learned from these slots."""
    D = copy.deepcopy(learner.D)
    D.memory.weights[list(slots)] = 0
    D.update()
    found = []
    for t in range(2 * len(drift.clip) // 3, len(drift.clip)):
        maps, x = drift.look(t)
        if drift.clip.masks[t] is not None:
            mask = (drift.refine(maps, D.scores(x))[0, 0] > 0).cpu().numpy()
            found.append(metrics.jaccard(drift.clip.masks[t] == 1, mask))
    return np.mean(found)


by_truth = [slots[i] for i in np.argsort(truths)]
third = len(slots) // 3
thirds = {"nothing": [], "the worst labelled third": by_truth[:third], "the best labelled third": by_truth[-third:]}
taken_out = {name: taking_out(out) for name, out in thirds.items()}
weight_of = {name: learner.D.memory.weights[out].sum().item() for name, out in thirds.items()}
for name, J in taken_out.items():
    print(f"without {name:24} ({weight_of[name]:3.0%} of the weight)  J {J:.2f}")
as_it_is, without_bad, without_good = taken_out.values()
if without_bad > max(as_it_is, without_good) + 0.01:
    print("-> The badly labelled samples did harm: without them D is better, and without good ones it is not.")
else:
    print("-> A third of the samples, well or badly labelled, makes no clear difference (0.01) in this clip.")

# %% [markdown]
# With all samples D has {{out_none:.2f}} in the last third of the clip; without the worst third of them, which had
# {{weight_worst:.0%}} of the weight, it has {{out_worst:.2f}}, and without the best third ({{weight_best:.0%}})
# {{out_best:.2f}}. Where no single third makes a difference, the labels as a whole cost D something, but none of them
# can be blamed alone; perhaps those that stay share the same fault. D cannot even try this by itself: to sort the
# samples we looked at the true masks, and D has only its own. Lesson 07 asks somebody who can tell, a person.
#
# ## Several objects
# In the first clip of this lesson, give a second object a D of its own. Does that help the first one? `follow` can do
# it already.

# %%
few = min(10, len(hook.clip))
both = follow(hook.look, few, hook.targets(), hook.refine, every)
first_frames = hook.clip.subclip(0, few)
J_alone, J_both = (np.nanmean(J_of(first_frames, found)) for found in (opening["updated"][: few - 1], both))
print(f"object 1 of {hook.clip.name}, alone: J {J_alone:.2f}; with a D for object {pair[-1]}: {J_both:.2f}")

# %% [markdown]
# Object 1 goes from {{J_first_alone:.2f}} to {{J_first_both:.2f}}: one clip, {{both_frames}} frames, so a difference
# below 0.02 says nothing. What could help is fusion: it gives each pixel to one D, and so a second D can tell the first
# that a pixel is somebody else's.
#
# ## D or R?

# %% tags=["check"]
card(exercises.blame)

# %% tags=["exercise"]
my_blame = ""
# solution begin
my_blame = exercises.blame.reference
# solution end

# %% tags=["check"]
check(exercises.blame, my_blame)

# %% [markdown]
# ## Measure: table 1 of S1
# The paper builds its method up step by step, on 300 clips of YouTube-VOS: a **base net**, in which a target encoder
# that was trained *offline* takes D's place, has J 52.0; D alone 58.8; D and R 67.6; with updates 70.6. We do the same
# in three worlds, with a base net and an R that learned on creatures. Object 1, all frames; each step beside the one
# before, clip by clip. A fourth list of clips has real animals and people among others of their kind: look-alikes.

# %% tags=["ask"]
guess_table = predict(
    "The base net was trained for its task, on creatures; D has seen one frame. D takes its place. What happens to J?",
    {
        "gain": "It rises on every list of clips, as in the paper.",
        "abroad": "It falls on creatures, where the base net was trained, and rises on all other lists.",
        "loss": "It falls on a list of toys or of real video, too.",
    },
    seed=1,
)

# %% tags=["plot"]
stored = json.loads((RESULTS / "worlds.json").read_text())["rows"]
found = {(row["world"], row["list"], row["step"]): row for row in stored if "step" in row}
LISTS = {
    "toys, easy": ("toys", "easy"),
    "toys, twins": ("toys", "twins"),
    "real video": ("real", "report"),
    "real look-alikes": ("real", "lookalikes_report"),
    "creatures": ("creatures", "all"),
}
STEPS = {"base net to D alone": 0.588 - 0.520, "D alone to D and R": 0.676 - 0.588, "updated": 0.706 - 0.676}
table_1 = {(step, name): found[(*where, f"S1, {step}")] for step in STEPS for name, where in LISTS.items()}
falls = [name for name in LISTS if table_1["base net to D alone", name]["gain"] < 0]
guess_table.reveal(
    "gain" if not falls else "abroad" if falls == ["creatures"] else "loss",
    f"Lists where it falls: {', '.join(falls) or 'none'}.",
)
show.forest(
    [
        row | {"name": f"{step}: {name} ({row['clips']})"} | ({"paper": STEPS[step]} if name == "real video" else {})
        for (step, name), row in table_1.items()
    ],
    label="name",
    alt="Forest plot of the three steps of S1's table 1 in five lists of clips, with the paper's gains as ticks at "
    "real video.",
)

# %% [markdown]
# **What carries over.** R, which saw none of these clips in training, gains on every list: {{R_real:+.3f}}
# [{{R_real_low:+.3f}}, {{R_real_high:+.3f}}] on real video (the paper: {{R_paper:+.3f}}), {{R_twins:+.3f}} on toy
# twins. D in the place of the base net gains {{D_real:+.3f}} [{{D_real_low:+.3f}}, {{D_real_high:+.3f}}] on real video
# (the paper: {{D_paper:+.3f}}) and {{D_easy:+.3f}} on easy toys. **What does not.** On creatures, where the base net is
# at home, D is level with it ({{D_creatures:+.3f}}); among real look-alikes D alone is not better either
# ({{D_look:+.3f}} [{{D_look_low:+.3f}}, {{D_look_high:+.3f}}]): a linear model of one frame takes them for the object.
# **Updates** change J by {{U_real:+.3f}} [{{U_real_low:+.3f}}, {{U_real_high:+.3f}}] on real video (the paper:
# {{U_paper:+.3f}}) and {{U_easy:+.3f}} on easy toys, but by {{U_twins:+.3f}} [{{U_twins_low:+.3f}},
# {{U_twins_high:+.3f}}] on toy twins, {{U_creatures:+.3f}} on creatures and {{U_look:+.3f}} [{{U_look_low:+.3f}},
# {{U_look_high:+.3f}}] among real look-alikes. They pay where something else looks the same: each new frame shows D
# more of what the object is *not*. Where nothing can be confused, there is nothing left to gain.
#
# On the {{study_clips}} toys clips above, of all kinds, own masks changed J by {{own_gain:+.3f}}, and by
# {{own_twins:+.3f}} on the {{own_twins_clips}} twins among them: what a list shows depends on the clips that it holds,
# and so we count wins and losses clip by clip.
#
# The paper also asks how much is lost on *unseen* categories, which training never showed: S1 has J 71.6 on seen ones
# and 65.0 on unseen ones, its rival S2S, which fine-tunes a whole network, 71.0 and 55.5. Among our creatures D and R
# have {{J_seen:.2f}} on seen kinds and {{J_unseen:.2f}} on unseen ones (160 clips, with our first networks, whose
# backbone learned on creatures): in this one made-up world we saw no loss on unseen kinds.
#
# ## What we now know
# - D says *which*, to a cell. R, which never saw the object, says *where it ends*, and learned that on other clips.
# - S1-E5 is one level of a U: scores mark features, attention picks channels, what the deeper level knows is added. In
#   our R the deepest level alone has to say which object is meant.
# - R takes from the frame where things end, and from the scores which thing is meant. Of a stranger's scores it draws
#   the stranger.
# - After 20 frames {{left_ours:.0%}} of what D learns from is known to be true. On {{study_clips}} toys clips own masks
#   change J by {{own_gain:+.3f}}, true masks by {{told_gain:+.3f}}; on toy twins (table 1) own masks change it by
#   {{U_twins:+.3f}}.
# - A wrong label can make more of its kind. To remember only masks of which R is sure changes J by {{sure_gain:+.3f}},
#   where own masks have {{own_gain:+.3f}}: R is sure of nearly all, and to be sure is not to be right.
#
# **Next: {{to after}}.** What would tell? A person who looks on, and marks what is wrong; and a closed form that is
# solved again with every mark is fast enough to wait for.
#
# <small>**References.** S1: A. Robinson, F. Järemo Lawin, M. Danelljan, F. S. Khan, M. Felsberg, *Discriminative Online
# Learning for Fast Video Object Segmentation*, sections 3.2 to 4.1, table 1; later *Learning Fast and Robust Target
# Models for Video Object Segmentation*, CVPR 2020. Channel attention: C. Yu and others, *Learning a Discriminative
# Feature Network for Semantic Segmentation*, CVPR 2018. ATOM: M. Danelljan and others, CVPR 2019. Toys: Fluent Emoji,
# Microsoft, MIT licence.</small>

# %% tags=["hold"]
import time


def milliseconds(do, repeat=3):
    """The shortest of a few runs."""
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        do()
        times.append(1000 * (time.perf_counter() - began))
    return min(times)


by_kind = next(row for row in load_results("target")["rows"] if row["tracker"] == "frtm" and row["difficulty"] == "all")
D = hook.targets()[0]
label = opening["D and R"][0][1][None, None]
add_ms, update_ms = milliseconds(lambda: D.add(hook.look(1)[1], label)), milliseconds(D.update)
J_opening = {name: np.nanmean(J_of(hook.clip, found)) for name, found in opening.items()}
J_by_way = {name: np.nanmean(J) for name, J in J_drift.items()}
answered = [p[1][p[1] > 0.5] for p in drifting["own masks"]]
sure = np.array([len(p) > 0 and p.mean().item() >= 0.9 for p in answered])  # the test of the study
twins_tried = [by_updates[name] for name, row in tried.items() if row["difficulty"] == "twins"]
R_real, D_real, U_real = (
    table_1[step, "real video"] for step in ("D alone to D and R", "base net to D alone", "updated")
)
U_twins, U_look = table_1["updated", "toys, twins"], table_1["updated", "real look-alikes"]
D_look = table_1["base net to D alone", "real look-alikes"]


def stray(found):
    """The share of all pixels marked in the first clip that lie off the object."""
    pairs = [(p.argmax(0).cpu().numpy() == 1, m) for p, m in zip(found, hook.clip.masks[1:], strict=True)]
    marked = [(mask.sum(), (mask & (m != 1)).sum()) for mask, m in pairs if m is not None]
    return np.divide(*np.sum(marked, 0)[::-1])


numbers(
    stray_R=stray(opening["D and R"]),
    stray_updated=stray(opening["updated"]),
    J_coarse=J_opening["D alone"],
    J_refined=J_opening["D and R"],
    J_updated=J_opening["updated"],
    board_real=rows["frtm"]["real video"]["J"],
    board_twins=rows["frtm"]["toys, twins"]["J"],
    board_D_real=rows["target model"]["real video"]["J"],
    board_D_twins=rows["target model"]["toys, twins"]["J"],
    board_matching_real=rows["matching"]["real video"]["J"],
    board_matching_twins=rows["matching"]["toys, twins"]["J"],
    J_perfect_read=believed["perfect"][0],
    marked_on=marked_on,
    marked_off=marked_off,
    J_deaf_deep=J_deaf["at stride 8"],
    J_deaf_fine=J_deaf["at strides 4 and 2"],
    J_late_coarse=metrics.jaccard(truth, read),
    J_late_refined=metrics.jaccard(truth, drawn),
    R_numbers=sum(p.numel() for p in net.refiner.parameters()),
    asked_clips=len(asked),
    own_read=believed["D's own"][0],
    own_R=believed["D's own"][1],
    perfect_read=believed["perfect"][0],
    perfect_R=believed["perfect"][1],
    control_R=believed.get(CONTROL, believed["perfect"])[1],
    hole_read=believed["a hole"][0],
    hole_R=believed["a hole"][1],
    shift_read=believed["two cells to the right"][0],
    shift_R=believed["two cells to the right"][1],
    square_share=believed["a square of ground"][2],
    stranger_read=believed.get("a stranger", believed["perfect"])[0],
    stranger_R=believed.get("a stranger", believed["perfect"])[1],
    update_ms=update_ms,
    dearer=(D.memory.filled * add_ms + update_ms) / update_ms,
    left_ours=share_of(20, tracker.settings.rate),
    left_fast=share_of(20, 0.2),
    study_clips=len(tried),
    own_gain=own,
    own_low=ways["own masks"]["low"],
    own_high=ways["own masks"]["high"],
    own_won=ways["own masks"]["won"],
    own_twins=np.mean(twins_tried),
    own_twins_clips=len(twins_tried),
    told_gain=told,
    least_gain=ways["frame 0 keeps a quarter"]["gain"],
    rate_gain=ways["rate 0.05"]["gain"],
    rare_gain=ways["every 8th frame"]["gain"],
    rare_low=ways["every 8th frame"]["low"],
    rare_high=ways["every 8th frame"]["high"],
    sure_gain=ways["sure masks alone"]["gain"],
    told_low=ways["the truth"]["low"],
    told_high=ways["the truth"]["high"],
    rate=tracker.settings.rate,
    drift_still=J_by_way["no update"],
    drift_own=J_by_way["own masks"],
    drift_told=J_by_way["the truth"],
    sure_answers=sure.sum(),
    all_answers=len(sure),
    worst_sure=np.nanmin(np.where(sure, J_drift["own masks"], 1.0)),
    worse_weight=gammas[truths < np.median(truths)].sum() / gammas.sum(),
    out_none=taken_out["nothing"],
    out_worst=taken_out["the worst labelled third"],
    out_best=taken_out["the best labelled third"],
    weight_worst=weight_of["the worst labelled third"],
    weight_best=weight_of["the best labelled third"],
    J_first_alone=J_alone,
    J_first_both=J_both,
    both_frames=few,
    R_real=R_real["gain"],
    R_real_low=R_real["low"],
    R_real_high=R_real["high"],
    R_twins=table_1["D alone to D and R", "toys, twins"]["gain"],
    R_creatures=table_1["D alone to D and R", "creatures"]["gain"],
    R_paper=STEPS["D alone to D and R"],
    D_real=D_real["gain"],
    D_easy=table_1["base net to D alone", "toys, easy"]["gain"],
    D_creatures=table_1["base net to D alone", "creatures"]["gain"],
    D_real_low=D_real["low"],
    D_real_high=D_real["high"],
    D_look=D_look["gain"],
    D_look_low=D_look["low"],
    D_look_high=D_look["high"],
    U_creatures=table_1["updated", "creatures"]["gain"],
    U_look=U_look["gain"],
    U_look_low=U_look["low"],
    U_look_high=U_look["high"],
    D_paper=STEPS["base net to D alone"],
    U_real=U_real["gain"],
    U_real_low=U_real["low"],
    U_real_high=U_real["high"],
    U_easy=table_1["updated", "toys, easy"]["gain"],
    U_twins=U_twins["gain"],
    U_twins_low=U_twins["low"],
    U_twins_high=U_twins["high"],
    U_paper=STEPS["updated"],
    J_seen=by_kind["J_seen"],
    J_unseen=by_kind["J_unseen"],
)
usual = (DATASET, SPLIT, BUDGET) == ("toys", "test-large", 1.0) and MAX_CLIPS >= 4  # what the prose is about
lives_by_hand = [share_of(n, tracker.settings.rate) for n in range(41)]
hold("the exercise is the package's memory", np.allclose(lives_by_hand, life(tracker.settings.rate, 0.0)))
if usual:
    live = {(clips[-1].name, name): J for name, J in J_by_way.items()}
    live[clips[0].name, "no update"], live[clips[0].name, "own masks"] = J_opening["D and R"], J_opening["updated"]
    for (name, way), J in live.items():
        hold(f"study and this run agree on {name}, {way}", abs(J - tried[name][way]), high=0.02)
    hold("updates clear patches away", stray(opening["updated"]) < stray(opening["D and R"]))
    hold("who is sure gains no more", abs(ways["sure masks alone"]["gain"] - own), high=0.01)
    hold("R mends D's masks in the first clip", J_opening["D and R"] > J_opening["D alone"])
    hold("updates help in the first clip", by_updates[clips[0].name], low=0.005)
    hold("they do worse in the last one than on average", by_updates[clips[-1].name] < own)
    hold("the scores mark the object", marked_on > 1.5 * marked_off)
    hold("our levels are the network's", (logits - net(maps, s, size)).abs().max(), high=1e-3)
    hold("without scores the deepest level does not know the object", J_deaf["at stride 8"], high=0.3)
    hold("the others do without", J_deaf["at strides 4 and 2"], low=metrics.jaccard(truth, drawn) - 0.03)
    hold("R takes something from the frame", believed["perfect"][1] > believed[CONTROL][1] + 0.02)
    hold("R mends D's own scores", believed["D's own"][1] > believed["D's own"][0])
    hold("R does little for perfect scores", abs(believed["perfect"][1] - believed["perfect"][0]), high=0.08)
    hold("R draws a stranger", believed["a stranger"][1], low=0.6)
    hold("our rate is the paper's", tracker.settings.rate, low=0.1, high=0.1)
    hold("true masks teach better than own ones", told > own)
