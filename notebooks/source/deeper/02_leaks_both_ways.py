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
# # Leaks in both directions
#
# *Goes deeper than* {{to core}}. There we followed heat that look-alikes steal. Here is the other direction, the part
# of it that is nobody's fault, and a measurement of two choices in which paper and code differ.
#
# <small>To read: {{read}}. To run: {{run}}. The numbers in the text are those of the run that is shipped.</small>

# %% tags=["parameters", "setup"]
DATASET = "toys"
SPLIT = "test"
MAX_CLIPS = 1
DEVICE = "auto"
SEED = 0
BUDGET = 1.0

# %% tags=["setup"]
import torch

from vosnb import show
from vosnb.course.cells import coverage, late_frames, whole_cells
from vosnb.course.classroom import device, estimate, hold, numbers, table
from vosnb.datasets import load
from vosnb.features import to_image
from vosnb.methods.context import affinity_shares, heat_shares, object_heatmap
from vosnb.methods.matching import affinity
from vosnb.trackers import make_tracker

loaded = load(DATASET, SPLIT)
twins = [clip for clip in loaded if clip.info.get("difficulty") == "twins"] or loaded
clip = whole_cells(twins[SEED % len(twins)], 240)
dev = device(DEVICE)
tracker = make_tracker("matching", backbone="photos", memory="first", device=dev)
net, look = tracker.net, tracker.photos
last = late_frames(clip)[0]
mask = torch.from_numpy(clip.masks[0] == 1).float()[None, None].to(dev)
with torch.no_grad():
    memory_key = net.encode_memory(look(to_image(clip.frames[0], dev)[None]), mask, 0 * mask)[0][0].cpu()
    keys = {t: net.encode_query(look(to_image(clip.frames[t], dev)[None])).key[0].flatten(1).cpu() for t in (0, last)}
on = {t: coverage(clip, t) for t in keys}
A = {t: affinity(key, memory_key) for t, key in keys.items()}

# %% [markdown]
# ## The reversed analysis
# The heat $h_i$ says what a cell reads from the object. What a cell *of* the object reads from elsewhere is the other
# leak. S0 speaks of it at the beginning of section 3.3: "A reversed analysis could show that some object pixels in the
# query may be similar to some background pixels in the memory." The sum now runs over all that is not the object:


# %% tags=["package"]
def background_heatmap(A: torch.Tensor, memory_mask: torch.Tensor) -> torch.Tensor:
    """What each query cell reads from outside the object, sum_j (1 - m_j) A_ij; shapes as in object_heatmap."""
    return object_heatmap(A, 1 - memory_mask)


# %% tags=["plot"]
rows, columns = (side // 8 for side in clip.size)
inside = {t: (on[t][0] * background_heatmap(A[t], on[0][0])).view(rows, columns).numpy() for t in A}
show.Photo(
    show.tiled(
        [
            show.heat_over(clip.frames[t], inside[t], (clip.masks[t] == 1).astype("uint8"), scale=450 / clip.size[1])
            for t in A
        ],
        [f"frame {t}: object reads elsewhere" for t in A],
    ),
    alt="Frame 0 and the last frame. Bright cells of the target read from elsewhere: in frame 0 along its border, "
    "in the "
    "last frame also in large patches of its body.",
)

# %% tags=["hold"]
out = {t: affinity_shares(A[t], on[t][:1], torch.stack([on[0][0], 1 - on[0][0]]))[0, 1].item() for t in A}
into = {t: affinity_shares(A[t], 1 - on[t][:1], on[0][:1])[0, 0].item() for t in A}
floor = ((on[0][0] * (1 - on[0][0])).sum() / on[0][0].sum()).item()
perfect = affinity_shares(torch.eye(len(on[0][0])), on[0][:1], torch.stack([on[0][0], 1 - on[0][0]]))[0, 1].item()
hold("the floor is the leak of the identity", abs(perfect - floor) < 1e-5)
numbers(out0=out[0], out_late=out[last], into0=into[0], into_late=into[last], floor=floor)

# %% [markdown]
# In frame 0 a cell of the object reads {{out0:.2f}} from elsewhere, in the last frame {{out_late:.2f}}. A cell of all
# the rest reads only {{into0:.2f}} and {{into_late:.2f}} from the object. So, cell for cell, the object leaks far more.
# But there are many more cells outside, and in all the two are of one order. Whoever wants both to be small must see to
# it that one does not drown the other: in lesson 03 S0 weighs them so that they start out equal.
#
# ## The leak of a perfect match
# In frame 0 the bright cells lie along the border. Imagine the best memory there is: every cell of frame 0 finds
# exactly itself, and $A$ is the identity. Then $h_i = m_i$, and a cell that is half object still reads one half from
# the wrong side. Averaged over the object, the leak of a perfect match is
#
# $$\frac{\sum_i m_i (1 - m_i)}{\sum_i m_i}$$

# %% tags=["setup"]
guess = estimate("How much of the leak in frame 0 is this floor? (1: all of it)", 0, 1)

# %% tags=["check"]
guess.reveal(floor / out[0], "Small objects are mostly border.")

# %% [markdown]
# The floor is {{floor:.2f}}, against {{out0:.2f}} that were measured. A leak is to be compared with this floor, not
# with zero. (Something could go below it: a border cell that reads from pure cells of the object. Lesson 03 meets that,
# and it does harm.)
#
# ## Paper and code
# Two choices could change where affinity goes. S0-E1 has **no scale**; the code that S0 builds on divides by $\sqrt
# d$, and so do we. S0 keeps **every** memory cell; the public code of STCN keeps the **top 20** of each row. What does
# each choice do to the heat of the last frame?


# %%
def top_k(query_key, memory_key, k):
    """The affinity with all but the k best matches of each cell dropped."""
    products = query_key.T @ memory_key / len(query_key) ** 0.5
    best = products.topk(k, dim=-1)
    return torch.zeros_like(products).scatter_(-1, best.indices, best.values.softmax(-1))


q = keys[last]
choices = {
    "1 / sqrt(d), all cells": A[last],
    "no scale, as printed": affinity(q, memory_key, scale=1.0),
    "the best 20": top_k(q, memory_key, 20),
    "the best alone": top_k(q, memory_key, 1),
}

# %% tags=["nbval-check-output"]
heat = {name: heat_shares(object_heatmap(a, on[0][0]), on[last]) for name, a in choices.items()}
table([{"affinity": name, "on target": s[0].item(), "stolen": (s[1] + s[2]).item()} for name, s in heat.items()])

# %% tags=["hold"]
stolen = {name: (s[1] + s[2]).item() for name, s in heat.items()}
numbers(lowest=min(stolen.values()), highest=max(stolen.values()))

# %% [markdown]
# The share stolen lies between {{lowest:.2f}} and {{highest:.2f}} for all four. Dropping weak matches does not help
# in this frame, where nearly all weight lies on one match already, and a thief's match is not weak. A rule that sees
# the products of keys alone cannot tell twins apart if the keys do not.
#
# ## What we now know
# - The object leaks more for each of its cells than the rest does; in all, the two leaks are of one order.
# - A part of the leak is the floor of a soft mask, and no match goes below it unless it cheats at the border.
# - Scale and top-k are not what steals.
#
# Back to {{to core}}, or on to {{to 03}}.
