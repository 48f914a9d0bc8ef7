# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Side by side
#
# *What you will be able to do:* compare methods on the same clips, and say how sure you are; find out which of them is
# worth its time; take parts of several papers and put them together into a tracker that is new.
#
# | | |
# |---|---|
# | **Papers** | S0 to S4, on one benchmark |
# | **Equations** | none that is new; S1-E2 and S2-E3 meet |
# | **To read** | {{read}} |
# | **To run** | {{run}} |
# | **Before** | lesson 01, and those of lessons 03, 06, 08, 10 and 12 that you are curious about |

# %% tags=["parameters"]
DATASET = "embedded"
SPLIT = "test"
MAX_CLIPS = 3
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %%
import json
from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure

from vosnb import clips, metrics, show
from vosnb.benchmark import RESAMPLES, interval, load_results
from vosnb.exercises import lesson_13 as exercises
from vosnb.features import weights_card
from vosnb.lesson import card, check, claim, device, hint, predict, progress, solution, table  # noqa: F401
from vosnb.methods.refinement import backbone_maps
from vosnb.methods.target_model import TargetModel
from vosnb.paths import RESULTS
from vosnb.trackers import make_tracker, parse_tracker, segment
from vosnb.trackers.kernels import KernelTracker
from vosnb.trackers.matching import ContextTracker
from vosnb.trackers.target import TargetTracker
from vosnb.widgets.sliders import Sliders

# %% [markdown]
# ## A question that hurts
#
# Five papers, one task. Each says that it is better than what was before, and each is right, on its own terms: its own
# backbone, its own training data, its own GPU. Here all of them stand on one harness, and answer the same two calls,
# `start(frame, mask)` and `step(frame)`. So we can ask what no paper answers: *which one should I take?*
#
# | Tracker | Paper | What it knows of this object, and how |
# |---|---|---|
# | `matching` | | it remembers frames, and compares |
# | `matching+context` | S0 | the same, with keys tuned to this clip |
# | `kernels` | S3 | the same, with convolutions written from the object's features |
# | `frtm` | S1 | it learns a small model, and goes on learning |
# | `ridge+st-rnn` | S2 | it solves for a linear model; made for strokes, here given a mask |
# | `e-osvos-10-OnA` | S4 | it tunes a whole detector, and goes on tuning |
#
# First with our own eyes: the beginning of a few clips, object 1 alone.

# %%
PAPER = {"matching": "", "matching+context": "S0", "kernels": "S3", "frtm": "S1", "ridge+st-rnn": "S2",
         "e-osvos-10-OnA": "S4"}  # fmt: skip
dev = device(DEVICE)
loaded = [clip for clip in clips.load(DATASET, SPLIT) if np.mean(clip.masks[0] == 1) > 0.01]
loaded = loaded[SEED:] + loaded[:SEED]
LENGTH = max(4, round(10 * BUDGET))
some = [clip.only(1).subclip(0, min(len(clip), LENGTH)) for clip in loaded[:MAX_CLIPS]]


def follow(clip, tracker):
    """The masks of object 1 (T, H, W), and their mean J after frame 0."""
    masks = np.stack([mask for _, mask, _ in segment(tracker, clip)])
    J = [metrics.jaccard(truth == 1, mask == 1) for truth, mask in list(zip(clip.masks, masks, strict=True))[1:]
         if truth is not None]  # fmt: skip
    return masks, float(np.mean(J))


trackers = {name: make_tracker(name, device=dev) for name in PAPER}
answers = {clip.name: {name: follow(clip, tracker) for name, tracker in trackers.items()} for clip in
           progress(some, "six trackers")}  # fmt: skip
table([{"J": name} | {n: by[name][1] for n, by in answers.items()} for name in PAPER])

# %%
apart = max(some, key=lambda clip: np.std([J for _, J in answers[clip.name].values()]))
last = len(apart) - 1
show.Picture(
    show.grid(
        [show.overlay(apart.frames[0], apart.masks[0])]
        + [show.overlay(apart.frames[last], masks[last]) for masks, _ in answers[apart.name].values()],
        ["given, frame 0", *(f"{name}, frame {last}" for name in PAPER)],
        columns=4,
    ),
    "The first frame with the given mask, and frame "
    f"{last} with the masks of six trackers. J: "
    + ", ".join(f"{name} {J:.2f}" for name, (_, J) in answers[apart.name].items())
    + ".",
)

# %% [markdown]
# (Of these clips the one on which the six differ most.) A few clips say little. The course therefore keeps the scores
# of these six, and of some more, on the 160 clips of `test-large`, of eight difficulties, object 1 alone. No setting of
# any tracker was chosen on these.

# %%
guess_best = predict(
    "One tracker has the best mean J over 160 clips. On how many of them is it the best of the six?",
    ["on nearly all, more than 120", "on most, 81 to 120", "on fewer than half"],
    default="a",
)

# %%
stored = load_results("course")
J_of, row_of = {}, {row["tracker"]: row for row in stored["rows"] if row["difficulty"] == "all"}
for record in stored["clips"]:
    J_of.setdefault(record["tracker"], []).append(record["J"])
J_of = {name: np.array(J) for name, J in J_of.items()}  # for each tracker the J of every clip, clips in one order
kind_of = np.array([record["difficulty"] for record in stored["clips"] if record["tracker"] == "matching"])
KINDS = list(dict.fromkeys(kind_of.tolist()))


def in_brackets(low, high):
    return f"[{low:.3f}, {high:.3f}]"


table(
    [
        {"tracker": name, "paper": paper, "J": row["J"], "95 % interval": in_brackets(row["J_low"], row["J_high"]),
         "F": row["F"], "frames/s": f"{row['fps']:.0f}", "frame 0, s": f"{row['start_s']:.2f}"}
        for name, paper in ({"still": "", "histogram": ""} | PAPER).items() for row in [row_of[name]]
    ],
    digits=3,
)  # fmt: skip

# %% tags=["nbval-check-output"]
J_six = np.stack([J_of[name] for name in PAPER])
first = list(PAPER)[int(J_six.mean(1).argmax())]
wins = {name: int((J_six.argmax(0) == n).sum()) for n, name in enumerate(PAPER)}
guess_best.reveal(
    "a" if wins[first] > 120 else "b" if wins[first] > 80 else "c",
    f"The best on average is {first}. A mean says who to take if you know nothing of your clip.",
)
claim("clips on which any one of the six is the best", max(wins.values()), high=80)

# %%
table([{"tracker": name, "best of the six on": wins[name]} for name in PAPER])

# %% [markdown]
# Look at the intervals in the table. Those of `matching`, `matching+context` and `kernels` overlap almost wholly. Does
# that mean that we cannot tell them apart?
#
# ## The same clips
#
# No. Such an interval is wide because *clips* differ: an easy one has J .9 with any tracker, one with twins .5. Draw
# other clips, and the means of all trackers go up and down **together**. What we want to know is not where a mean lies,
# but whether one tracker is better than another, and both saw the same clips. So take the difference on every clip
# first,
#
# $$g_i = J_i^{\text{b}} - J_i^{\text{a}},$$
#
# and ask how far the mean of $g$ would move, had other clips been drawn. The *bootstrap* answers by drawing from the
# clips that there are, with replacement: as many, again and again, the mean each time. Between which two numbers lie
# 95 % of these means?
#
# ### Exercise 1: better on the same clips

# %%
card(exercises.paired)


# %% tags=["exercise"]
def paired(a, b, draws):
    """The 95 % interval (low, high) of what tracker b gains over a on average.

    a, b: J of each clip (n,), the same clips in the same order. draws: (R, n), each row the numbers of n clips drawn
    with replacement: a benchmark that might have been.
    """
    # solution begin
    means = (b - a)[draws].mean(1)
    return np.quantile(means, [0.025, 0.975])
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.paired, paired)

# %% [markdown]
# Stuck? Run `hint(exercises.paired, 1)` in a cell of your own.
#
# Now each tracker against `matching`. Beside the paired interval stands what one gets if each tracker is drawn clips of
# its own, as if they had been tested in different houses.

# %%
guess_width = predict(
    "matching+context against matching: how much narrower is the paired interval than that of separate clips?",
    ["not much, by less than a third", "about half as wide", "a third as wide, or less"],
    default="a",
)
draws, others = (np.random.default_rng(seed).integers(len(kind_of), size=(RESAMPLES, len(kind_of))) for seed in (0, 1))
compared = {}
for name in list(PAPER)[1:]:
    a, b = J_of["matching"], J_of[name]
    low, high = exercises.paired.reference(a, b, draws)
    apart_low, apart_high = np.quantile(b[draws].mean(1) - a[others].mean(1), [0.025, 0.975])
    compared[name] = {"gain": (b - a).mean(), "paired": (low, high), "separate": (apart_low, apart_high)}
table(
    [
        {"against matching": name, "gain in J": row["gain"], "paired": in_brackets(*row["paired"]),
         "separate clips": in_brackets(*row["separate"]), "better on": int((J_of[name] > J_of["matching"]).sum()),
         "worse on": int((J_of[name] < J_of["matching"]).sum())}
        for name, row in compared.items()
    ],
    digits=3,
)  # fmt: skip

# %% tags=["nbval-check-output"]
narrower = {name: np.ptp(row["paired"]) / np.ptp(row["separate"]) for name, row in compared.items()}
ratio = narrower["matching+context"]
guess_width.reveal(
    "c" if ratio < 0.4 else "b" if ratio < 2 / 3 else "a",
    "These two agree on most clips, so that nearly all that moves their means moves both.",
)
claim("the paired interval is that of the course's tables", np.allclose(
    compared["frtm"]["paired"], interval(J_of["frtm"] - J_of["matching"])))  # fmt: skip
claim("paired is narrower for every tracker", max(narrower.values()) < 1)

# %% [markdown]
# The three that compare with a memory are close together, and the pairs tell what the means cannot: what S0 gains is
# small, and it is there. The three that learn a model of the object are far behind.
#
# ## How many clips does it take?
#
# Most papers of this field report 30 clips (DAVIS 2017's `val`), some of them 20. Draw that many from our 160, ten
# times, and look at what ten groups of researchers would have published. A filled point says "better" or "worse", an
# empty one "cannot tell": its interval holds zero.


# %%
def publish(J_of, names):
    """Sliders: ten benchmarks of a few clips each, drawn from the large one."""

    def draw(first, second, clips, seed):
        r, gains = np.random.default_rng(seed), J_of[second] - J_of[first]
        fig = Figure((6.4, 2.8), dpi=100, layout="constrained")
        axes, said = fig.subplots(), {"better": 0, "worse": 0, "cannot tell": 0}
        for n in range(10):
            own = gains[r.choice(len(gains), clips, replace=False)]
            low, high = np.quantile(own[r.integers(clips, size=(1000, clips))].mean(1), [0.025, 0.975])
            verdict = "better" if low > 0 else "worse" if high < 0 else "cannot tell"
            said[verdict] += 1
            colour = {"better": "#0072B2", "worse": "#D55E00", "cannot tell": "#666666"}[verdict]
            axes.plot([n, n], [low, high], color=colour)
            axes.plot(n, own.mean(), "o", mec=colour, mfc="white" if verdict == "cannot tell" else colour)
        axes.axhline(0, color="black", lw=0.8)
        axes.axhline(gains.mean(), color="#666666", lw=1, ls="--")
        axes.set(xticks=range(10), xticklabels=range(1, 11), xlabel="benchmark", ylabel=f"{second} - {first}")
        counts = ", ".join(f"{verdict}: {count}" for verdict, count in said.items())
        axes.set_title(f"ten benchmarks of {clips} clips. {counts}", fontsize=9)
        return show.figure(
            fig,
            alt=f"Ten gains in J of {second} over {first}, each from {clips} clips, with intervals; dashed the gain on "
            f"all {len(gains)}, {gains.mean():+.3f}. {counts}.",
        )

    return Sliders(
        draw, first=names, second=[*names[1:], names[0]], clips=(5, len(J_of[names[0]]), 30), seed=(0, 20, 0)
    )


publish(J_of, list(PAPER))

# %% tags=["nbval-check-output"]
r, gains = np.random.default_rng(0), J_of["matching+context"] - J_of["matching"]
small = [gains[r.choice(160, 30, replace=False)] for _ in range(200)]
told = np.mean([interval(own)[0] > 0 for own in small[:50]])
claim("share of benchmarks of 30 clips that see what S0 gains", told, high=0.6)
claim("share of them whose mean has the wrong sign", np.mean([own.mean() < 0 for own in small]), low=0.02)

# %% [markdown]
# A gain of a point in J is real on 160 clips and invisible on 30. When a table of 30 clips without intervals puts one
# method half a point above another, you now know what to think.
#
# ## Each difficulty for itself

# %%
table(
    [
        {"gain over matching": kind, "matching": J_of["matching"][kind_of == kind].mean()}
        | {name: f"{(J_of[name] - J_of['matching'])[kind_of == kind].mean():+.3f}" for name in list(PAPER)[1:]}
        for kind in KINDS
    ],
    digits=3,
)

# %% [markdown]
# These are means of 12 to 40 clips: some hundredths are noise, and the widget shows how much. Compare any two, clip by
# clip. A point is a clip; above the line the second tracker is better.


# %%
def duel(J_of, kind_of, names):
    """Sliders: any two trackers, clip by clip."""

    def draw(first, second, clips):
        chosen = np.ones(len(kind_of), bool) if clips == "all" else kind_of == clips
        a, b = J_of[first][chosen], J_of[second][chosen]
        low, high = interval(b - a)
        fig = Figure((4.6, 4.4), dpi=100, layout="constrained")
        axes = fig.subplots()
        axes.plot([0, 1], [0, 1], color="#666666", lw=1)
        for n, kind in enumerate(dict.fromkeys(kind_of[chosen].tolist())):
            of = kind_of[chosen] == kind
            style = {"color": show.SERIES[n % len(show.SERIES)], "marker": "osD^v*PX"[n % 8]}
            axes.scatter(a[of], b[of], **style, s=22, alpha=0.8, label=kind)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=f"J of {first}", ylabel=f"J of {second}")
        said = f"{(b - a).mean():+.3f} [{low:+.3f}, {high:+.3f}], better on {(b > a).sum()}, worse on {(b < a).sum()}"
        axes.set_title(said, fontsize=9)
        axes.legend(frameon=False, fontsize=7, loc="upper left")
        return show.figure(
            fig, alt=f"J of {second} over J of {first}, a point for each of {len(a)} clips ({clips}): {said}."
        )

    return Sliders(draw, first=names, second=[*names[1:], names[0]], clips=["all", *dict.fromkeys(kind_of.tolist())])


duel(J_of, kind_of, ["matching", "frtm", *(name for name in J_of if name not in ("matching", "frtm"))])

# %% [markdown]
# `matching` and `frtm`, to begin with: a cloud below the line, and some clips far above it. Keep these in mind.
#
# ## Who has been here before
#
# Why is memory so far ahead? What each tracker learned *before* the clip began is not the same:

# %%
WEIGHTS = {"matching": ["matching"], "matching+context": ["matching"], "kernels": ["matching", "kernels"],
           "frtm": ["matching", "refinement"], "ridge+st-rnn": ["matching", "st-rnn"],
           "e-osvos-10-OnA": ["e-osvos-parent", "e-osvos"]}  # fmt: skip
cards = {name: weights_card(name) for names in WEIGHTS.values() for name in names}
table(
    [
        {"tracker": name, "weights": " + ".join(names),
         "minutes of training": f"{sum(float(cards[w]['minutes']) for w in names):.0f}"}
        for name, names in WEIGHTS.items()
    ]
)  # fmt: skip

# %% [markdown]
# All of it on generated clips, of the same kind as those of the test (other seeds, other textures, other bodies). The
# matcher was trained whole, to do this very thing in this very world. S1's D is trained on nothing but frame 0: that is
# its point. What it gives away at home it should get back abroad. The course holds scores of eight real clips, on which
# nothing was trained and no setting chosen:

# %%
real = json.loads((RESULTS / "real.json").read_text())["rows"]
abroad = {row["after"]: row for row in real if row["before"] in ("matching", "frtm")}
table(
    [
        {"against matching": name, "here, 160 clips": f"{(J_of[name] - J_of['matching']).mean():+.3f}",
         "real, 8 clips": f"{row['gain']:+.3f}", "95 % interval": f"[{row['low']:+.3f}, {row['high']:+.3f}]",
         "better on": row["won"]}
        for name, row in abroad.items() if row["before"] == "matching"
    ]
)  # fmt: skip

# %% tags=["nbval-check-output"]
claim("at home frtm is below matching by", -compared["frtm"]["gain"], low=0.05)
claim("on the real clips its interval holds zero", abroad["frtm"]["low"] < 0 < abroad["frtm"]["high"])

# %% [markdown]
# On real clips `frtm` is about where `matching` is, and eight clips cannot say which is better. The mean that falls
# most from home to there is that of `kernels`, which was trained on top of the matcher, once more on generated clips;
# eight clips cannot say that for sure either. So the ranking of the first table is a ranking *on this benchmark, after
# this training*, like every ranking in every paper. A benchmark that is made like the training data rewards those who
# know them.
#
# ## What nothing beats
#
# J is one thing to want. Speed is another. A tracker is *beaten* when another is at least as good in both, and better
# in one. Those that nothing beats are called the Pareto front; a choice is only between these.
#
# ### Exercise 2: what nothing beats

# %%
card(exercises.front)


# %% tags=["exercise"]
def front(J, speed):
    """The numbers of those that nothing beats, as a list. J, speed: (n,), for both more is better."""

    # solution begin
    def beaten(i):
        return any(
            J[k] >= J[i] and speed[k] >= speed[i] and (J[k] > J[i] or speed[k] > speed[i]) for k in range(len(J))
        )

    return [i for i in range(len(J)) if not beaten(i)]
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.front, front)

# %%
names = ["still", "histogram", *PAPER, "one-shot"]
mean_J, fps = (np.array([row_of[name][key] for name in names]) for key in ("J", "fps"))
stays = exercises.front.reference(mean_J, fps)
fig = Figure((6.8, 3.6), dpi=100, layout="constrained")
axes = fig.subplots()
axes.plot(*zip(*sorted((fps[i], mean_J[i]) for i in stays), strict=True), color="#666666", ls="--", lw=1)
for n, name in enumerate(names):
    style = {"color": show.SERIES[n % len(show.SERIES)], "marker": "osD^v*PXd"[n % 9], "ls": ""}
    axes.plot(fps[n], mean_J[n], **style, ms=8, label=name + (", on the front" if n in stays else ""))
axes.set(xscale="log", xlabel="frames/s, one thread", ylabel="J", xlim=(3, 2 * fps.max()), ylim=(0.25, 0.9))
axes.legend(frameon=False, fontsize=8)
show.figure(
    fig,
    alt="J over frames per second of each tracker, speed on a logarithmic axis. Nothing beats "
    + ", ".join(names[i] for i in stays)
    + ".",
)

# %% [markdown]
# The dashed line joins the front; a few percent of frames/s are noise. (`one-shot` is lesson 11's network.) Mind what
# is not on the axes: the seconds on frame 0, in the table above, and that these are small frames with one object. S1
# and S4 pay for each object again; matching shares the encoder.
#
# ## Two heads
#
# Where one tracker fails, does the other? If they fail on *different* clips, there is something to be had from both.
# Take two trackers, and suppose that a fairy told us, for each clip, which will be better:

# %%
pairs = [
    ("matching", "matching+context"),
    ("matching", "kernels"),
    ("matching", "frtm"),
    ("matching", "e-osvos-10-OnA"),
    ("frtm", "e-osvos-10-OnA"),
]
table(
    [
        {"two trackers": f"{a} and {b}", "the better one": max(J_of[a].mean(), J_of[b].mean()),
         "with the fairy": np.maximum(J_of[a], J_of[b]).mean(), "correlation": np.corrcoef(J_of[a], J_of[b])[0, 1]}
        for a, b in pairs
    ],
    digits=3,
)  # fmt: skip

# %%
guess_both = predict(
    "No fairy: average the probabilities of matching and frtm, pixel by pixel, in every frame. Against matching alone, "
    "on the mean over 160 clips, that is ...",
    ["better: two heads", "worse: frtm is much the weaker", "too close to tell"],
    default="a",
)

# %% tags=["nbval-check-output"]
together = J_of["matching++frtm"] - J_of["matching"]
low, high = interval(together)
guess_both.reveal(
    "a" if low > 0 else "b" if high < 0 else "c",
    "What the average wins where matching fails it pays for where matching is right.",
)
kinds_won = [kind for kind in KINDS if interval(together[kind_of == kind])[0] > 0]
kinds_lost = [kind for kind in KINDS if interval(together[kind_of == kind])[1] < 0]
print("better, by the interval, on:", ", ".join(kinds_won) or "none")
print("worse on:", ", ".join(kinds_lost) or "none")
claim("the average is nearer to matching than to frtm", abs(together.mean()) < abs(compared["frtm"]["gain"]) / 2)

# %% [markdown]
# (`make_tracker("matching++frtm")` is such an average; lesson 10 has more on it.) Averaging answers is the cheap way to
# combine two methods. The better way is to combine *ideas*.
#
# ## Put parts together
#
# Every tracker in this course is made of parts that other trackers could use. Two that are new:
#
# **S0 in S3.** S0 tunes the two key convolutions; S3 writes kernels for the decoder. Neither knows of the other, and
# both are a matcher with one step changed. In code that is one line, with nothing in it:


# %% tags=["in-package"]
class AdaptedKernelTracker(ContextTracker, KernelTracker):
    """`kernels+context`: S3's kernels, and keys that S0 tunes on the first frame. It takes the settings of both."""


# %% [markdown]
# **S2 in S1.** S1's D has two layers, $D(\mathbf x; w) = w_2 * (w_1 * \mathbf x)$, so its loss S1-E2 is quadratic in
# either but not in both, and Gauss-Newton has to go down in steps (lesson 05). S2 says: take *one* layer, then there is
# nothing to go down to; the answer is a linear system (S2-E3). What if D had one layer only? With $w_1$ fixed to hand
# every channel on, S1-E2 **is** a ridge regression in $w_2$, with S1's pixel weights, S1's memory, and S1's
# refinement on top.
#
# ### Exercise 3: D with a single layer

# %%
card(exercises.one_layer)


# %% tags=["exercise"]
def one_layer(channels, kernel=3):
    """[w1, w2] for `TargetModel`: w1 hands all channels on as they are, w2 is zero, with kernel x kernel taps.

    Shapes as for conv2d: w1 (channels, channels, 1, 1), w2 (1, channels, kernel, kernel).
    """
    # solution begin
    w1 = torch.eye(channels).view(channels, channels, 1, 1)
    return [w1, torch.zeros(1, channels, kernel, kernel)]
    # solution end


# %% tags=["nbval-check-output"]
check(exercises.one_layer, one_layer)

# %% [markdown]
# That, a `TargetModel` that starts there, and no steps: `start` ends by solving for $w_2$, as it always did, and each
# update solves again. (So S2's closed form has been in S1's update all along, lesson 05; now it is all there is.)

# %%
solve_from = exercises.one_layer.reference


class SolvedTracker(TargetTracker):
    def _learn(self, images, labels):
        x = self.net.features(backbone_maps(self.encoder, images))
        target = TargetModel(replace(self.settings, hidden=x.shape[1], iterations=()))
        target.start(x, labels, w=solve_from(x.shape[1]))
        self.targets.append(target)


guess_layers = predict(
    "D with one layer, solved, against D with two, learned by Gauss-Newton. On 160 clips the solved one is ...",
    ["worse: two layers can do more", "as good or better, and faster", "as good or better, and slower"],
    default="a",
)
ours = {clip.name: follow(clip, SolvedTracker(regularisation=1000.0, capacity=20, device=dev)) for clip in some}
table([{"clip": clip.name, "frtm": answers[clip.name]["frtm"][1], "D solved": ours[clip.name][1]} for clip in some])

# %% [markdown]
# (The one number to choose, $\lambda$, was chosen on clips of `val`.) The package calls the two mixtures
# `kernels+context` and `frtm+ridge`, and has run both on the 160 clips:


# %%
def against(tracker, parts):
    """Rows: what a tracker gains over each of its parts."""
    rows = []
    for part in parts:
        gain = J_of[tracker] - J_of[part]
        rows.append({"tracker": tracker, "J": J_of[tracker].mean(), "against": part, "gain": gain.mean(),
                     "95 % interval": in_brackets(*interval(gain)), "better on": int((gain > 0).sum()),
                     "worse on": int((gain < 0).sum()),
                     "frames/s": f"{row_of[tracker]['fps']:.0f}, {row_of[part]['fps']:.0f}"})  # fmt: skip
    return rows


table(against("kernels+context", ["kernels", "matching+context"]) + against("frtm+ridge", ["frtm"]), digits=3)

# %% tags=["nbval-check-output"]
low, high = interval(J_of["frtm+ridge"] - J_of["frtm"])
faster = row_of["frtm+ridge"]["fps"] > row_of["frtm"]["fps"]
guess_layers.reveal(
    "a" if high < 0 else "b" if faster else "c", "Better, and slower: the linear system is a large one."
)
package = follow(some[0], make_tracker("frtm+ridge", device=dev))[0]
claim("ours and the package's agree on this share of pixels", (package == ours[some[0].name][0]).mean(), low=0.999)

# %% [markdown]
# S0 in S3 adds nothing that could be told from chance. S2 in S1 does: no optimiser at all, and a better tracker than
# `frtm`. A paper could be written. *One layer is all you need.*
#
# ## Change one thing at a time
#
# Wait. What did we change? The layers, from two to one. And, without saying so, something else. `frtm`'s first layer
# makes few channels out of the backbone's many, once, on frame 0, and every update has only these to work with. Our
# single layer reads all of them.

# %%
CONTROL = "frtm:hidden=176:regularisation=10:capacity=20"
parsed = {spec: parse_tracker(spec) for spec in ("frtm", CONTROL, "frtm+ridge")}
D = {spec: make_tracker(name, device=dev, **settings) for spec, (name, settings) in parsed.items()}
for one in D.values():
    one.start(some[0].frames[0], some[0].masks[0])
table([{"tracker": name, "channels that w2 reads": one.targets[0].w[1].shape[1], "numbers that an update finds":
        one.targets[0].w[1].numel()} for name, one in D.items()])  # fmt: skip

# %% [markdown]
# So there must be a *control*: `frtm` with its two layers and Gauss-Newton, and as many channels. (Its $\lambda$ was
# chosen on the same clips of `val` as that of `frtm+ridge`, and it remembers as many frames. A rival that nobody tuned
# is no rival.)

# %%
guess_control = predict(
    "frtm+ridge, one layer, against frtm with two layers and as many channels, on 160 clips:",
    ["frtm+ridge is clearly better: it is the closed form", "about alike: it was the channels", "frtm is better"],
    default="a",
)
WIDE = "frtm, wide"
J_of[WIDE], row_of[WIDE] = J_of[CONTROL], row_of[CONTROL]
table(against(WIDE, ["frtm"]) + against("frtm+ridge", [WIDE]), digits=3)

# %% tags=["nbval-check-output"]
low, high = interval(J_of["frtm+ridge"] - J_of[WIDE])
guess_control.reveal(
    "a" if low > 0 else "c" if high < 0 else "b", "But look at the rows: the gain over frtm was twice as large."
)
from_channels = (J_of[WIDE] - J_of["frtm"]).mean() / (J_of["frtm+ridge"] - J_of["frtm"]).mean()
claim("share of the gain that came with the channels", from_channels, 0.25, 0.75)

# %% [markdown]
# About half of what `frtm+ridge` has on `frtm` came with the channels. The other half is the closed form's, and its
# interval is clear of zero. A likely reason: of two layers the first is fitted to frame 0 and then kept for good; with
# one layer nothing is kept that an update could not mend. And there is no optimiser, no steps or directions to choose.
# The price stands in the frames/s: S1 has few channels because it wants to be fast. On the eight real clips there is
# nothing to be seen of all this:

# %%
row = abroad["frtm+ridge"]
table([{"real clips": row["clips"], "frtm": row["J_before"], "frtm+ridge": row["J_after"],
        "95 % interval of the gain": in_brackets(row["low"], row["high"])}], digits=3)  # fmt: skip

# %% [markdown]
# Many a gain in the literature has no such control. When you read "our module brings +1.3", ask what came with it:
# channels, training steps, augmentation, resolution. When you mix, change one thing at a time.
#
# > **Paper and code.** Before you compare numbers of two papers:
# >
# > - *Backbones.* S1: a ResNet-101, frozen. S2: two DeepLabs, averaged. S3: four large ones, averaged. S4: a ResNet-50,
# >   pre-trained on COCO. Ours: one of 0.7 million numbers, for all but S4.
# > - *The baseline.* S0 improves SwiftNet, whose weights and training code are not public, so S0 trained it again: 78.0
# >   on DAVIS 2017 where its authors report 81.1. What S0 gains is measured from the lower one, and rightly so.
# > - *Data.* S0 and S1 train on YouTube-VOS and DAVIS, S3 also on single images that are moved about. S1 gives
# >   a row for DAVIS alone.
# > - *Time.* Frames/s are those of each paper's own GPU.
# >
# > On one harness with one backbone these differences are gone. The difference that stays is the one of this lesson:
# > who was trained on what.
#
# ## What we now know
#
# - One tracker is best on average, and on most clips another one is.
# - Differences are taken clip by clip. That is what makes a small one visible, if there are clips enough.
# - A ranking holds for a benchmark and a training. Who has learned the most about the world of the test wins at home.
# - Only what nothing beats in accuracy and speed is worth a choice.
# - Methods are parts that can be put together. If the whole gains, a control says which part did it, and how much.
#
# **Next.** Your own: write a class with `_reset`, `_add` and `_step` (or override one `_learn`, as above), hand it to
# `vosnb.benchmark.bench({"mine": MyTracker, "frtm": ...}, split="val")`, and when all is chosen, once, to `test-large`.
#
# **References**
#
# - S0 to S4: see the README. SwiftNet: H. Wang, X. Jiang, H. Ren, Y. Hu, S. Bai. CVPR 2021.
# - B. Efron, R. Tibshirani. *An Introduction to the Bootstrap.* 1993.
# - J. Pont-Tuset and others. *The 2017 DAVIS Challenge on Video Object Segmentation.* arXiv 1704.00675.
