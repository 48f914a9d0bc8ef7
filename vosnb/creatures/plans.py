"""How each kind of creature is built.

A plan takes the species' generator (proportions), the individual's `own()` (a factor near one) and the split.
"""

import numpy as np

from vosnb.creatures.bodies import ACCENT, COAT, DARK, EYE, SECOND, THIRD, Body, Part, limb, oval, smooth
from vosnb.creatures.textures import banded


class _Builder:
    """Collects named parts; `body` orders them for drawing and resolves the names."""

    def __init__(self):
        self.parts = {}

    def add(self, name, outline, joint=(0.0, 0.0), parent="trunk", **more):
        """Add a part that turns about `joint` on its parent, if the body has that; `more` are fields of `Part`."""
        self.parts[name] = (Part(np.asarray(outline, np.float64), joint, **more), parent)

    def body(self, plan, order, details=(), **more) -> Body:
        """The body whose parts are drawn in this order (names; a name's prefix stands for all that begin so)."""
        drawn = [name for prefix in order for name in self.parts if name.startswith(prefix)]
        for name in drawn:
            part, parent = self.parts[name]
            part.parent = drawn.index(parent) if parent in drawn and parent != name else None
        details = tuple((drawn.index(name), *rest) for name, *rest in details)
        return Body(plan, [self.parts[name][0] for name in drawn], details=details, **more)


def _add_leg(build, name, x, y, length, width, knee=True, **motion):
    """A leg of two bones, or of one where it is short; its parts are `name` and `name shin`."""
    if not knee:
        build.add(name, limb(x, y, x, y + length, 1.3 * width, width), (x, y), **motion)
        return
    half = 0.5 * length
    build.add(name, limb(x, y, x, y + half, 1.5 * width, 1.1 * width), (x, y), **motion)
    motion = {**motion, "swing": 0.8 * motion["swing"], "phase": motion["phase"] - 1.2}
    shin = limb(x, y + half, x, y + length, 1.1 * width, 0.9 * width)
    build.add(name + " shin", shin, (x, y + half), name, rest=0.12, **motion)


def _add_quadruped(build, rng, own, split):
    depth = banded(rng, split, 0.26, 0.46) * own()
    leg, width = rng.uniform(0.25, 0.55) * own(), rng.uniform(0.11, 0.15)
    back, belly = rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.06)
    upper = [(-0.5, -0.3), (-0.3, -0.62), (0.0, back - 0.5), (0.35, -0.62), (0.52, -0.2)]
    lower = [(0.45, 0.4), (0.0, 0.5 + belly), (-0.42, 0.42)]
    build.add("trunk", smooth(np.array(upper + lower) * [1, depth]))
    tail, stiff = rng.uniform(0.2, 0.55), rng.uniform(-0.5, 1.1)
    root = np.array([-0.44, -0.3 * depth])
    tip = root + tail * np.array([-np.cos(stiff), np.sin(stiff)])
    build.add("tail", limb(*root, *tip, 0.11, rng.uniform(0.08, 0.15)), tuple(root), swing=0.35, rate=0.7, phase=0.4)
    swing, tone, length = rng.uniform(0.35, 0.6), rng.choice([COAT, COAT, SECOND]), leg + 0.25 * depth
    for name, x, phase in (
        ("far hind", -0.34, 0),
        ("far fore", 0.34, 2.6),
        ("near hind", -0.3, 3.1),
        ("near fore", 0.38, 5.6),
    ):
        shade = 0.7 if name.startswith("far") else 0.98
        _add_leg(
            build, name, x, 0.15 * depth, length, width, leg > 0.36, swing=swing, phase=phase, tone=tone, shade=shade
        )
    head, neck, lean = rng.uniform(0.15, 0.23) * own(), rng.uniform(0.12, 0.42), rng.uniform(0.2, 1.3)
    hx, hy = 0.42 + neck * np.cos(lean), -0.35 * depth - neck * np.sin(lean)
    throat = (0.36, -0.18 * depth)
    build.add("neck", limb(*throat, hx - 0.2 * head, hy, 0.62 * depth, 1.3 * head), throat, swing=0.12, phase=1.0)
    muzzle, ear = rng.uniform(0.9, 1.7), rng.uniform(0.6, 1.5)
    skull = [(-1, 0), (-0.5, -1), (0.4, -0.8), (muzzle, -0.05), (muzzle, 0.5), (0, 0.9)]
    at = np.array([hx, hy])
    tone = rng.choice([COAT, COAT, SECOND, THIRD])
    build.add("head", at + head * smooth(skull), (hx, hy), "neck", swing=0.15, phase=2.0, tone=tone)
    ears = smooth([(-0.75, -0.3), (-0.9, -0.6 - ear), (0, -0.75)], 1)
    build.add("ear", at + head * ears, (hx, hy), "head", swing=0.1, rate=2, tone=SECOND, shade=0.9)
    order = ["tail", "far", "trunk", "near", "neck", "ear", "head"]
    eye = ("head", hx + 0.25 * head, hy - 0.25 * head, max(0.05, 0.27 * head), EYE)
    nose = ("head", hx + 0.85 * muzzle * head, hy + 0.12 * head, 0.045, DARK)
    return order, (eye, nose), rng.uniform(0.28, 0.55)


def quadruped(rng, own, split) -> Body:
    """A walking four-legged animal with a neck, a head with ears and a muzzle, and a tail."""
    build = _Builder()
    order, details, stride = _add_quadruped(build, rng, own, split)
    return build.body("quadruped", order, details, stride=stride)


def fish(rng, own, split) -> Body:
    """A fish whose body and tail swing from side to side; fins on its back and belly."""
    build = _Builder()
    depth = banded(rng, split, 0.24, 0.6) * own()
    fork, tail = rng.uniform(0.1, 0.32), rng.uniform(0.7, 1.25) * max(depth, 0.34)
    stem = 0.07 + 0.05 * depth
    top = [(0.56, 0.02), (0.38, -0.42 * depth), (0.0, -0.56 * depth), (-0.35, -0.18 * depth), (-0.5, -stem)]
    low = [(-0.5, stem), (-0.35, 0.2 * depth), (0.0, 0.56 * depth), (0.38, 0.4 * depth)]
    build.add("trunk", smooth(top + low))
    tone, rise = rng.choice([SECOND, THIRD, ACCENT]), rng.uniform(0.15, 0.34)
    fan = [(-0.4, 0), (-0.55, -0.28), (-0.86, -0.6), (-0.86 + fork, 0), (-0.86, 0.6), (-0.55, 0.28)]
    build.add("fan", smooth(np.array(fan) * [1, tail], 1), tone=tone)
    crest = [
        (0.25, -0.35 * depth),
        (0.05, -0.5 * depth - rise),
        (-0.3, -0.4 * depth - 0.5 * rise),
        (-0.28, -0.1 * depth),
    ]
    build.add("crest", smooth(crest, 1), tone=tone, shade=0.92)
    belly = [(0.15, 0.3 * depth), (-0.05, 0.45 * depth + 0.7 * rise), (-0.25, 0.15 * depth)]
    build.add("belly", smooth(belly, 1), tone=tone, shade=0.85)
    fin = [(0.18, 0.02), (-0.02, 0.02 + 0.3 * depth), (-0.16, 0.16 + 0.3 * depth), (0.02, -0.06)]
    build.add("side fin", smooth(fin, 1), (0.16, 0.04), swing=0.5, rate=1.5, tone=tone, shade=1.08)
    wave = dict(bend="wave", bend_size=rng.uniform(0.14, 0.28), bend_number=rng.uniform(3, 5))
    eye = ("trunk", 0.36, -0.1 * depth, max(0.055, 0.13 * depth), EYE)
    order = ["fan", "crest", "belly", "trunk", "side fin"]
    return build.body("fish", order, (eye,), stride=rng.uniform(0.3, 0.6), stands=False, **wave)


def bird(rng, own, split) -> Body:
    """A bird: a flier with flapping wings, or a wader on two legs with a long neck."""
    build = _Builder()
    depth, wader = banded(rng, split, 0.34, 0.66) * own(), rng.random() < 0.45
    trunk = [(0.42, -0.25), (0.1, -0.55), (-0.4, -0.3), (-0.5, 0.1), (0.0, 0.58), (0.38, 0.35)]
    build.add("trunk", smooth(np.array(trunk) * [1, depth]))
    head = rng.uniform(0.16, 0.24) * own()
    neck, lean = rng.uniform(0.3, 0.62) if wader else rng.uniform(0.08, 0.18), rng.uniform(0.7, 1.3)
    hx, hy = 0.34 + neck * np.cos(lean), -0.2 * depth - neck * np.sin(lean)
    at = np.array([hx, hy])
    build.add("neck", limb(0.3, -0.05 * depth, hx, hy, 0.5 * depth, 1.2 * head), (0.28, 0), swing=0.18, rate=0.7)
    tone = rng.choice([COAT, SECOND, THIRD])
    build.add("head", oval(hx, hy, 1.05 * head, head, 16), (hx, hy), "neck", swing=0.2, rate=0.7, phase=1.4, tone=tone)
    bill = [(0.6, -0.45), (0.6 + rng.uniform(1.0, 1.9), 0.2), (0.5, 0.6)]
    build.add("bill", at + head * np.array(bill), (hx, hy), "head", tone=ACCENT)
    fan = smooth([(-0.3, -0.15 * depth), (-0.85, -0.18), (-0.92, 0.04), (-0.82, 0.2), (-0.3, 0.2 * depth)], 1)
    build.add("fan", fan, (-0.35, 0), swing=0.15, phase=1, tone=rng.choice([SECOND, THIRD, COAT]), shade=0.9)
    span, chord = rng.uniform(0.5, 0.85), rng.uniform(0.34, 0.5)
    wing = [
        (0.16, -0.16 * depth),
        (-0.1 - 0.4 * span, -0.25 * depth),
        (-0.15 - span, 0.1),
        (-0.1 - 0.5 * span, 0.6 * chord),
    ]
    wing = smooth([*wing, (0.06, 0.2 * depth)])
    raised, swing = (0.25, rng.uniform(0.1, 0.3)) if wader else (rng.uniform(0.4, 1.0), rng.uniform(0.5, 0.9))
    motion = dict(swing=swing, tone=rng.choice([SECOND, SECOND, COAT, THIRD]))
    build.add("far wing", 0.95 * wing, (0.12, -0.1 * depth), rest=raised + 0.25, phase=0.5, shade=0.68, **motion)
    build.add("near wing", wing, (0.12, -0.1 * depth), rest=raised, **motion)
    if wader:
        length = rng.uniform(0.4, 0.7)
        for name, x, phase, shade in (("leg far", -0.06, 0, 0.75), ("leg near", 0.04, 3.1, 1.0)):
            _add_leg(build, name, x, 0.4 * depth, length, 0.11, False, swing=0.4, phase=phase, tone=ACCENT, shade=shade)
    order = ["far wing", "fan", "leg", "bill", "neck", "trunk", "head", "near wing"]
    eye = ("head", hx + 0.2 * head, hy - 0.2 * head, max(0.05, 0.3 * head), EYE)
    return build.body("bird", order, (eye,), stride=rng.uniform(0.3, 0.65), stands=wader)


def blob(rng, own, split) -> Body:
    """A soft, wobbling blob with two eyes and a mouth."""
    build = _Builder()
    squat = banded(rng, split, 0.6, 1.1) * own()
    turns = np.linspace(0, 2 * np.pi, 33)[:-1]
    radius = 0.5 + sum(rng.normal(0, 0.09 / k) * own() * np.cos(k * turns + rng.uniform(0, 6.28)) for k in (2, 3, 4))
    build.add("trunk", np.stack([radius * np.cos(turns), squat * radius * np.sin(turns)], -1))
    x, y, eye = rng.uniform(-0.02, 0.12), rng.uniform(-0.15, 0.0), rng.uniform(0.065, 0.1)
    face = (("trunk", x, y, eye, EYE), ("trunk", x + 0.24, y, eye, EYE), ("trunk", x + 0.12, y + 0.17, 0.05, DARK))
    wobble = dict(bend="wobble", bend_size=rng.uniform(0.05, 0.1), bend_number=int(rng.integers(3, 5)))
    return build.body("blob", ["trunk"], face, stride=rng.uniform(0.2, 0.5), **wobble)


def star(rng, own, split) -> Body:
    """A star with five to seven twisting arms."""
    build = _Builder()
    arms, depth = int(rng.integers(5, 8)), banded(rng, split, 0.36, 0.62)
    turns = np.linspace(0, 2 * np.pi, 8 * arms + 1)[:-1]
    radius = 0.58 * (depth + (1 - depth) * np.abs(np.cos(arms * turns / 2)) ** 1.4) * own()
    build.add("trunk", np.stack([radius * np.cos(turns), radius * np.sin(turns)], -1))
    face = (("trunk", -0.1, -0.05, 0.075, EYE), ("trunk", 0.1, -0.05, 0.075, EYE), ("trunk", 0, 0.1, 0.045, DARK))
    twist = dict(bend="twist", bend_size=rng.uniform(0.5, 1.1), stands=False, tilt=3.0)
    return build.body("star", ["trunk"], face, stride=rng.uniform(0.2, 0.45), **twist)


def worm(rng, own, split) -> Body:
    """A long snake or eel that undulates along its whole length."""
    build = _Builder()
    width = banded(rng, split, 0.15, 0.26) * own()
    x = np.linspace(-0.9, 0.7, 14)
    half = 0.5 * width * np.clip(np.minimum(1.2 + 0.9 * x, 3.2 * (0.78 - x)), 0.12, 1.15)
    half[-3:-1] *= 1.25
    edge = np.concatenate([np.stack([x, -half], -1), np.stack([x, half], -1)[::-1]])
    build.add("trunk", smooth(edge, 1))
    wave = dict(bend="wave", bend_size=rng.uniform(0.14, 0.24), bend_number=rng.uniform(4, 6))
    eye = (("trunk", 0.56, -0.05, 0.06, EYE),)
    return build.body("worm", ["trunk"], eye, stride=rng.uniform(0.28, 0.5), stands=False, tilt=2.0, **wave)


def _add_figure(build, rng, own, x, y, scale, parent=None, seated=False):
    """An upright figure in clothes of different colours, hips at (x, y)."""
    stout, width, head = rng.uniform(0.22, 0.3) * scale, 0.12 * scale, 0.15 * scale * own()
    shirt, trousers, skin = rng.permutation([COAT, SECOND, THIRD])
    shoulder = (x + rng.uniform(-0.05, 0.2) * 0.42 * scale, y - 0.42 * scale)
    torso = limb(x, y, *shoulder, stout, 1.15 * stout)
    build.add("torso", torso, (x, y), parent, swing=0.08, tone=shirt)
    swing, bent_hip, bent_knee, raised = (0.12, -0.9, 0.9, -0.8) if seated else (0.55, 0.0, 0.3, -0.2)
    sleeve = skin if rng.random() < 0.5 else shirt
    for side, phase, shade in (("hidden", 3.1, 0.7), ("shown", 0.0, 1.0)):
        knee, bone = y + 0.3 * scale, 0.3 * scale
        thigh = limb(x, y, x, knee, 1.6 * width, 1.2 * width)
        shin = limb(x, knee, x, knee + bone, 1.2 * width, width)
        motion = dict(tone=trousers, shade=shade)
        build.add(f"{side} thigh", thigh, (x, y), "torso", rest=bent_hip, swing=swing, phase=phase, **motion)
        motion |= dict(rest=bent_knee, swing=0.8 * swing, phase=phase - 1.3)
        build.add(f"{side} foreleg", shin, (x, knee), f"{side} thigh", **motion)
        arm = limb(*shoulder, shoulder[0], shoulder[1] + 0.36 * scale, 1.1 * width, 0.9 * width)
        motion = dict(rest=raised, swing=swing + 0.1, phase=phase + 3.1, tone=sleeve, shade=0.95 * shade)
        build.add(f"{side} arm", arm, shoulder, "torso", **motion)
    hx, hy = shoulder[0] + 0.02, shoulder[1] - 0.95 * head
    build.add("face", oval(hx, hy, 0.95 * head, 1.1 * head, 16), (hx, hy + head), "torso", swing=0.12, tone=skin)
    cap = smooth([(-1.05, -0.1), (-0.8, -1.25), (0.7, -1.25), (1.2, -0.25)], 1)
    build.add("cap", np.array([hx, hy]) + head * cap, (hx, hy), "face", tone=ACCENT)
    front = ["shown foreleg", "shown thigh", "torso", "face", "cap", "shown arm"]
    return ["hidden"], front, ("face", hx + 0.45 * head, hy + 0.1 * head, 0.3 * head, EYE)


def walker(rng, own, split) -> Body:
    """A two-legged figure in clothes of several colours that walks, or somersaults."""
    build = _Builder()
    behind, front, eye = _add_figure(build, rng, own, 0.0, 0.05, banded(rng, split, 0.85, 1.25))
    tumbles = rng.random() < 0.2
    more = dict(stands=not tumbles, tilt=4.0 if tumbles else 1.0)
    return build.body("walker", behind + front, (eye,), stride=rng.uniform(0.25, 0.5), **more)


def rider(rng, own, split) -> Body:
    """A figure that rides a four-legged animal: one object of many colours."""
    build = _Builder()
    order, details, stride = _add_quadruped(build, rng, own, split)
    back = float(build.parts["trunk"][0].outline[:, 1].min())
    behind, front, eye = _add_figure(build, rng, own, -0.02, back + 0.1, rng.uniform(0.75, 0.95), "trunk", seated=True)
    return build.body("rider", [*behind, *order, *front], (*details, eye), stride=stride)


def wagon(rng, own, split) -> Body:
    """A little vehicle: a hull, a cabin with a window, turning wheels."""
    build = _Builder()
    height, wheel, hood = banded(rng, split, 0.24, 0.46) * own(), rng.uniform(0.13, 0.19), rng.uniform(0.1, 0.35)
    low, top, roof = 0.45 * height, -0.5 * height, rng.uniform(0.18, 0.34)
    hull = [(-0.55, top), (0.5 - hood, top), (0.56, -0.3 * height), (0.58, low), (-0.56, low)]
    build.add("trunk", smooth(hull, 1), swing=0.025, rate=3)
    left, right = rng.uniform(-0.5, -0.2), 0.5 - hood
    cabin = [(left, top + 0.1), (left + 0.08, top - roof), (right - 0.15, top - roof), (right, top + 0.1)]
    build.add("cabin", smooth(cabin, 1), tone=rng.choice([COAT, SECOND]))
    window = [
        (left + 0.14, top),
        (left + 0.18, top - 0.75 * roof),
        (right - 0.2, top - 0.75 * roof),
        (right - 0.1, top),
    ]
    build.add("window", smooth(window, 1), tone=rng.choice([DARK, THIRD]))
    for x in (-0.32, 0.32):
        build.add(f"tyre {x}", oval(x, low, wheel, wheel, 16), (x, low), tone=DARK)
        hub = oval(x, low, 0.6 * wheel, 0.42 * wheel, 8)
        build.add(f"wheel {x}", hub, (x, low), swing=2.5, rate=0.4, tone=ACCENT)
    return build.body("wagon", ["cabin", "window", "trunk", "tyre", "wheel"], stride=rng.uniform(0.4, 0.7))


def jellyfish(rng, own, split) -> Body:
    """A pulsing dome with trailing arms; training never shows one."""
    build = _Builder()
    dome = banded(rng, split, 0.42, 0.62) * own()
    bell = [(-0.42, 0.0), (-0.4, -0.6 * dome), (0, -1.15 * dome), (0.4, -0.6 * dome), (0.42, 0.0)]
    build.add("trunk", smooth([*bell, (0.2, 0.1), (0, 0.03), (-0.2, 0.1)]))
    for i, x in enumerate((-0.26, -0.09, 0.09, 0.26)):
        motion = dict(swing=0.3, phase=0.9 * i, tone=rng.choice([SECOND, THIRD]), shade=0.85 + 0.1 * (i % 2))
        build.add(f"arm {i}", limb(x, -0.05, x, rng.uniform(0.5, 0.8), 0.15, 0.12), (x, 0), **motion)
    face = (("trunk", -0.1, -0.35 * dome, 0.065, EYE), ("trunk", 0.12, -0.35 * dome, 0.065, EYE))
    wobble = dict(bend="wobble", bend_size=rng.uniform(0.03, 0.06), bend_number=3, stands=False, tilt=1.5)
    return build.body("jellyfish", ["arm", "trunk"], face, stride=rng.uniform(0.3, 0.6), **wobble)


def crab(rng, own, split) -> Body:
    """A crab with six legs and two claws; training never shows one."""
    build = _Builder()
    wide = banded(rng, split, 0.36, 0.5) * own()
    shell = [(-wide, -0.05), (-0.6 * wide, -0.28), (0.6 * wide, -0.28), (wide, -0.05), (0.6 * wide, 0.22)]
    build.add("trunk", smooth([*shell, (-0.6 * wide, 0.22)]))
    for side in (-1, 1):
        for i, x in enumerate((0.55 * wide, 0.75 * wide, 0.92 * wide)):
            outline = limb(side * x, 0.05, side * (x + 0.2), 0.42 - 0.08 * i, 0.15, 0.12)
            motion = dict(swing=0.3, phase=2.1 * i + side, tone=SECOND, shade=0.8)
            build.add(f"leg {side} {i}", outline, (side * x, 0.05), **motion)
        base, tip = (side * 0.85 * wide, -0.12), (side * (0.85 * wide + 0.2), -0.36)
        build.add(f"claw {side}", limb(*base, *tip, 0.14, 0.14), base, swing=0.25, rate=0.7, phase=side, tone=SECOND)
        pincer = oval(tip[0], tip[1] - 0.1, 0.13, 0.17, 14)
        build.add(f"claw {side} pincer", pincer, tip, f"claw {side}", swing=0.4, rate=0.9, phase=side, tone=THIRD)
    face = (("trunk", -0.12, -0.12, 0.07, EYE), ("trunk", 0.12, -0.12, 0.07, EYE))
    return build.body("crab", ["leg", "trunk", "claw"], face, stride=rng.uniform(0.3, 0.6))


PLANS = {
    plan.__name__: plan for plan in (quadruped, fish, bird, blob, star, worm, walker, rider, wagon, jellyfish, crab)
}
SPLIT_PLANS = {
    "train": ("quadruped", "fish", "bird", "blob", "star", "worm", "walker", "rider", "wagon"),
    "val": ("jellyfish",),  # in addition to those of training
    "test": ("crab",),
}
