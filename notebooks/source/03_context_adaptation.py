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
# # Keys that fit the clip
#
# Four rhinos, and the target is the one that is outlined at the start. One tracker, twice: on the left as it was
# trained, on the right after half a second of tuning on frame 0, and on nothing else. **Watch the large rhino on the
# left of the picture.** When does each outline land on it, and when does it let go?
#
# <small>To read: {{read}}. To solve the four exercises: about 65 minutes. To run: {{run}}. The numbers in the text are
# those of the run that is shipped; with other parameters yours will differ.</small>

# %% tags=["parameters", "setup"]
DATASET = "toys"
SPLIT = "test-large"
MAX_CLIPS = 12
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %% tags=["plot"]
import numpy as np

from vosnb import metrics, show
from vosnb.course.classroom import device
from vosnb.datasets import load
from vosnb.trackers import make_tracker, segment

dev = device(DEVICE)
loaded = load(DATASET, SPLIT)
twins = [clip for clip in loaded if clip.info.get("difficulty") == "twins"] or loaded
twins = twins[: max(2, round(MAX_CLIPS * min(1, BUDGET)))]
hook = twins[SEED % len(twins)]
TRACKERS = {
    "as trained": make_tracker("matching", memory="first", device=dev),
    "tuned": make_tracker("matching+context", memory="first", device=dev),
}


def follow(clip):
    """{name: masks of object 1} and {name: mean J} of both trackers."""
    target = clip.only(1)
    masks = {name: [mask for _, mask, _ in segment(tracker, target)] for name, tracker in TRACKERS.items()}
    return masks, {name: metrics.score_clip(target.masks, found).J_mean for name, found in masks.items()}


rhinos, J_rhinos = follow(hook)
show.film(
    hook.frames,
    rhinos,
    fill=0.25,
    columns=2,
    limit=600_000,
    alt="A moving clip of four toy rhinos, twice. On the left, as trained, the outline soon lands on a second rhino "
    "too, and pieces of it jump to others until the end. On the right, tuned, it lands on the second rhino for some "
    "frames and then lets go.",
)

# %% [markdown]
# Both outlines land on the second rhino. On the right it leaves again, and in the last frames it is on the target
# alone. Mean J is {{J_plain:.2f}} on the left and {{J_tuned:.2f}} on the right. Nothing else was retrained: two small
# convolutions took fifty steps of gradient descent on *one picture*, whose mask the user gave anyway.
#
# The clip is the first of our list; nobody picked it. It turns out to gain more than most: by the measurement below it
# is number {{rank}} of {{clips}}. All of them come, the one that loses most included.

# %% tags=["ask"]
import functools
import json
import time

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from vosnb.benchmark import interval
from vosnb.course.cells import to_cells
from vosnb.course.classroom import card, check, chosen, hold, numbers, predict, progress, table
from vosnb.course.exercises import lesson_03 as exercises
from vosnb.methods.context import affinity_shares, background_heatmap, excess_losses, object_heatmap
from vosnb.methods.matching import Query, affinity, read_memory
from vosnb.paths import RESULTS
from vosnb.trackers.base import fit_frame, resize
from vosnb.widgets.sliders import Sliders

guess_won = predict(
    "On how many of twelve clips of such twins does this tuning raise J?",
    {
        "all": "On 11 or 12: the mask of frame 0 is true, so tuning on it cannot hurt.",
        "most": "On 8 to 10.",
        "half": "On 5 to 7: one picture is too little, so it is a coin.",
    },
    seed=1,
)

# %% [markdown]
# | | |
# |---|---|
# | **You will be able to** | turn leaks into a loss, tune two convolutions with it, and find out *why* a score rose |
# | **Paper** | S0: Dubuisson and others, *Context Adaptation for Video Object Segmentation*, sections 3.2 to 4.3 |
# | **Equations** | S0-E3; S0-E1 again |
# | **Before** | {{to before}}: heat, leaks, look-alikes |
# | **After** | {{to after}} |
# | **Deeper** | {{to deeper}} |
#
# ## The scoreboard

# %% tags=["plot"]
show.scoreboard("matching + context")

# %% [markdown]
# The new row hardly differs from the one above it: {{board_context:.2f}} to {{board_matching:.2f}} on toy twins,
# {{board_context_real:.2f}} to {{board_matching_real:.2f}} on real video. So what was the film about? It shows *another
# matcher*: the creatures matcher, the first that this course had. (In code `matching` is this old one; on the board it
# is the new one.) Toys are strange to it. On the {{stored_clips}} twins it has {{old_static:.3f}} with frame 0 as its
# memory and tuning makes that {{old_static_tuned:.3f}}; with an updated memory {{old_updated:.3f}} becomes
# {{old_updated_tuned:.3f}}. The board's matcher looks through a backbone that learned from photographs, and gains next
# to nothing.
#
# Both are true. This lesson builds the method on the old matcher, where one can see it work, and then asks why the new
# one gains so little.
#
# ## What may change
# S0 freezes everything but the two convolutions that make keys, one for the query and one for the memory. We call them
# a **pair of keys**. What the encoders see of a frame, and the values, stay as they are, so we compute them once.

# %%
net = TRACKERS["as trained"].net.requires_grad_(False)
generic = torch.nn.ModuleList([net.query_key, net.memory_key])


@functools.lru_cache(maxsize=200)
def see(clip, t):
    """A frame as the query encoder sees it, at stride 2, 4 and 8."""
    return net.query_encoder(fit_frame(clip.frames[t], 128, dev))


def begin(clip):
    """Frame 0 before its keys: seen, remembered (1, C, h, w), values (1, v, N), soft mask (1, N)."""
    image = fit_frame(clip.frames[0], 128, dev)
    mask = resize(torch.from_numpy(clip.masks[0] == 1)[None, None].float().to(dev), image.shape[-2:])
    remembered = net.memory_encoder(image, mask, torch.zeros_like(mask))
    return see(clip, 0)[-1], remembered, net.memory_value(remembered).flatten(2), F.avg_pool2d(mask, 8).flatten(1)


def attend(keys, seen, remembered):
    """A (1, N, M) with a pair of keys (S0-E1)."""
    return affinity(keys[0](seen).flatten(2), keys[1](remembered).flatten(2))


seen, remembered, values, m = begin(hook)
rows, columns = seen.shape[-2:]
tuned_numbers = sum(p.numel() for p in generic.parameters())
print(f"{rows} x {columns} cells; {tuned_numbers:,} of {sum(p.numel() for p in net.parameters()):,} numbers may change")

# %% [markdown]
# ## From the leak to the loss (S0-E3)
# In frame 0 everything is known: query and memory are the same picture, and the user gave its mask. So each leak of
# lesson 02 can be charged for. With $m_i$ the share of query cell $i$ that lies in the object, and $m_j$ that of memory
# cell $j$:
#
# $$L_{obj} = \sum_i (1 - m_i) \sum_j m_j A_{ij} \qquad\qquad L_{bg} = \sum_i m_i \sum_j (1 - m_j) A_{ij}$$
#
# $L_{obj}$ charges the background for what it reads from the object, $L_{bg}$ charges the object for what it reads from
# the background. The inner sums are old friends, $h_i$ and its opposite.
#
# Why two losses? Each alone has a cheap way out. So S0 minimises $L_{adapt} = \alpha L_{obj} + L_{bg}$, and sets
# $\alpha$ so that both start from the same value: "It avoids that one of the loss dominates the other." It is computed
# once, before the first step, and no gradient goes through it:


# %% tags=["package"]
def adaptation_losses(
    A: torch.Tensor, query_mask: torch.Tensor, memory_mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """L_obj and L_bg (S0-E3), plain sums. A (..., N, M), query_mask (..., N), memory_mask (..., M) in 0..1."""
    L_obj = ((1 - query_mask) * object_heatmap(A, memory_mask)).sum(-1)
    L_bg = (query_mask * background_heatmap(A, memory_mask)).sum(-1)
    return L_obj, L_bg


def balance(L_obj: torch.Tensor, L_bg: torch.Tensor) -> torch.Tensor:
    """alpha such that alpha L_obj = L_bg, without gradient; 1 where L_obj is 0 and nothing leaks."""
    L_obj, L_bg = L_obj.detach(), L_bg.detach()
    return torch.where(L_obj > 0, L_bg / L_obj.clamp_min(torch.finfo(L_obj.dtype).tiny), torch.ones_like(L_bg))


# %% tags=["plot"]
A = attend(generic, seen, remembered)
leaks = [L.item() for L in adaptation_losses(A, m, m)]
pays = {
    f"pays to L_obj, {leaks[0]:.1f} in all": (1 - m) * object_heatmap(A, m),
    f"pays to L_bg, {leaks[1]:.1f} in all": m * background_heatmap(A, m),
}


def heat_panel(clip, t, h, top=1.0, width=450):
    """Frame t under its heat (N,), of which `top` is brightest, every object outlined."""
    return show.heat_over(clip.frames[t], h.view(rows, columns).cpu() / top, clip.masks[t], scale=width / clip.size[1])


show.Photo(
    show.tiled([heat_panel(hook, 0, charge[0], 0.5) for charge in pays.values()], list(pays)),
    alt="Frame 0 twice. Left, what each cell pays to L_obj: bright cells on the bodies of two other rhinos. Right, "
    "what each cell pays to L_bg: bright cells all over the target.",
)

# %% [markdown]
# $L_{obj}$ is {{L_obj:.1f}} and $L_{bg}$ is {{L_bg:.1f}}: so many cells' worth of attention go astray in the very
# picture that is remembered. On the left other rhinos pay, {{thieves_pay:.0%}} of it; they are the thieves of lesson
# 02. On the right the target pays. It is small, and most of its cells are *border*, half rhino and half ground. They
# pay {{border_pays:.0%}} of $L_{bg}$. Keep that in mind.

# %% [markdown]
# ## The gradient of one cell
# Before a library differentiates this, we do it once for *one* query cell. Its key is $q$, the memory has keys $k_j$
# and the mask $m_j$. With $s = 1 / \sqrt d$:
#
# $$z_j = s\, q \cdot k_j \qquad a = \mathrm{softmax}(z) \qquad h = \sum_j m_j a_j$$
#
# A softmax has the derivative $\partial a_l / \partial z_j = a_l (\delta_{lj} - a_j)$, where $\delta_{lj}$ is 1 for $l
# = j$ and else 0. Multiply by $m_l$ and sum over $l$:
#
# $$\frac{\partial h}{\partial z_j} = a_j (m_j - h)$$
#
# In words: memory cell $j$ has a say as large as its attention $a_j$. If it is *more* object than what the query reads
# on average, $m_j > h$, then more of it raises $h$; if it is less, more of it lowers $h$. One step is left, to the key.

# %% tags=["check"]
card(exercises.query_gradient)


# %% tags=["exercise"]
def query_gradient(q, keys, m, scale):
    """dh/dq (d,) of one query cell with key q (d,), for memory keys (d, M), mask m (M,) in 0..1; z = scale q . k."""
    # solution begin
    a = torch.softmax(scale * q @ keys, -1)
    h = (m * a).sum()
    return scale * keys @ (a * (m - h))
    # solution end


# %% tags=["check", "nbval-check-output"]
check(exercises.query_gradient, query_gradient)

# %% [markdown] tags=["solution"]
# $z_j$ changes with $q$ by $s k_j$, so $\partial h / \partial q = s \sum_j a_j (m_j - h)\, k_j$. The weights $a_j (m_j
# - h)$ sum to zero: the query is pulled towards some memory keys and pushed away from others, by the same total.

# %% [markdown]
# Here are these weights for the thief of our clip: the cell on another rhino that reads most from the target.

# %% tags=["plot"]
h = object_heatmap(A, m)[0]
labels = to_cells(hook.masks[0], (rows, columns)).to(dev)
companions = labels[2:].sum(0) if len(labels) > 2 else 1 - labels[1]
thief = int((h * (companions > 0.5)).argmax())
pull = A[0, thief] * (m[0] - h[thief])
with show.style():
    fig = Figure((8.2, 2.75))
    axes = fig.subplots()
    height, width = hook.size
    axes.imshow(hook.frames[0].mean(-1), cmap="gray", extent=(0, columns, rows, 0), vmin=-120, vmax=255)
    top = pull.abs().max().item()
    weights = pull.view(rows, columns).cpu().numpy()
    shown = np.ma.masked_where(np.abs(weights) < 0.02 * top, weights)
    image = axes.imshow(shown, cmap="RdBu", vmin=-top, vmax=top, extent=(0, columns, rows, 0), alpha=0.9)
    y, x = divmod(thief, columns)
    axes.plot(x + 0.5, y + 0.5, "s", ms=11, mfc="none", mec="#F2E205", mew=2)
    axes.annotate("the thief", (x + 0.5, y), (0, 7), textcoords="offset points", ha="center", color="black")
    axes.contour(np.linspace(0, columns, width), np.linspace(0, rows, height), hook.masks[0] == 1, [0.5], colors="w")
    axes.set_axis_off()
    fig.colorbar(image, ax=axes, label="weight: raises h (+), lowers h (-)")
show.figure(
    fig,
    alt="Frame 0 in grey with the target's outline. For one marked cell on another rhino, memory cells on the target "
    "have positive weights, in blue, and a few cells on other rhinos negative ones, in red.",
)

# %% [markdown]
# The thief lies outside the object, so $L_{obj}$ wants its $h$, now {{h_thief:.2f}}, to fall. Descent takes its key
# *away* from the blue cells, which lie on the target, and *towards* the red ones, to which it gives some attention
# already: they lie on the rhinos that are not the target. Everything else has next to no say, as it gets next to no
# attention. And all cells pull at the *same* two convolutions.
#
# ## Fifty steps
# Now put it together. This is S0's whole method; the film used it with a loss that we mend below.

# %% tags=["check"]
card(exercises.tune)


# %% tags=["exercise"]
import copy


def tune(keys, seen, remembered, mask, losses=adaptation_losses, steps=50, rate=0.3):
    """Keys tuned on frame 0, and the way there.

    keys: a ModuleList of two convolutions (query, memory), frozen, which stay as they are. seen, remembered
    (1, C, h, w): what they are given of frame 0. mask (1, N), 0..1. losses(A, mask, mask) gives L_obj and L_bg, sums.
    Returns (a new ModuleList, [(alpha L_obj, L_bg) for each cell, before the first step .. after the last]).
    """
    # solution begin
    tuned = copy.deepcopy(keys).requires_grad_(True)
    descent = torch.optim.SGD(tuned.parameters(), rate)
    history, alpha = [], None
    for step in range(steps + 1):
        A = affinity(tuned[0](seen).flatten(2), tuned[1](remembered).flatten(2))
        L_obj, L_bg = (L.sum() / mask.shape[-1] for L in losses(A, mask, mask))
        alpha = balance(L_obj, L_bg) if alpha is None else alpha
        history.append([(alpha * L_obj).item(), L_bg.item()])
        if step < steps:
            descent.zero_grad()
            (alpha * L_obj + L_bg).backward()
            descent.step()
    return tuned.requires_grad_(False), history
    # solution end


# %% tags=["check", "nbval-check-output"]
check(exercises.tune, tune)
tune = chosen(exercises.tune, tune)

# %% [markdown]
# First, is it true that each loss alone has a cheap way out?

# %% tags=["ask"]
guess_alone = predict(
    "We minimise $L_{obj}$ alone, in frame 0. What happens?",
    {
        "right": "Look-alikes let go of the object, and the object keeps to itself.",
        "nobody": "Nobody reads much from the object any more, not even the object.",
        "all": "Everybody reads from the object.",
    },
    seed=1,
)


# %%
def alone(which):
    """S0-E3 with one of its two losses, 0 for L_obj and 1 for L_bg. (With no L_obj there is nothing to balance.)"""
    return lambda A, q, m: (torch.zeros(1), adaptation_losses(A, q, m)[which])


STEPS = max(5, round(50 * BUDGET))
started = time.perf_counter()
both, history = tune(generic, seen, remembered, m, steps=STEPS)
seconds = time.perf_counter() - started
pairs = {"as trained": generic, "L_obj alone": None, "L_bg alone": None, "both, balanced": both}
for which, name in enumerate(("L_obj alone", "L_bg alone")):
    pairs[name] = tune(generic, seen, remembered, m, alone(which), STEPS)[0]


# %% tags=["plot", "nbval-check-output"]
def on_groups(keys, clip, t, remembered, m):
    """Mean h in frame t over the cells of object, look-alikes and ground."""
    seen = see(clip, t)[-1]
    h = object_heatmap(attend(keys, seen, remembered), m)[0].cpu()
    cells = to_cells(clip.masks[t], seen.shape[-2:])
    groups = torch.stack([cells[1], cells[2:].sum(0), cells[0]])
    return (groups @ h / groups.sum(1)).nan_to_num().tolist()


frame_0 = {name: on_groups(keys, hook, 0, remembered, m) for name, keys in pairs.items()}
table(
    [
        {"minimised": name} | dict(zip(("h on object", "on look-alikes", "on ground"), found, strict=True))
        for name, found in frame_0.items()
    ],
    digits=3,
)
left = frame_0["L_obj alone"][0] / frame_0["as trained"][0]
guess_alone.reveal(
    "nobody" if left < 0.85 else "right", "Not to read from the object at all is the cheapest way not to read wrongly."
)

# %% [markdown]
# With $L_{obj}$ alone the object's own $h$ falls from {{h_object:.2f}} to {{h_object_alone:.2f}}: everything becomes
# background. With $L_{bg}$ alone the ground's rises from {{h_ground:.3f}} to {{h_ground_alone:.3f}}: everything becomes
# object. Only together do they ask for what we want.
#
# ## Break it
# Frame 0 is what the loss sees. Below is a *late* frame, which it never sees. Turn the rate. At which one does the late
# frame get better, and at which does the method break?


# %% tags=["plot"]
def breaking(clip, start, tune, generic, steps, on_groups, see, heat_panel):
    """The two losses over the steps, and the heat of a late frame, at one rate."""
    seen, remembered, _, m = start
    late = len(clip) - 4 if len(clip) > 6 else len(clip) - 1

    @functools.lru_cache(maxsize=32)
    def at(rate):
        keys, history = tune(generic, seen, remembered, m, steps=steps, rate=rate)
        h = object_heatmap(attend(keys, see(clip, late)[-1], remembered), m)[0]
        return np.array(history).T * 1000, h, on_groups(keys, clip, late, remembered, m)

    @show.style()
    def draw(rate):
        curves, h, on = at(float(rate))
        fig = Figure((8.2, 2.6))
        left, right = fig.subplots(1, 2, width_ratios=(1, 1.5))
        for name, curve, tone in zip(("α L_obj", "L_bg"), curves, show.TONES, strict=False):
            left.plot(curve, color=tone)
            left.annotate(name, (steps, curve[-1]), (4, 0), textcoords="offset points", color=tone, va="center")
        left.set(xlabel="step", ylabel="loss a cell, thousandths", ylim=(0, None), xlim=(0, steps * 1.35))
        right.imshow(heat_panel(clip, late, h))
        right.set_title(f"frame {late}: h on object {on[0]:.2f}, on look-alikes {on[1]:.2f}")
        right.set_axis_off()
        return show.figure(
            fig,
            alt=f"At rate {rate} the loss alpha L_obj goes from {curves[0][0]:.0f} to {curves[0][-1]:.0f} thousandths "
            f"and L_bg from {curves[1][0]:.0f} to {curves[1][-1]:.0f}. Beside them the heat of frame {late}: "
            f"{on[0]:.2f} on the object, {on[1]:.2f} on look-alikes.",
        )

    return Sliders(draw, rate=["0.3", "0.01", "0.1", "1", "3", "10"])


breaking(hook, (seen, remembered, values, m), tune, generic, STEPS, on_groups, see, heat_panel)

# %% [markdown]
# At the rate 0.3 $L_{obj}$ falls at once, and $L_{bg}$ rises before it falls. In frame {{late}}, which no step has
# seen, look-alikes go from h = {{alike_before:.2f}} to {{alike_after:.2f}} and the object from {{object_before:.2f}} to
# {{object_after:.2f}}. It is the *way to look* that was tuned, so it can hold in other frames. At 0.01 fifty steps do
# not lead far: $L_{obj}$ has fallen, $L_{bg}$ has risen a little. At 3 the object has {{object_3:.2f}}; look at the
# look-alikes there, too.
#
# At 10 the target is lost, and h on the object is {{object_gone:.2f}}. A step was so long that all attention went to
# one side, where every $a_j (m_j - h)$ is nearly zero, and no gradient leads back. The paper's printed recipe, sums at
# a rate of 1, takes such steps: {{to deeper}}.
#
# ## What does J say?
# A heatmap is not a mask. Let the decoder paint, on the first {{clips}} of these twins, with frame 0 as the only
# memory. Each frame is then answered by itself, so four frames of each clip will do.

# %%
TIMES = range(3, min(len(clip) for clip in twins), 6)
starts = [begin(clip) for clip in twins]
ways = {"as trained": [generic] * len(twins)}
ways["S0-E3"] = [
    tune(generic, seen, remembered, m, steps=STEPS)[0] for seen, remembered, _, m in progress(starts, "fifty steps")
]


def by_keys(name):
    """A way to make an affinity: with the keys of that name, of each clip its own."""
    return lambda i, at8: attend(ways[name][i], at8, starts[i][1])


@torch.no_grad()
def J_of(way):
    """Mean J of each clip over `TIMES`, if frames are read with A = way(number of the clip, at8)."""
    J = np.zeros((len(twins), len(TIMES)))
    for (i, clip), (k, t) in ((a, b) for a in enumerate(twins) for b in enumerate(TIMES)):
        at2, at4, at8 = see(clip, t)
        read = read_memory(way(i, at8), starts[i][2])
        logits = net.decode(Query(None, net.query_value(at8), at4, at2), read)
        J[i, k] = metrics.jaccard(clip.masks[t] == 1, (resize(logits, clip.size)[0, 0] > 0).cpu().numpy())
    return J.mean(1)


# %%
J_trained = J_of(by_keys("as trained"))


def compared(name, J):
    """What J (one number a clip) gains over the trained keys, with its 95 % interval, clips won and lost."""
    gain = J - J_trained
    low, high = interval(gain) if len(gain) > 1 else (gain[0], gain[0])
    won, lost = int((gain > 0).sum()), int((gain < 0).sum())
    return {"step": name, "gain": gain.mean(), "low": low, "high": high, "won": won, "lost": lost}


J_S0 = J_of(by_keys("S0-E3"))
by_S0 = compared("S0-E3", J_S0)
print(f"J as trained {J_trained.mean():.3f}; S0-E3 changes it by {by_S0['gain']:+.3f}")
print(f"clips won: {by_S0['won']}, lost: {by_S0['lost']}")

# %% [markdown]
# On the rhinos the heat did what the loss asked, in a frame that it never saw. And J? It does *not* rise: it changes by
# {{S0_gain:+.3f}} [{{S0_low:+.3f}}, {{S0_high:+.3f}}], with {{S0_won}} clips won and {{S0_lost}} lost. (The film, and
# your first guess, are about the mended loss below.) Stop here, and think: how can a better heatmap fail to make better
# masks?
#
# ## Places or totals?
# Rows of $A$ sum to one, so $L_{bg} = \sum_i m_i (1 - h_i)$: **both losses see $A$ only through $h$.** What they do not
# see may have gone wrong. There are two suspects.
#
# - **Places.** *Which* cell of the object is read costs nothing. A tuned leg may match a head: both are object.
# - **Totals.** How much is read from the inside of the object, from its border, and from outside.
#
# We can try them one at a time: take the totals over these three parts of the memory from one pair of keys, and the
# places inside each part from the other.

# %% tags=["ask"]
guess_suspect = predict(
    "Which half of the tuned affinity costs more J, beside trained keys?",
    {
        "places": "The places: a leg that reads a head gets the wrong values.",
        "totals": "The totals: somewhere, too much or too little is read.",
        "alike": "Both cost about the same, within 0.01.",
    },
    seed=1,
)


# %%
def parts(m):
    """Memory cells wholly in the object, on its border, and outside: (3, M) of 0 and 1."""
    return torch.stack([m > 0.999, (m > 0) & (m <= 0.999), m == 0]).float()


def mixed(totals, places, parts=parts):
    """A way to make an affinity: totals over parts of the memory from one pair of keys, places from another."""

    def way(i, at8):
        A, B = by_keys(totals)(i, at8), by_keys(places)(i, at8)
        within = [B * part for part in parts(starts[i][3][0])]
        whole = [(A * part).sum(-1, keepdim=True) for part in parts(starts[i][3][0])]
        return sum(t * w / w.sum(-1, keepdim=True).clamp_min(1e-9) for t, w in zip(whole, within, strict=True))

    return way


def object_or_not(m):
    """Two parts alone: whatever is object, border included, and the rest."""
    return torch.stack([m > 0, m == 0]).float()


suspects = [
    by_S0,
    compared("its places alone", J_of(mixed("as trained", "S0-E3"))),
    compared("its totals alone", J_of(mixed("S0-E3", "as trained"))),
    compared("its totals, border as trained", J_of(mixed("S0-E3", "as trained", object_or_not))),
]

# %% tags=["plot"]
by_places, by_totals, by_object = (row["gain"] for row in suspects[1:])
guess_suspect.reveal(
    "alike" if abs(by_places - by_totals) < 0.01 else "places" if by_places < by_totals else "totals",
    "No single half explains it.",
)
show.forest(
    suspects,
    xlabel=f"change of mean J ({len(twins)} clips, four frames each)",
    alt="Forest plot of what S0-E3 changes of J. All four rows lie below zero, the places alone least; all intervals "
    "include it.",
)

# %% [markdown]
# Neither half explains it alone. Tuned *totals* change J by {{by_totals:+.3f}}, tuned *places* by {{by_places:+.3f}};
# on so few clips neither can be told from zero, nor from the other. In the last row only the division between object
# and rest is tuned, and the object's border keeps the share of it that trained keys give; that changes nothing. So look
# at the loss itself. What does it *ask* for?
#
# ## The border
# With soft masks, what row $i$ pays is
#
# $$\ell_i = \alpha (1 - m_i)\, h_i + m_i\, (1 - h_i), \qquad \frac{d \ell_i}{d h_i} = \alpha (1 - m_i) - m_i$$
#
# a *straight line* in $h_i$. It is lowest at one of its ends, $h_i = 0$ or $h_i = 1$, so for a border cell never at
# $h_i = m_i$. So a border cell that finds exactly itself is charged, and descent pushes it to somewhere pure: one that
# is a quarter object towards $h = 0$, one of three quarters towards $h = 1$. (Exactly half is hardly pushed.) But
# border cells are what the decoder draws outlines from: their values say *here it ends*. On our clips {{border:.0%}} of
# the cells that the target touches are border. (S0's masks are soft as well, "mask values are floats". Its objects are
# larger in cells, so it may matter less there.)
#
# The cure is to let a cell read from the object what its own mask says, and to charge only what goes **beyond**. This
# is ours, not the paper's. A student wrote it down, and something is wrong with it. For trained keys:

# %% tags=["check"]
for name, losses in {"S0-E3": adaptation_losses, "the student's": exercises.mend_excess.faulty}.items():
    print(f"{name:14} L_obj {losses(A, m, m)[0].item():5.2f}   L_bg {losses(A, m, m)[1].item():5.2f}")
print(f"{'difference':14} L_obj {(m * (1 - m)).sum():5.2f}   L_bg {(m * (1 - m)).sum():5.2f}")
card(exercises.mend_excess)


# %% tags=["exercise"]
def mend_excess(A, query_mask, memory_mask):
    """L_obj and L_bg of what goes beyond the mask, plain sums; shapes as in adaptation_losses."""
    beyond = object_heatmap(A, memory_mask) - query_mask
    L_obj = ((1 - query_mask) * beyond).sum(-1).clamp_min(0)
    L_bg = (query_mask * -beyond).sum(-1).clamp_min(0)
    return L_obj, L_bg


# solution begin
unmended, mend_excess = mend_excess, exercises.mend_excess.reference  # ours: each cell is clamped, and summed last
# solution end

# %% tags=["check", "nbval-check-output"]
check(exercises.mend_excess, mend_excess)

# %% [markdown] tags=["solution"]
# "Never below zero" has to happen to each cell, before the sum. Else the sum is that of S0-E3 less $\sum_i m_i (1 -
# m_i)$, a constant: no gradient changes. A border cell that reads too little makes up for a thief. (On masks of 0 and 1
# the mended loss is S0-E3 itself, as you can check.)

# %% tags=["plot"]
heat = torch.linspace(0, 1, 101)
two = torch.stack([heat, 1 - heat], -1)[:, None]  # one query cell, two memory cells: one in the object, one not
cell, memory = torch.full((101, 1), 0.5), torch.tensor([1.0, 0.0]).expand(101, 2)
alpha = leaks[1] / leaks[0]
charges = {
    name: (alpha * losses(two, cell, memory)[0] + losses(two, cell, memory)[1]).numpy()
    for name, losses in {"S0-E3": adaptation_losses, "excess": excess_losses}.items()
}
with show.style():
    fig = Figure((8.2, 2.5))
    axes = fig.subplots()
    for (name, paid), tone in zip(charges.items(), show.TONES, strict=False):
        axes.plot(heat, paid, color=tone)
        axes.annotate(name, (1, paid[-1]), (6, 0), textcoords="offset points", color=tone, va="center")
    axes.axvline(0.5, color=show.INK, lw=1, ls=":")
    axes.annotate("it finds itself", (0.5, 0.33), (5, 0), textcoords="offset points")
    axes.set(xlabel="h of a cell that is half object", ylabel="what it pays", ylim=(0, None), xlim=(0, 1.15))
show.figure(
    fig,
    alt="What a cell that is half object pays over its h. With S0-E3 a straight line that is nowhere zero; with the "
    "excess losses two arms that meet at zero where h is one half.",
)

# %% [markdown]
# A cell that is half object pays nothing at $h = 0.5$ now, and something on either side. An explanation must pass a
# test: the two losses differ only in what they ask of border cells (and a little in $\alpha$), so if that was the
# fault, J should come back.

# %%
ways["excess"] = [
    tune(generic, seen, remembered, m, excess_losses, STEPS)[0]
    for seen, remembered, _, m in progress(starts, "fifty steps")
]
J_excess = J_of(by_keys("excess"))
by_excess = compared("excess", J_excess)


# %% tags=["plot"]
@torch.no_grad()
def from_border(name):
    """The share that the object reads from border cells of the memory, over clips and `TIMES`."""
    found = []
    for i, clip in enumerate(twins):
        border = parts(starts[i][3][0])[1:2].cpu()
        for t in TIMES:
            at8 = see(clip, t)[-1]
            on = to_cells(clip.masks[t], at8.shape[-2:])[1:2]
            if on.sum() > 0.5:
                A = by_keys(name)(i, at8)[0].cpu()
                found.append(affinity_shares(A, on, border).item())
    return float(np.mean(found))


border_read = {name: from_border(name) for name in ways}
gains = np.sort(J_excess - J_trained)
guess_won.reveal(
    "all" if by_excess["won"] > 10 else "most" if by_excess["won"] > 7 else "half",
    f"{by_excess['won']} of {len(twins)}, each dot below is one.",
)
with show.style():
    fig = Figure((8.2, 1.9))
    axes = fig.subplots()
    axes.axvline(0, color=show.INK, lw=1)
    for gain in J_excess - J_trained:
        axes.plot(
            gain,
            0.02 * (np.searchsorted(gains, gain) % 3),
            "o",
            ms=9,
            alpha=0.8,
            mec="none",
            color=show.TONES[0 if gain > 0 else 1],
        )
    first = (J_excess - J_trained)[SEED % len(twins)]
    axes.annotate(
        "the rhinos",
        (first, 0.02 * (np.searchsorted(gains, first) % 3)),
        (0, 20),
        ha="center",
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": show.INK},
    )
    axes.set(xlabel="gain in J, one dot a clip", ylim=(-0.03, 0.12), yticks=())
    axes.spines["left"].set_visible(False)
show.figure(
    fig,
    alt=f"A dot for each of {len(twins)} clips on a line of gains, from {gains[0]:.2f} to {gains[-1]:.2f}; "
    f"{by_excess['won']} lie above zero, that of the rhinos among them.",
)

# %% [markdown]
# It passes, as far as these clips tell. The object reads {{border_trained:.2f}} of its attention from border cells with
# trained keys, {{border_S0:.2f}} with S0-E3, and {{border_excess:.2f}} with the excess losses. Beside S0-E3, J rises by
# {{beside_gain:+.3f}} [{{beside_low:+.3f}}, {{beside_high:+.3f}}]. What a border cell is asked for decides. Beside
# trained keys it is {{excess_gain:+.3f}}, with {{excess_won}} clips won and {{excess_lost}} lost. Zero is just inside
# the interval [{{excess_low:+.3f}}, {{excess_high:+.3f}}]; on all {{stored_clips}}, all frames, it was
# {{old_twins_static:+.3f}} and clear of zero.
#
# The rhinos are third from the right: on these four frames they gain less than over the whole clip. Here is the left
# end, the clip that loses most.

# %% tags=["plot"]
worst = twins[int(np.argmin(J_excess - J_trained))]
films, J_worst = follow(worst)
show.film(
    worst.frames,
    films,
    fill=0.25,
    columns=2,
    limit=500_000,
    alt="The clip that loses most, twice: green caterpillars, one of which crawls in front of the target. As "
    "trained, the outline keeps most of the target and lands on bits of others. Tuned, it keeps less: the head "
    "is lost, and for some frames nearly everything.",
)

# %% [markdown]
# A caterpillar crawls in front of the target. Tuned keys let the others go, and most of the target too: over the whole
# clip J falls from {{worst_plain:.2f}} to {{worst_tuned:.2f}}. Tuning is made for frame 0; what is good there can be
# bad later.
#
# From here on "tuned" means the excess losses; they are the default of `matching+context`, and `loss=leak` is S0-E3.
#
# ## Any fifty steps?

# %% tags=["check"]
card(exercises.control)

# %% tags=["exercise"]
my_control = ""
# solution begin
my_control = exercises.control.reference
# solution end

# %% tags=["check"]
check(exercises.control, my_control)

# %% [markdown]
# Here is the experiment, stored, for both matchers. The *wrong mask* is the right one, moved sideways by half the
# picture, in one arm for the memory encoder and the loss, in another for the loss alone. *Another clip* lends its first
# frame and its mask. Steps, rate and loss are the same in all arms, and afterwards the memory holds the true mask.

# %% tags=["ask"]
guess_wrong = predict(
    "Old matcher, toy twins, and the loss gets a wrong mask while the memory has the right one: what happens to J?",
    {
        "lose": "It falls by more than 0.02: the keys learn to tell the wrong things apart.",
        "none": "It stays within 0.02.",
        "gain": "It rises as well, by more than 0.02.",
    },
    seed=0,
)

# %% tags=["plot"]
ARMS = {
    "its own mask": "own",
    "a wrong mask": "wrong",
    "a wrong mask, in the loss alone": "in_the_loss",
    "another clip's first frame": "other",
}
study = json.loads((RESULTS / "s0.json").read_text())["rows"]
on_twins = {(row["part"], row["matcher"], row["what"]): row for row in study if row["list"] == "toys twins"}
controls = {(matcher, arm): on_twins["controls", matcher, arm] for matcher in ("old", "new") for arm in ARMS}
wrong = controls["old", "a wrong mask, in the loss alone"]["gain"]
guess_wrong.reveal("gain" if wrong > 0.02 else "lose" if wrong < -0.02 else "none", "There are two ways to gain.")
show.forest(
    list(controls.values()),
    label=lambda row: f"{row['matcher']} matcher, {row['what']}",
    xlabel=f"gain in mean J over trained keys (toys, {controls['old', 'a wrong mask']['clips']} twins)",
    alt="Forest plot of the gain of keys that were tuned with their own mask, with a wrong mask, and with another "
    "clip's first frame, for the old matcher and the new one.",
)

# %% [markdown]
# **The colleague is half right.** On the old matcher the right mask gains {{old_own_gain:+.3f}} [{{old_own_low:+.3f}},
# {{old_own_high:+.3f}}] (20 steps, every third frame; hence not the number above). A mask that is wrong, in the loss
# alone, gains {{old_in_the_loss_gain:+.3f}} [{{old_in_the_loss_low:+.3f}}, {{old_in_the_loss_high:+.3f}}]: about as
# much (each beside trained keys, not beside one another). But not any fifty steps do: another clip's frame, also of
# toys, with its own right mask changes J by {{old_other_gain:+.3f}}, and zero is in the interval. So it is *this
# picture* that the keys have to get to know. Which part of it the loss calls object hardly shows in J.
#
# Why? To satisfy any mask of frame 0, cells must find their like in the same picture more surely than before. That is a
# guess. Yet the mask is not harmless: if the memory encoder gets the wrong mask too, J changes by
# {{old_wrong_gain:+.3f}}. The encoder marks cells as inside or outside, the keys learn to go by wrong marks, and with
# the right mask in memory they go astray.
#
# S0 says that adaptation helps "to bridge the gap between training and testing data", and that it is "able to handle
# distracting objects". Ours gets to know the picture. That it learned who is who, we cannot show.

# %% [markdown]
# ## Measure: three worlds, two matchers
# Ten to twenty clips a list, all frames, object 1; the excess losses at their defaults, which were chosen on other
# clips. *Static* is a memory of frame 0 alone, *updated* is lesson 01's. The ticks are S0's gains on OVIS, real clips
# full of look-alikes, with a matcher of its own. Table 1 there: {{paper_static:+.3f}} static and {{paper_updated:+.3f}}
# updated.

# %% tags=["plot"]
stored = json.loads((RESULTS / "worlds.json").read_text())["rows"]
found = {(row["world"], row["list"], row["step"]): row for row in stored if "step" in row}
LISTS = {
    "toys, twins": ("toys", "twins"),
    "toys, easy": ("toys", "easy"),
    "real video": ("real", "report"),
    "real, look-alike pasted in": ("real", "lookalikes_report"),
    "creatures": ("creatures", "all"),
}
MATCHERS = {"old": "S0 on creatures' backbone", "new": "S0"}
PAPER = {"static": 0.4385 - 0.397, "updated": 0.4462 - 0.4081}
measured = {
    (matcher, name, memory): found[(*where, f"{step}, {memory} memory")]
    for matcher, step in MATCHERS.items()
    for name, where in LISTS.items()
    for memory in PAPER
}
show.forest(
    [
        row
        | {"name": f"{matcher}: {name} ({row['clips']}), {memory}"}
        | ({"paper": PAPER[memory]} if name == "toys, twins" else {})
        for (matcher, name, memory), row in measured.items()
    ],
    label="name",
    xlabel="what tuning on frame 0 adds to mean J",
    alt="Forest plot of twenty comparisons. The old matcher gains, clear of zero, on toy twins, "
    "on easy toys and on real video, static and updated; not on real clips with a pasted look-alike, nor on creatures. "
    "The new matcher gains nothing that can be told from zero, or next to nothing, in any world.",
)

# %% [markdown]
# **The old matcher.** On toy twins it gains {{old_twins_static:+.3f}} and {{old_twins_updated:+.3f}} (the paper's
# numbers lie inside both intervals), on easy toys {{old_easy_static:+.3f}} and {{old_easy_updated:+.3f}}, on real video
# {{old_real_static:+.3f}} and {{old_real_updated:+.3f}}; all these intervals are clear of zero. On creatures, among
# which it grew up, the gains cannot be told from zero. On real clips with a pasted look-alike there is none,
# {{old_pasted_static:+.3f}} and {{old_pasted_updated:+.3f}}: it has J {{old_pasted_J:.2f}} there with and without, and
# we do not know why.
#
# **The new matcher: a miss.** We wanted +0.05 on toy twins and on both real lists. It gains {{new_twins_static:+.3f}}
# and {{new_twins_updated:+.3f}} on twins, with intervals that include zero and the paper's numbers as well,
# {{new_real_static:+.4f}} and {{new_real_updated:+.4f}} on real video, and {{new_pasted_static:+.3f}} and
# {{new_pasted_updated:+.3f}} with a pasted look-alike. Nowhere does it lose clearly.
#
# **The price** is paid once, in frame 0: on one core {{cost_old:.1f}} s with the old matcher, and {{cost_new:.1f}} s
# with the new one, whose frames have more cells and more channels. That is a second miss: we wanted under 1 s. Later
# frames cost what they did.
#
# ## Why the new matcher gains so little
# **Frame 0 has nothing left to teach it.** Of the attention of a thousand cells, {{leak_old_frame:.0f}} cells' worth
# goes astray in frame 0 with the old matcher, and {{leak_new_frame:.0f}} with the new one (the excess losses,
# {{leak_clips}} clips of toy twins). In *later* frames, seen with their true masks, the two leak alike:
# {{leak_old_later:.0f}} and {{leak_new_later:.0f}}. Tuning takes the old one's later leak to
# {{leak_old_later_tuned:.0f}}, the new one's to {{leak_new_later_tuned:.0f}}. In frame 0 the new matcher tells each
# twin from the others; what confuses it comes later, and no loss on frame 0 sees that.
#
# **Its keys are already good.** The backbone alone is not the reason. On six real clips with a pasted look-alike the
# same network after 200 steps of training, its keys begun at random, gained {{few_static:+.3f}} static and
# {{few_updated:+.3f}} updated, both clear of zero; after 1,600 steps, its keys begun as features, {{more_static:+.3f}},
# not clear. Start and training differ at once, so we cannot say which counts.
#
# **A low score is not what makes a gain.** With frame 0 as the only memory the new matcher has {{new_twins_J:.2f}} on
# twins and gains nothing clear; the old one has {{old_easy_J:.2f}} on easy toys and gains. And with the true masks of
# frames from all along a clip, which no tracker has, the old one's two convolutions gained {{told:+.2f}} among
# creatures. So in the old one's there is room that frame 0 does not reach; the new one's we did not measure.
#
# ## What we now know
# - S0-E3 charges what leaks between object and background in frame 0. Both halves are needed, and $\alpha$ lets them
#   start equal. One cell's gradient is $s \sum_j a_j (m_j - h)\, k_j$.
# - A loss gets what it asks for. S0-E3 does not see places, and with soft masks it wants border cells to be pure.
#   Charging only what goes beyond the mask mends the second, and makes a difference of {{beside_gain:.2f}} in J.
# - On toy twins, which are strange to it, the old matcher gains {{old_twins_static:.2f}} to {{old_twins_updated:.2f}}
#   by half a second of tuning (the paper, elsewhere, {{paper_static:.2f}}); on real video {{old_real_static:.2f}}, with
#   a pasted look-alike nothing.
# - Ask why. With a wrong mask in the loss it gains about as much, with another clip's frame nothing: this picture
#   teaches, and who is who does not show.
# - A matcher with good keys hardly leaks in frame 0, so frame 0 cannot teach it; later it leaks all the same.
#
# **Next: {{to after}}.** Here the *keys* learned from the first frame, and a frozen decoder had to live with it. In the
# next lessons something new is fitted to the target itself, and goes on learning in later frames.
#
# <small>**References.** S0: I. Dubuisson, D. Muselet, C. Ducottet, J. Lang, *Context Adaptation for Video Object
# Segmentation*, sections 3.2 to 4.3, tables 1 and 2. SwiftNet: H. Wang and others, CVPR 2021. OVIS: J. Qi and others,
# *Occluded Video Instance Segmentation: A Benchmark*, IJCV 2022. Toys: Fluent Emoji, Microsoft, MIT licence.</small>

# %% tags=["hold"]
late = len(hook) - 4
before_late, after_late = (on_groups(keys, hook, late, remembered, m) for keys in (generic, both))
collapsed, way_down = tune(generic, seen, remembered, m, steps=STEPS, rate=10.0)
gone = on_groups(collapsed, hook, late, remembered, m)
fast = on_groups(tune(generic, seen, remembered, m, steps=STEPS, rate=3.0)[0], hook, late, remembered, m)
board = {row["name"]: row for row in show.scoreboard("matching + context").rows}
numbers(
    clips=len(twins),
    rank=1 + int((J_excess - J_trained > (J_excess - J_trained)[SEED % len(twins)]).sum()),
    J_plain=J_rhinos["as trained"],
    J_tuned=J_rhinos["tuned"],
    board_context=board["matching + context"]["toys, twins"]["J"],
    board_matching=board["matching"]["toys, twins"]["J"],
    board_context_real=board["matching + context"]["real video"]["J"],
    board_matching_real=board["matching"]["real video"]["J"],
)
numbers(
    L_obj=leaks[0],
    L_bg=leaks[1],
    h_thief=h[thief].item(),
    h_object=frame_0["as trained"][0],
    h_object_alone=frame_0["L_obj alone"][0],
    h_ground=frame_0["as trained"][2],
    h_ground_alone=frame_0["L_bg alone"][2],
    late=late,
    alike_before=before_late[1],
    alike_after=after_late[1],
    object_before=before_late[0],
    object_after=after_late[0],
    object_gone=gone[0],
    object_3=fast[0],
)
hold("fifty steps take about half a second, on a busy machine a few times that", seconds, high=3.0, clock=True)
if (DATASET, SPLIT, SEED) == ("toys", "test-large", 0) and BUDGET >= 1 and MAX_CLIPS >= 12:
    hold("excess gains more than S0-E3", by_excess["gain"] - by_S0["gain"], low=0.03)
    hold("excess gains", by_excess["gain"], low=0.01)
    hold("a rate of 10 loses the target", gone[0], high=0.05)
    hold("L_obj alone: what is left of h on the object", left, high=0.85)
pays_obj, pays_bg = (charge[0] for charge in pays.values())
border = np.mean([(parts(start[3][0])[1].sum() / (start[3] > 0).sum()).item() for start in starts])
numbers(
    S0_won=by_S0["won"],
    S0_lost=by_S0["lost"],
    **{f"S0_{key}": by_S0[key] for key in ("gain", "low", "high")},
    beside_gain=(J_excess - J_S0).mean(),
    beside_low=interval(J_excess - J_S0)[0] if len(twins) > 1 else 0.0,
    beside_high=interval(J_excess - J_S0)[1] if len(twins) > 1 else 0.0,
    thieves_pay=(pays_obj * companions).sum() / pays_obj.sum(),
    border_pays=(pays_bg * parts(m[0])[1]).sum() / pays_bg.sum(),
    **{f"excess_{key}": by_excess[key] for key in ("gain", "low", "high", "won", "lost")},
    by_places=by_places,
    by_totals=by_totals,
    by_object=by_object,
    border=border,
    border_trained=border_read["as trained"],
    border_S0=border_read["S0-E3"],
    border_excess=border_read["excess"],
    worst_plain=J_worst["as trained"],
    worst_tuned=J_worst["tuned"],
)
short = {"toys, twins": "twins", "toys, easy": "easy", "real video": "real", "creatures": "creatures"}
short["real, look-alike pasted in"] = "pasted"
numbers(
    **{f"{matcher}_{short[name]}_{memory}": row["gain"] for (matcher, name, memory), row in measured.items()},
    old_pasted_J=measured["old", "real, look-alike pasted in", "static"]["J_before"],
    stored_clips=measured["old", "toys, twins", "static"]["clips"],
    old_static=measured["old", "toys, twins", "static"]["J_before"],
    old_static_tuned=measured["old", "toys, twins", "static"]["J_after"],
    old_updated=measured["old", "toys, twins", "updated"]["J_before"],
    old_updated_tuned=measured["old", "toys, twins", "updated"]["J_after"],
    paper_static=PAPER["static"],
    paper_updated=PAPER["updated"],
)
for (matcher, what), row in controls.items():
    numbers(**{f"{matcher}_{ARMS[what]}_{key}": row[key] for key in ("gain", "low", "high")})
premise = {(row["steps"], row["memory"]): row for row in json.loads((RESULTS / "premise.json").read_text())["rows"]}
numbers(
    few_static=premise["200", "static"]["gain"],
    few_updated=premise["200", "updated"]["gain"],
    more_static=premise["1600", "static"]["gain"],
    new_twins_J=measured["new", "toys, twins", "static"]["J_before"],
    old_easy_J=measured["old", "toys, easy", "static"]["J_before"],
)
ablation = json.loads((RESULTS / "context_ablations.json").read_text())["rows"]
(told,) = (row for row in ablation if row["setting"] == "frames all along")
numbers(told=told["gain"])
cost = {row["matcher"]: row["seconds"] for row in study if (row["part"], row["what"]) == ("cost", "as shipped")}
leak = {(m, t): on_twins["leaks", m, f"leak, {t}"] for m in ("old", "new") for t in ("frame 0", "later frames")}
numbers(
    cost_old=cost["old"],
    cost_new=cost["new"],
    leak_clips=leak["old", "frame 0"]["clips"],
    **{f"leak_{m}_{t[:5]}": row["without"] for (m, t), row in leak.items()},
    **{f"leak_{m}_{t[:5]}_tuned": row["with"] for (m, t), row in leak.items()},
)
hold(
    "in frame 0 the new matcher leaks far less",
    leak["new", "frame 0"]["without"] < leak["old", "frame 0"]["without"] / 3,
)
