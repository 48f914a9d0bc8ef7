# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Start here: one object, one video, two numbers
#
# *What you will be able to do:* look at a video, say which object is meant, follow it with two small trackers of your
# own making, and put two honest numbers on how well they do.
#
# **Paper:** S0, *Context Adaptation for Video Object Segmentation* (Dubuisson, Muselet, Ducottet, Lang): its
# introduction and its figure 1; no equation yet. The scores are those of DAVIS (Perazzi et al. 2016, Pont-Tuset et
# al. 2017).
# **To read and solve:** {{read}}. **To run:** {{run}}. **Before:** NumPy arrays, and what a probability is.

# %% tags=["parameters"]
DATASET = "embedded"
SPLIT = "test"
MAX_CLIPS = 8
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %%
import math

import numpy as np
import torch

from vosnb import benchmark, clips, creatures, metrics, show
from vosnb.exercises import lesson_00 as exercises
from vosnb.lesson import card, check, claim, hint, predict, progress, table
from vosnb.masks import palette
from vosnb.methods.matching import soft_aggregate
from vosnb.metrics import same_shape  # makes sure that masks are boolean and of one shape
from vosnb.trackers import Tracker, make_tracker, segment
from vosnb.widgets import MaskPlayer

# %% [markdown]
# We load the clips of the data set and take one of each difficulty. (With `SEED = 1` you meet the next ones.)

# %%
test = clips.load(DATASET, SPLIT)
groups = {}
for clip in test:
    groups.setdefault(clip.info.get("difficulty", clip.name), []).append(clip)
kinds = {kind: group[SEED % len(group)] for kind, group in groups.items()}

# %% [markdown]
# This is where the lesson goes. Above, an object that somebody pointed at in frame 0, as it really is later on.
# Below, what a tracker believes that knows nothing but colour, and a number that says how good that is.

# %%
shown = kinds.get("lookalike", test[0]).only(1)
believed = [mask for _, mask, _ in segment(make_tracker("histogram"), shown)]
times = np.linspace(0, len(shown) - 1, 5).astype(int).tolist()
numbers = [metrics.jaccard(shown.masks[t] == 1, believed[t] == 1) for t in times]
show.filmstrip(
    shown.frames,
    {"truth": shown.masks, "colour alone": believed},
    times,
    titles=[f"truth, frame {t}" for t in times] + [f"colour alone, J {j:.2f}" for j in numbers],
    alt="Five frames of a clip with look-alike creatures, twice. Above, the true mask stays "
    "on one creature. Below, the mask of the colour tracker spreads in specks over the "
    "others and the background, and its J falls from 1.",
)

# %% [markdown]
# ## How this course works
# - **Run a cell** with Shift+Enter, from top to bottom. Change things on the way: nothing here can break.
# - **Guess first.** Before a result that surprises, `predict` asks for your guess. Nobody sees it but you, and a
#   wrong guess teaches more than a right one. If you skip it, a default is taken, so that *Run All* never waits.
# - **Exercises** begin with a `card`: how hard, how important, how many minutes. `check` tells you not only *that* an
#   answer is wrong, but which idea behind it is. `hint(exercises.NAME, 1)` nudges, the last hint nearly gives it
#   away, `solution(exercises.NAME)` shows the code. Later cells use the course's own answer, so an unsolved exercise
#   stops nothing.
# - **Live or still.** In JupyterLab a widget moves. On a web page, or where no kernel runs, a picture stands in for
#   it, and every picture has a text for those who do not see it.
# - **Your own copy.** `vosnb start my-course` puts a student edition of every lesson into a folder. `vosnb reset 00`
#   gives you a fresh copy of this one and keeps the old one beside it.
# - **Other clips.** Every lesson begins with the same six parameters. `vosnb data davis2017` downloads DAVIS; then
#   `DATASET = "davis2017"` runs the lesson on real video. `MAX_CLIPS` and `BUDGET` make it shorter or longer.
# - **Your own video.** `vosnb run holiday.mp4 --mask first.png --tracker matching --out result` follows what you
#   painted into `first.png`: one mask for the first frame, of the frame's size, black where there is no object.

# %% [markdown]
# ## A question that hurts
# Meet the *twins*: creatures of one species that are nearly the same. On the left you see frame 0, on the right a
# later one. In a moment somebody points at one creature on the left. Which is it on the right?

# %%
twins = kinds.get("twins", test[-1])
later = len(twins) * 2 // 3
show.filmstrip(
    twins.frames,
    times=[0, later],
    alt=f"Frame 0 and frame {later} of the clip with twins, without any mask: several creatures that look alike.",
    width=640,
)

# %% [markdown]
# No network that has learnt what *a creature* looks like can answer this. They are all creatures. The answer is not
# in the category; it is in this clip, in one mask, drawn by one person, on one frame. S0 opens with just such a
# picture: a litter of dark puppies, one of them selected, and a good network that paints all of them.

# %%
one = twins.only(1)
show.filmstrip(
    one,
    times=[0, later],
    alt=f"The same two frames with the target outlined as 1: as given in frame 0, as it really is in frame {later}.",
    width=640,
)

# %% [markdown]
# ## The task
# *Semi-automatic video object segmentation.* Given are the frames $I_0, I_1, \dots, I_{T-1}$ and, for frame 0 alone,
# a mask $M_0$ that says which pixels belong to the object. Wanted are the masks $M_1, \dots, M_{T-1}$. Nobody says
# what the object is. It may be a puppy, one of nine puppies, or half of a puppy. And no later frame may be looked at
# ahead of its turn.
#
# ## A clip
# A `Clip` holds frames, masks and a name. Frames are read when you ask for one, not before; a long video costs no
# memory until you look at it.

# %%
frame = twins.frames[0]
print(f"{len(test)} clips in the split {SPLIT!r}; the one above has {len(twins)} frames")
print(f"a frame: {frame.shape} {frame.dtype}; its first pixel, as red, green, blue: {frame[0, 0]}")

# %% [markdown]
# A mask is an *index mask*: a picture of small whole numbers. 0 is background, 1 is the first object, 2 the second,
# and so on. 255 is *void*: pixels on which nobody wants to be judged, such as a blurred rim.

# %%
mask = twins.masks[0]
ids = np.unique(mask)
table([{"number in the mask": int(k), "share of the pixels": np.mean(mask == k)} for k in ids])

# %% [markdown]
# On disk an index mask is a PNG with a *palette*. The file holds the numbers; beside them stands a list that says in
# which colour to paint number 1, number 2 and so on. The colours are there for your eyes only. Whoever opens such a
# file "as RGB" gets the paint and loses the numbers:

# %%
painted = palette()[mask]
print("numbers in the mask:           ", ids.tolist())
print("values in its painted picture: ", np.unique(painted).tolist())

# %% [markdown]
# 128 is not an object. This mistake is so common that our reader refuses colour pictures as masks, and says how to
# mend them. It also refuses masks with smoothed edges, whose fifty greys would become fifty objects.
#
# Most of this course follows *one* object. `clip.only(1)` keeps object 1 and makes all others background, as S0 does
# in its section 4.2. So a twin is background like the grass, and a tracker that paints it is simply wrong.

# %% tags=["nbval-check-output"]
claim("only(1) leaves one object", one.objects == [1])
claim("its pixels are those of object 1 before", np.array_equal(one.masks[0] == 1, mask == 1))

# %% [markdown]
# ## The player
# Look at the clip before you compute anything. Click the picture, then use the keyboard: **← →** one frame, **Home
# End** first and last, **space** plays, **f** fills the masks or leaves only their contours, **+ −** changes how
# strong they are. The slider and the buttons do the same for the mouse.

# %%
MaskPlayer(
    twins.frames,
    {"every creature": twins.masks, "the target alone": one.masks},
    alt="Mask player at frame 0: on the left every creature is outlined and numbered, on the right the target alone.",
)

# %% [markdown]
# Every creature has its number, its colour *and* its dashes, so that nothing hangs on colour alone.

# %% [markdown]
# ## J, the first number: how much of it overlaps
# Let us be as small as can be. The true object is a square of 3 x 3 pixels. The prediction is the same square, one
# pixel too far to the right.

# %%
truth = np.zeros((5, 5), bool)
truth[1:4, 1:4] = True
shifted = np.roll(truth, 1, axis=1)
regions = np.where(truth & shifted, 2, np.where(truth, 1, 3 * shifted))


def large(small, pixels):
    """Every pixel of a small mask as a square of pixels x pixels."""
    return np.kron(small, np.ones((pixels, pixels), np.uint8)).astype(np.uint8)


paper = np.full((5 * 50, 5 * 50, 3), 255, np.uint8)
paper[::50], paper[:, ::50] = 190, 190
show.picture(
    paper,
    large(regions, 50),
    alt="A grid of 5 x 5 pixels. Region 1, one column wide: truth only. Region 2, two columns"
    " wide: both. Region 3, one column: prediction only. Each is three pixels high.",
    title="1 truth only, 2 both, 3 prediction only",
    width=300,
)

# %%
guess = predict(
    "One pixel too far to the right: how much of the best score, 1, is left?",
    ["0.84: 21 of the 25 pixels are right", "0.67: two thirds of the square are found", "0.50"],
    default="b",
)

# %% [markdown]
# The *region similarity* $\mathcal{J}$, also called Jaccard index or intersection over union, compares two sets of
# pixels, the truth $G$ and the prediction $P$:
#
# $$\mathcal{J} = \frac{|G \cap P|}{|G \cup P|}$$
#
# where $|\cdot|$ counts pixels. We write it as it stands, with Python's own sets of positions.

# %%
G = set(zip(*np.nonzero(truth), strict=True))
P = set(zip(*np.nonzero(shifted), strict=True))
print(f"|G ∩ P| = {len(G & P)}, |G ∪ P| = {len(G | P)}, J = {len(G & P) / len(G | P):.2f}")

# %% tags=["nbval-check-output"]
guess.reveal("c", "Three pixels are lost and three are too many: both make the fraction smaller.")

# %% [markdown]
# Six pixels are in both, twelve in one or the other. A shift by a third of the object costs half of the score. J is
# strict with small objects, where a third is a matter of one pixel.
#
# The function that the whole course uses does the same with arrays. It stands here in full. It takes one pair of
# masks or a stack of them, and it knows two special cases: void pixels leave both masks, and two empty masks are a
# perfect match.


# %% tags=["in-package"]
def jaccard(gt, pred, void=None):
    gt, pred, void = same_shape(gt, pred, void)
    if void is not None:
        gt, pred = gt & ~void, pred & ~void
    intersection = np.count_nonzero(gt & pred, axis=(-2, -1))
    union = np.count_nonzero(gt | pred, axis=(-2, -1))
    score = np.where(union == 0, 1.0, intersection / np.maximum(union, 1))
    return float(score) if score.ndim == 0 else score


# %% tags=["nbval-check-output"]
claim("J of the shifted square", jaccard(truth, shifted), 0.499, 0.501)

# %% [markdown]
# Why not simply count the pixels that are right? Because background is cheap. A tracker that never finds anything
# gets almost every pixel of a video right:

# %%
nothing = np.zeros_like(one.masks[0], bool)
is_target = one.masks[0] == 1
table(
    [
        {"prediction": name, "pixels right": np.mean(pred == is_target), "J": jaccard(is_target, pred)}
        for name, pred in {"nothing": nothing, "everything": ~nothing, "the truth": is_target}.items()
    ]
)

# %% tags=["nbval-check-output"]
claim("J of 'nothing' lies below its share of right pixels by 0.1", np.mean(is_target == nothing) > 0.1)
claim("J of 'nothing'", jaccard(is_target, nothing), high=0.0)

# %% [markdown]
# ## Exercise 1: J of one object, with void
# Clips have several objects, and some pixels do not count. Write J for object `k`, given two index masks. Where the
# truth is 255 nobody is judged. Two empty masks score 1.

# %%
card(exercises.object_jaccard)


# %% tags=["exercise"]
def object_jaccard(truth, prediction, k):
    """J of object k.

    truth: (H, W) index mask, 0 background, 1.. objects, 255 void; prediction: the same without void.
    Returns a number from 0 to 1.
    """
    # solution begin
    gt = truth == k
    pred = (prediction == k) & (truth != 255)
    union = np.count_nonzero(gt | pred)
    return np.count_nonzero(gt & pred) / union if union else 1.0
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.object_jaccard, object_jaccard)

# %% [markdown]
# Stuck? This is the first hint. For the next one open a cell of your own (press **Esc**, then **b**) and ask for it.

# %%
hint(exercises.object_jaccard, 1)

# %% [markdown] tags=["solution"]
# *The solution in words.* Void pixels are neither in $G$ (there the truth is 255, not $k$) nor may they stay in $P$.
# So it is enough to clean the prediction. Counting them as background would punish a prediction that goes over a
# blurred rim; counting them as found would reward it.

# %% [markdown]
# ## What J does not see
# Here is an animal: a body and one thin leg. Beside it are three predictions, each wrong in its own way: without the
# leg, one pixel too wide all around, and two pixels too wide. What is missing is marked 3, what is too much is marked
# 2.

# %%
y, x = np.mgrid[:64, :64]
body = ((y - 24) / 14) ** 2 + ((x - 32) / 22) ** 2 <= 1
animal = body | ((x >= 31) & (x <= 32) & (y >= 24) & (y < 60))


def wider(mask):
    """The mask (H, W) with one more pixel all around."""
    grown = mask.copy()
    for dy, dx in [(0, 1), (0, -1), (1, 0), (-1, 0)]:
        grown |= np.roll(mask, (dy, dx), axis=(0, 1))
    return grown


wrong = {"no leg": body, "1 pixel too wide": wider(animal), "2 pixels too wide": wider(wider(animal))}
regions = [np.where(animal & m, 1, np.where(m, 2, 3 * animal)) for m in [animal, *wrong.values()]]
show.filmstrip(
    np.full((4, 256, 256, 3), 255, np.uint8),
    [large(region, 4) for region in regions],
    times=range(4),
    titles=["the truth", *wrong],
    alt="Four drawings of an oval body with one thin leg. The truth; the prediction without "
    "the leg, which is marked 3 as missing; and two predictions with a rim around the "
    "animal, marked 2 as too much, one and two pixels wide.",
)

# %%
guess = predict(
    "F will judge the contour instead of the area. Do J and F agree on which of the three is best?",
    ["yes: the one without the leg", "yes: the one that is 1 pixel too wide", "no, they choose different ones"],
    default="a",
)

# %% [markdown]
# ## F, the second number: how much of the contour is right
# First we need the contour as a set of pixels. DAVIS takes every pixel that differs from its right, its lower, or its
# lower right neighbour. So the map sits half a pixel up and left of the true edge, in both masks alike.


# %% tags=["in-package"]
def boundary_map(mask):
    return _differs(np.pad(np.asarray(mask, bool), ((0, 1), (0, 1)), "edge"))


def _differs(image):
    here = image[:-1, :-1]
    return (here ^ image[:-1, 1:]) | (here ^ image[1:, :-1]) | (here ^ image[1:, 1:])


# %%
for name, mask in {"truth": truth, "shifted": shifted}.items():
    print(name)
    print("\n".join(" ".join(".#"[b] for b in row) for row in boundary_map(mask).astype(int)))

# %% [markdown]
# Each dot is a pixel, each # a boundary pixel. Look at the right end of the shifted square: it touches the border of
# the image, and there it has no boundary. Nothing is beyond the image, so nothing can differ. We will come back to
# that.
#
# Now compare two contours. A pixel of one counts as found if a pixel of the other is *near*. How near is a matter of
# the image's size: 0.008 of the diagonal, rounded up.


# %% tags=["in-package"]
def boundary_radius(shape, bound_th=0.008) -> int:
    if not bound_th > 0:
        raise ValueError(f"bound_th must be positive, got {bound_th}")
    return int(bound_th) if bound_th >= 1 else math.ceil(bound_th * math.hypot(*shape))


# %%
table(
    [
        {"image": f"{size[0]} x {size[1]}", "radius in pixels": boundary_radius(size)}
        for size in [(64, 64), one.size, (480, 854)]
    ]
)

# %% [markdown]
# With the boundary $\partial G$ of the truth, the boundary $\partial P$ of the prediction, the Euclidean distance
# $d(p, \partial G)$ from a pixel $p$ to the nearest pixel of $\partial G$, and the radius $r$:
#
# $$\text{precision} = \frac{|\{p \in \partial P : d(p, \partial G) \le r\}|}{|\partial P|}, \qquad
# \text{recall} = \frac{|\{g \in \partial G : d(g, \partial P) \le r\}|}{|\partial G|}, \qquad
# \mathcal{F} = \frac{2 \cdot \text{precision} \cdot \text{recall}}{\text{precision} + \text{recall}}$$
#
# Precision asks the prediction: *how much of your contour is real?* Recall asks the truth: *how much of you was
# found?* One is the other with the masks exchanged. $\mathcal{F}$, their harmonic mean, is high only if both are.
#
# ## Exercise 2: boundary precision
# Write precision for two boundary maps. Both have at least one pixel.

# %%
card(exercises.boundary_precision)


# %% tags=["exercise"]
def boundary_precision(gt, pred, radius):
    """The share of the predicted boundary that lies within `radius` of the true one.

    gt, pred: (H, W) boolean boundary maps, neither empty; radius: pixels; a distance equal to it is within.
    Returns a number from 0 to 1.
    """
    # solution begin
    true, found = np.argwhere(gt), np.argwhere(pred)
    gaps = np.linalg.norm(found[:, None] - true[None], axis=-1)
    return np.mean(gaps.min(axis=1) <= radius)
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.boundary_precision, boundary_precision)

# %% [markdown] tags=["solution"]
# *The solution in words.* All pairs of pixels at once: `found[:, None] - true[None]` has shape (found, true, 2). Its
# norm along the last axis is a table of distances; the smallest of each row is the way to the nearest true pixel.
# That is fine for hundreds of pixels. For 480 x 854 frames `vosnb.metrics` goes another way, which is much faster.

# %% [markdown]
# With precision in hand, F takes four lines:


# %%
def f_by_hand(gt, pred, radius):
    gt, pred = boundary_map(gt), boundary_map(pred)
    precision = exercises.boundary_precision.reference(gt, pred, radius)
    recall = exercises.boundary_precision.reference(pred, gt, radius)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


rows = []
for name, mask in wrong.items():
    boundary = f_by_hand(animal, mask, boundary_radius(animal.shape))
    rows.append({"prediction": name, "J": jaccard(animal, mask)})
    rows[-1] |= dict(zip(["precision", "recall", "F"], boundary, strict=True))
table(rows)

# %% tags=["nbval-check-output"]
best = {score: max(rows, key=lambda row: row[score])["prediction"] for score in "JF"}
guess.reveal(
    "c" if best["J"] != best["F"] else "ab"["1" in best["J"]],
    f"J prefers the animal with '{best['J']}', F the one that is '{best['F']}'.",
)
no_leg, rim_1, rim_2 = rows
claim("no leg: J barely moves", no_leg["J"], low=0.94)
claim("no leg: recall, a fifth of the contour is gone", no_leg["recall"], high=0.82)
claim("1 pixel too wide: F does not mind", rim_1["F"], low=0.98)
claim("2 pixels too wide: F collapses", rim_2["F"], high=0.3)
claim("2 pixels too wide: J does not", rim_2["J"], low=0.7)

# %% [markdown]
# Read the table line by line. A lost leg is few pixels, so J hardly notices; but it is a long piece of contour, and
# recall falls. A rim of one pixel all around costs J a tenth and more; F, with a radius of one pixel, lets it
# pass. With the second pixel F falls off a cliff while J walks down a step. Neither is the better score. They fail
# in different places, and that is why DAVIS reports both, and their mean $\mathcal{J}\&\mathcal{F}$.
#
# How sharp the cliff is depends on the radius:

# %%
radii = [1, 2, 3, 4]
show.curves(
    {name: [f_by_hand(animal, mask, r)[2] for r in radii] for name, mask in wrong.items()},
    x=radii,
    xlabel="radius in pixels",
    ylabel="F",
    ylim=(0, 1.05),
    alt="F over the radius 1 to 4 for the three predictions. The one that is two pixels too "
    "wide jumps from a quarter to nearly 1 at radius 2; the one without the leg rises "
    "slowly and stays lower.",
)

# %% [markdown]
# Does our F agree with the one of the package, on real masks? We compare the target of each clip with the same target
# a few frames later.

# %% tags=["nbval-check-output"]
gaps = []
for clip in progress(list(kinds.values())[:MAX_CLIPS], "comparing two ways to F"):
    a, b = (clip.masks[t] for t in (0, min(4, len(clip) - 1)))
    if a is not None and b is not None and (a == 1).any() and (b == 1).any():
        ours = f_by_hand(a == 1, b == 1, boundary_radius(clip.size))[2]
        gaps.append(abs(ours - metrics.boundary_f(a == 1, b == 1)))
claim("our F and the package's differ by", max(gaps, default=0), high=1e-9)

# %% [markdown]
# ## A whole clip: the mask that never moves
# A score for one frame is not yet a score for a clip. Let us take the laziest tracker there is, the first mask, never
# moved, and score it frame by frame.


# %%
def still_tracker(clip):
    return [clip.first_mask for _ in clip.frames]


def j_per_frame(clip, masks):
    """J of object 1 in every frame; NaN where the clip has no annotation."""
    return [
        math.nan if truth is None else jaccard(truth == 1, mask == 1, truth == 255)
        for truth, mask in zip(clip.masks, masks, strict=True)
    ]


easy = kinds.get("easy", test[0]).only(1)
still_J = {name: j_per_frame(c, still_tracker(c)) for name, c in {"easy": easy, "twins": one}.items()}
length = max(map(len, still_J.values()))
show.curves(
    {f"still, {name} clip": np.append(j, [math.nan] * (length - len(j))) for name, j in still_J.items()},
    alt="J of the unmoved first mask over the frames. Both curves start at 1 and fall as the creature walks away.",
    ylim=(0, 1.05),
)

# %% [markdown]
# The curve begins at 1, since frame 0 was given, and falls as the creature walks out of its mask. DAVIS boils such a
# curve down to three numbers. With the scores $s_1, \dots, s_N$ of the judged frames,
#
# - **mean** is their average,
# - **recall** is the share of frames with $s_t > 0.5$: how often was the tracker more right than wrong?
# - **decay** is the mean over the first quarter of the frames minus the mean over the last: how much did it lose on
#   the way? A decay of 0 is best; a negative one means that it found its object again.
#
# `metrics.score_clip` computes J and F for every judged frame, and from them these statistics.


# %%
def mean_j(clip, masks):
    """Mean J of object 1 over the judged frames."""
    return np.nanmean(j_per_frame(clip, masks)[1:-1])


def summary(clip, masks):
    scores = metrics.score_clip(clip.masks, masks)
    j = scores.stats_J[0]
    found = {"J mean": j.mean, "J recall": j.recall, "J decay": j.decay}
    return found | {"F mean": scores.F_mean, "J&F": scores.JF}


table(
    [
        {"still mask on": name} | summary(clip, still_tracker(clip))
        for name, clip in {"easy": easy, "twins": one}.items()
    ]
)

# %% [markdown]
# > ### Paper and code: the small print of DAVIS
# > Four rules stand in the evaluation code of DAVIS rather than in its papers. We follow all that concern the score,
# > and mend the one that is a bug.
# >
# > 1. **The first and the last frame are not judged.** The first was given. That the last is dropped too has grown
# >    historically.
# > 2. **Two empty masks score 1**, in J and in F. It is right to say nothing where nothing is.
# > 3. **The quarters of decay share their end frames**, since the code slices from one bound to the next, both
# >    included.
# > 4. **The bounds of the quarters are stored in eight bits.** They cannot count beyond 255, so for a clip of more
# >    frames the "last quarter" lies somewhere else, or nowhere. DAVIS clips are short, and nobody noticed.
# >
# > And the image border, as you saw, has no boundary. How much does all that matter? The next cells measure it.

# %%
every_frame = np.array(still_J["easy"])
judged = every_frame[1:-1]
reappear = kinds.get("reappear", twins).only(1)
present = np.array([np.any(m == 1) for m in reappear.masks if m is not None])
quarters = [part.mean() for part in np.array_split(judged, 4)]
names = ["rule", "measured on", "with it", "without it"]
rows = [
    ("ends of the clip dropped", "still mask, easy: mean J", np.nanmean(judged), np.nanmean(every_frame)),
    ("two empty masks score 1", "the truth itself, reappear: mean J", 1.0, present.mean()),
    (
        "quarters share end frames",
        "still mask, easy: decay",
        metrics.statistics(judged).decay,
        quarters[0] - quarters[3],
    ),
]
table([dict(zip(names, row, strict=True)) for row in rows])

# %% [markdown]
# With the first rule the score is lower: the given frame 0 would have been a present. The second decides what a clip
# is worth whose object is away for a while. The third is a matter of taste.
#
# The fourth is not. We write decay as DAVIS does, with a choice of the type that holds the bounds, and feed it a
# tracker that loses its object evenly, from 1 down to 0.


# %% tags=["nbval-check-output"]
def decay(values, bound_type):
    bounds = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(int).astype(bound_type)
    quarters = [values[int(a) : int(b) + 1] for a, b in zip(bounds, bounds[1:], strict=False)]
    return quarters[0].mean() - quarters[3].mean()


short, long = np.linspace(1, 0, 100), np.linspace(1, 0, 400)
claim("100 frames, eight bits", decay(short, np.uint8), 0.74, 0.76)
claim("100 frames, as many bits as needed", decay(short, int), 0.74, 0.76)
claim("400 frames, as many bits as needed", decay(long, int), 0.74, 0.76)
claim("400 frames, eight bits", decay(long, np.uint8), 0.0, 0.2)
claim("vosnb.metrics, 400 frames", metrics.statistics(long).decay, 0.74, 0.76)

# %% [markdown]
# The same loss, and with four hundred frames the old code calls it harmless. The clips of OVIS, on which S0 is
# measured, can be that long. So we count with whole numbers, and agree with DAVIS wherever DAVIS is right.

# %% [markdown]
# ## A tracker that looks: colour and Bayes' rule
# The still mask has not looked at a single frame after the first. The simplest thing to look at is colour. Frame 0
# tells us which colours the object has and which the background has; from then on every pixel can be asked for
# itself.
#
# 256 x 256 x 256 colours are too many to count. We put them into bins: each of red, green and blue is cut into 16
# steps, and each pixel gets the number of its bin.


# %%
def colour_bins(frame, bins=16):
    """(H, W, 3) uint8 -> (H, W) bin numbers, 0 to bins^3 - 1."""
    r, g, b = np.moveaxis(frame.astype(int) * bins // 256, -1, 0)
    return (r * bins + g) * bins + b


def count_colours(frame, mask, bins=16):
    """How many pixels of each bin are inside the mask, and how many outside: two arrays (bins^3,)."""
    colours = colour_bins(frame, bins)
    return [np.bincount(colours[mask == k], minlength=bins**3) for k in (1, 0)]


inside, outside = count_colours(one.frames[0], one.first_mask)
shared = (inside > 0) & (outside > 0)
print(f"bins that occur in the object: {np.count_nonzero(inside)}")
print(f"bins that occur in the background: {np.count_nonzero(outside)}, in both: {shared.sum()}")

# %% [markdown]
# The bins that occur in both are the trouble. For them we need a probability. Let $c$ be the colour of a pixel,
# $n_\text{in}(c)$ and $n_\text{out}(c)$ the counts from frame 0, and $N_\text{in}$, $N_\text{out}$, $N$ their sums
# and the number of all pixels. Bayes' rule turns *how the object is coloured* into *whose colour this is*:
#
# $$P(\text{object} \mid c) = \frac{P(c \mid \text{object}) \, P(\text{object})}
# {P(c \mid \text{object}) \, P(\text{object}) + P(c \mid \text{background}) \, P(\text{background})}$$
#
# with the likelihoods $P(c \mid \text{object}) = n_\text{in}(c) / N_\text{in}$ and
# $P(c \mid \text{background}) = n_\text{out}(c) / N_\text{out}$, and the priors $P(\text{object}) = N_\text{in} / N$
# and $P(\text{background}) = N_\text{out} / N$.
#
# ## Exercise 3: from two histograms to a belief
# Write the posterior $P(\text{object} \mid c)$ for all bins at once. Put the counts into the formula first: most of
# it cancels. A colour that frame 0 does not show at all gets 0; what we have never seen we take for background.

# %%
card(exercises.posterior)


# %% tags=["exercise"]
def posterior(inside, outside):
    """P(object | colour) for each bin.

    inside, outside: (B,) counts of pixels of frame 0 in each bin, in the object and in the background.
    Returns (B,) numbers from 0 to 1; 0 where both counts are 0.
    """
    # solution begin
    total = inside + outside
    return np.where(total > 0, inside / np.maximum(total, 1), 0.0)
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.posterior, posterior)

# %% [markdown] tags=["solution"]
# *The solution in words.* $\frac{n_\text{in}}{N_\text{in}} \cdot \frac{N_\text{in}}{N} = \frac{n_\text{in}}{N}$, and
# the same for the background. $N$ cancels too, and what remains is child's play: of all pixels of this colour, the
# share that lies in the object. Bayes' rule did not make it complicated. It told us that the prior belongs in it.

# %% [markdown]
# Look at the belief before it becomes a mask, in frame 0, where it comes from, and in a later one.

# %%
belief = exercises.posterior.reference(inside, outside)
show.heatmap(
    [one.frames[0], one.frames[later]],
    {f"frame {t}": belief[colour_bins(one.frames[t])] for t in (0, later)},
    mask=[one.masks[0], one.masks[later]],
    top=1.0,
    label="belief",
    alt=f"The belief of the colour tracker over frame 0 and frame {later}, with the true "
    "outline of the target. It is uneven inside the outline, and specks of it lie on the "
    "twins.",
)

# %% [markdown]
# The outline is the truth. Belief is high where a colour is the target's own. Where a twin or the ground shares the
# colour, their pixels outnumber the target's, and belief sinks: already in frame 0, about which the tracker was told
# everything. Later, light and pose have changed, and the old colours turn up wherever they like. The tracker has no
# idea of *where*.
#
# A mask is where the belief is greater than one half:


# %%
def histogram_tracker(clip, bins=16):
    belief = exercises.posterior.reference(*count_colours(clip.frames[0], clip.first_mask, bins))
    return [(belief[colour_bins(frame, bins)] > 0.5).astype(np.uint8) for frame in clip.frames]


# %%
guess = predict(
    "On the clip with twins: who has the higher mean J?",
    ["the histogram, which looks at every frame", "the still mask, which looks at none", "equal within 0.02"],
    default="a",
)

# %%
masks = {"still": still_tracker(one), "histogram": histogram_tracker(one)}
scores = {name: j_per_frame(one, m) for name, m in masks.items()}
MaskPlayer(
    one.frames,
    {"truth": one.masks} | masks,
    scores=scores,
    frame=later,
    alt=f"Mask player at frame {later} with three panels: the truth, the still mask, which "
    "lies beside the creature by now, and the histogram's mask, which lies in specks on "
    "several creatures. Below, the two J curves.",
)

# %% tags=["nbval-check-output"]
gap = mean_j(one, masks["histogram"]) - mean_j(one, masks["still"])
guess.reveal(
    "c" if abs(gap) < 0.02 else "a" if gap > 0 else "b",
    "In the player: one does not move, the other does not know which creature it is on.",
)

# %% [markdown]
# Scrub through it. The two fail in opposite ways. The still mask knows *where* and not *what*; the histogram knows
# *what* and not *where*, and its *what* is poor. And here is the whole split in small, one clip of each difficulty:

# %%
rows = []
for name, clip in progress(list(kinds.items())[:MAX_CLIPS], "two trackers"):
    clip = clip.only(1)
    by_colour = histogram_tracker(clip)
    rows.append({"clip": name, "J still": mean_j(clip, still_tracker(clip))})
    rows[-1] |= {"J histogram": mean_j(clip, by_colour), "in frame 0": j_per_frame(clip, by_colour)[0]}
table(rows)

# %% [markdown]
# The last column is the histogram's J in frame 0 itself, the frame from which it was made. It is not 1. So part of
# the loss has nothing to do with time: colour alone cannot even tell apart what it was shown.

# %% [markdown]
# ## The same as a tracker of the course
# Everything that follows an object in this course has one interface: `start(frame, mask)`, then `step(frame)` for
# each frame, which returns a probability for background and for every object. `Tracker` looks after the input; a
# method fills in how to forget, how to take objects in, and how to make a step. Our two, in full, for any number of
# objects:


# %% tags=["in-package"]
class StillTracker(Tracker):
    """The first mask, never moved: what a method must beat to have seen anything."""

    def _reset(self) -> None:
        self.masks: list[torch.Tensor] = []

    def _add(self, frame, mask, ids):
        self.masks += [torch.from_numpy(mask == k).float() for k in ids]

    def _step(self, frame):
        return soft_aggregate(torch.stack(self.masks))


class HistogramTracker(Tracker):
    """Colour alone: P(object | colour) by Bayes' rule from RGB histograms of the first frame.

    bins: per channel. Colours that the first frame does not show are taken as background.
    """

    def __init__(self, bins: int = 16):
        super().__init__()
        if not 2 <= bins <= 256:
            raise ValueError(f"bins={bins}: take between 2 and 256 bins a channel.")
        self.bins = bins

    def _reset(self) -> None:
        self.counts: np.ndarray | None = None  # (1 + objects, bins^3)

    def _colours(self, frame: np.ndarray) -> np.ndarray:
        r, g, b = np.moveaxis(frame.astype(np.int64) * self.bins // 256, -1, 0)
        return (r * self.bins + g) * self.bins + b

    def _add(self, frame, mask, ids):
        colours, cells = self._colours(frame), self.bins**3
        count = [np.bincount(colours[mask == k], minlength=cells) for k in ids]
        if self.counts is None:
            count.insert(0, np.bincount(colours[mask == 0], minlength=cells) + 1e-3)
        self.counts = np.stack(count) if self.counts is None else np.concatenate([self.counts, count])

    def _step(self, frame):
        return torch.from_numpy((self.counts / self.counts.sum(0))[:, self._colours(frame)]).float()


# %% [markdown]
# `make_tracker` knows them by name, with settings, and `segment` runs any of them over any clip. Do they agree with
# what we wrote by hand?

# %% tags=["nbval-check-output"]
for name, by_hand in {"still": still_tracker, "histogram": histogram_tracker}.items():
    packaged = [mask for _, mask, _ in segment(make_tracker(name), one)]
    same = np.mean([np.mean(a == b) for a, b in zip(packaged[1:], by_hand(one)[1:], strict=True)])
    claim(f"{name}: share of pixels on which both agree", same, low=0.9999)

# %% [markdown]
# ## Break it
# The histogram has one knob: how many bins. Few bins lump colours together; many bins tell the finest shades apart.
# That is a choice, and choices are made on clips that are *not* the test. The split `val` is there for that.

# %%
guess = predict(
    "We cut each channel into 2, 4, 8, ... 64 steps. How does mean J go?",
    ["up and up: finer colours tell more", "up, then down again", "it hardly changes"],
    default="a",
)

# %%
choices = [2, 4, 8, 16, 32, 64]
val = clips.load("embedded", "val") if DATASET == "embedded" else test
val = [clip.only(1) for clip in val[:: 2 if BUDGET <= 1 else 1][: max(2, round(8 * BUDGET))]]
over_bins = [
    np.mean([mean_j(clip, histogram_tracker(clip, bins)) for clip in val]) for bins in progress(choices, "bins")
]

# %% tags=["nbval-check-output"]
top = int(np.argmax(over_bins))
spread = max(over_bins) - min(over_bins)
guess.reveal(
    "c" if spread < 0.05 else "b" if 0 < top < len(choices) - 1 else "a",
    "Finer bins tell more about frame 0, but frame 0 is not the video.",
)

# %% [markdown]
# Why down again? Ask the same masks a second question: how well does the histogram segment *frame 0 itself*, from
# which it was made? And how many pixels of the target have, later on, a colour that frame 0 never showed?


# %%
def first_and_never_seen(clip, bins):
    """J in frame 0, and the share of the target's later pixels whose bin is empty in frame 0."""
    in_frame_0 = jaccard(clip.first_mask == 1, histogram_tracker(clip.subclip(0, 1), bins)[0])
    never_seen = sum(count_colours(clip.frames[0], clip.first_mask, bins)) == 0
    pairs = [(clip.frames[t], clip.masks[t]) for t in range(4, len(clip), 4)]
    new = [never_seen[colour_bins(frame, bins)[mask == 1]] for frame, mask in pairs if mask is not None]
    return in_frame_0, np.concatenate(new).mean()


in_frame_0, unseen = np.array(
    [np.mean([first_and_never_seen(clip, bins) for clip in val], axis=0) for bins in progress(choices, "colours")]
).T
show.curves(
    {"J in frame 0": in_frame_0, "J in later frames": over_bins, "share of colours never seen": unseen},
    x=np.log2(choices),
    xlabel="log2 of the bins per channel: 1 is 2 bins, 6 is 64",
    ylabel="J, or share",
    ylim=(0, 1.05),
    alt="Over 2 to 64 bins per channel: J in frame 0 climbs and climbs. J in later frames "
    "climbs first and falls again. The share of colours never seen in frame 0 stays near "
    "0 at first and climbs steeply at the end.",
)

# %% tags=["nbval-check-output"]
claim("colours never seen: rarest with the coarsest bins", unseen[0] == min(unseen))
if DATASET == "embedded":
    claim("in frame 0 the finest bins beat the coarsest by 0.3", in_frame_0[-1] > in_frame_0[0] + 0.3)
    claim("with the finest bins, later frames are worse by 0.3", over_bins[-1] < in_frame_0[-1] - 0.3)

# %% [markdown]
# This is overfitting, in its smallest form. With very fine bins the histogram knows frame 0 by heart, noise included.
# Then the light drifts by two grey levels, and the colours are new. Keep this picture in mind: every method of this
# course learns something from frame 0, and each must find a way not to learn it by heart.
#
# The second knob belongs to the clips. Our creatures come from a generator, and `species_difference` says how much
# the individuals of one species differ: 0 makes clones, 2 makes strangers. Here is what
# one seed makes of it, with the knob in three positions.

# %%
differences = [0, 1, 2]
scenes = [creatures.generate(SEED + 3, "lookalike", "val", species_difference=d, times=[0]) for d in differences]
show.filmstrip(
    [scene.frames[0] for scene in scenes],
    [scene.masks[0] == 1 for scene in scenes],
    times=range(3),
    titles=[f"species_difference = {d}" for d in differences],
    alt="Three scenes of one seed, the target outlined. On the left the creatures are clones,"
    " in the middle they differ in shade and pattern, on the right they look like "
    "strangers.",
    width=640,
)

# %%
seeds = range(SEED, SEED + max(2, round(6 * BUDGET)))
over_difference = []
for d in progress(differences, "generating"):
    knobs = {"species_difference": d, "times": range(0, 15, 3)}
    made = [creatures.generate(s, "lookalike", "val", **knobs).only(1) for s in seeds]
    over_difference.append(np.mean([mean_j(clip, histogram_tracker(clip)) for clip in made]))
show.bars(
    {f"{d}": j for d, j in zip(differences, over_difference, strict=True)},
    ylabel="mean J of the histogram",
    title="how much individuals differ",
    ylim=(0, 1),
    alt="Three bars: mean J of the histogram is near zero for clones and much higher where individuals differ.",
)

# %% tags=["nbval-check-output"]
claim("strangers are easier than clones by at least 0.1 in J", over_difference[-1] > over_difference[0] + 0.1)

# %% [markdown]
# With clones, colour says nothing at all: each twin adds its pixels to the background's counts, and outvotes the
# target in every bin. (Why does J go to *nearly nothing*, rather than to the share of one creature among many? Look
# at the prior in Bayes' rule.) Turn the knobs yourself: write other numbers into the cells above, or use
# `creatures.generate(seed, "light", light_drift=1.5)`; `creatures.Knobs` lists all of them.

# %% [markdown]
# ## Measure
# A handful of clips is a story, not a measurement. The table below is from many more clips, run by `vosnb bench`,
# which alone writes such files. The interval is a 95 % bootstrap interval over clips. The third tracker, `matching`,
# is the neural network that the next lesson takes apart.

# %%
results = benchmark.load_results("baselines")
print(results["command"])
rows = {(row["tracker"], row["difficulty"]): row for row in results["rows"]}
difficulties = list(dict.fromkeys(row["difficulty"] for row in results["rows"]))


def with_interval(row):
    return f"{row['J']:.2f} [{row['J_low']:.2f}, {row['J_high']:.2f}]"


table(
    [
        {"difficulty": d, "clips": rows["still", d]["clips"]}
        | {t: with_interval(rows[t, d]) for t in results["trackers"]}
        for d in difficulties
    ]
)

# %%
show.bars(
    {d: {t: [rows[t, d][key] for key in ("J", "J_low", "J_high")] for t in results["trackers"]} for d in difficulties},
    ylabel="mean J",
    ylim=(0, 1),
    alt="Mean J with intervals of the trackers still, histogram and matching for all clips "
    "and for each difficulty. Matching stands far above the other two in every group, and"
    " lower on twins than on easy clips.",
)

# %% tags=["nbval-check-output"]
for name in ("lookalike", "twins"):
    claim(f"{name}: mean J of the still mask", rows["still", name]["J"], high=0.35)
    claim(f"{name}: mean J of the histogram", rows["histogram", name]["J"], high=0.45)
ahead = [rows["matching", d]["J"] - rows["histogram", d]["J"] for d in difficulties]
claim("matching is ahead of the histogram on every difficulty by", min(ahead), low=0.15)
lost = rows["matching", "easy"]["J"] - rows["matching", "twins"]["J"]
claim("what matching loses from easy clips to twins", lost, low=0.05)

# %% [markdown]
# S0 prints no such baselines. Its table 1 is about matching networks on OVIS, single objects: J 39.7 with a memory of
# the first frame, 40.81 with a growing memory, 43.85 and 44.62 when the network is adapted to the clip (in percent).
# Those are other clips and a larger network, so do not hold our numbers against them. What carries over is the
# question: a network that is far ahead of colour everywhere
# still falls where creatures look alike. That gap is what
# this course is about.
#
# ## What we now know
# - The task: one mask on frame 0, all later masks wanted. What the object *is* nobody says; the clip has to tell.
# - J counts area, F counts contour. J forgives a lost leg, F forgives a rim within its radius; so we report both.
# - The rules matter: which frames count, what two empty masks score, and that bounds of quarters need more than eight
#   bits.
# - A mask that never moves knows where but not what. A histogram knows what but not where, and clones blind it.
# - Whoever learns frame 0 by heart does badly on frame 1. Choose knobs on `val`, never on `test`.
#
# **Next:** lesson 01 compares not single colours but *features* of whole surroundings, with everything in a memory,
# and lets a softmax decide which memory to trust.
#
# **References.** Dubuisson, Muselet, Ducottet, Lang: *Context Adaptation for Video Object Segmentation*. Perazzi et
# al.: *A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation*, CVPR 2016. Pont-Tuset et al.:
# *The 2017 DAVIS Challenge on Video Object Segmentation*, 2017; its code, davis2017-evaluation, is what the box on
# small print is about. Qi et al.: *Occluded Video Instance Segmentation*, IJCV 2022 (OVIS).
