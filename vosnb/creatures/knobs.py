"""The knobs of the generator, and the named difficulties that are settings of them."""

import difflib
from dataclasses import dataclass, fields, replace


class KnobError(ValueError):
    """A difficulty, split or knob that does not exist, or a value outside its range; one clear sentence."""


@dataclass(frozen=True)
class Knobs:
    """What a clip is drawn from. A field that holds a pair is a range from which each clip draws its own value.

    Lessons turn these fields into sliders: `generate(7, "lookalike", species_difference=0.2)`. A single number given
    for a range means that number exactly.
    """

    creatures: tuple = (2, 4)  # number of creatures in the clip, the target included; 1 to 8
    same_species: float = 0.12  # probability that all companions are of the target's species; 0 to 1
    species_difference: tuple = (1.0, 1.6)  # how much individuals of a species differ; 0 (clones) to 2 (strangers)
    area: tuple = (3.0, 12.0)  # area of the target at the start, percent of the frame; 1.5 to 30
    scale_change: float = 1.25  # greatest growth or shrinking in a clip, as a ratio of lengths; 1 to 3
    motion: float = 0.7  # how far creatures wander: 1 is about a third of the frame's height in 24 frames; 0 to 3
    deformation: float = 0.8  # swing of joints, bending, squash; 1 is a brisk walk; 0 to 2
    turning: float = 0.0  # probability that a creature turns about its vertical axis, foreshortened; 0 to 1
    camera: float = 0.8  # pan, shake, zoom and rotation of the camera; 1 is a calm hand; 0 to 4
    follow: float = 0.5  # greatest share of the target's motion that the camera follows; 0 to 1
    occluders: tuple = (0, 0)  # trunks, posts and bushes in front of the target's way; 0 to 4
    leave_and_return: float = 0.0  # probability that the target leaves the frame and comes back; 0 to 1
    light_drift: float = 0.3  # drift of exposure and colour, moving shade; 1 changes brightness by half; 0 to 2
    blur: float = 0.5  # greatest blur, defocus and motion together, in pixels of a frame 128 high; 0 to 4
    noise: float = 4.0  # greatest standard deviation of sensor noise, in grey levels of 255; 0 to 20
    clutter: float = 0.7  # density of things on the ground; 0 to 1
    camouflage: float = 0.9  # how much of the creatures' palette the background shares; 0 to 1
    muted: float = 0.6  # how grey the palette is; 0 (vivid) to 1 (nearly grey)
    photos: float = 0.35  # probability of a background made from a photograph; 0 to 1
    unseen: float = 0.25  # val and test: probability of a plan or texture that training never shows; 0 to 1
    jumps: tuple = (0, 0)  # how often the camera jumps by about a quarter of the frame between two frames; 0 to 8

    def turned(self, **values) -> "Knobs":
        """These knobs with some turned to other values; `KnobError` says which value is wrong and what is allowed."""
        return turn(self, LIMITS, values)


def turn(knobs, limits: dict, values: dict):
    """A frozen dataclass of knobs with some of them turned. limits: {name: (lowest, highest)} of all of its fields."""
    for name, value in values.items():
        if name not in limits:
            raise KnobError(f"There is no knob {name!r}{did_you_mean(name, limits)}.")
        low, high = limits[name]
        is_range = isinstance(getattr(type(knobs), name), tuple)
        pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in pair)
        if len(pair) != 2 or not numbers or (isinstance(value, (tuple, list)) and not is_range):
            kind = "a number or a pair (low, high)" if is_range else "a number"
            raise KnobError(f"The knob {name!r} takes {kind}, not {value!r}.")
        if not low <= pair[0] <= pair[1] <= high:
            raise KnobError(f"The knob {name!r} goes from {low:g} to {high:g}; {value!r} is outside or reversed.")
        values[name] = pair if is_range else value
    return replace(knobs, **values)


LIMITS = {
    "creatures": (1, 8),
    "same_species": (0, 1),
    "species_difference": (0, 2),
    "area": (1.5, 30),
    "scale_change": (1, 3),
    "motion": (0, 3),
    "deformation": (0, 2),
    "turning": (0, 1),
    "camera": (0, 4),
    "follow": (0, 1),
    "occluders": (0, 4),
    "leave_and_return": (0, 1),
    "light_drift": (0, 2),
    "blur": (0, 4),
    "noise": (0, 20),
    "clutter": (0, 1),
    "camouflage": (0, 1),
    "muted": (0, 1),
    "photos": (0, 1),
    "unseen": (0, 1),
    "jumps": (0, 8),
}
assert list(LIMITS) == [field.name for field in fields(Knobs)]

# Each difficulty is the calm default made hard in one way, so that what a method loses there has one name.
LOOK_ALIKES = {
    "creatures": (3, 4),
    "same_species": 1.0,
    "area": (3.0, 8.0),
    "motion": 1.6,  # so that a still mask, and the order of places, do not give the target away
    "deformation": 1.0,
    "light_drift": 0.4,
    "follow": 0.2,
}
DIFFICULTIES = {
    "easy": Knobs(),
    "lookalike": Knobs(**LOOK_ALIKES, species_difference=(0.8, 1.2)),
    "twins": Knobs(**LOOK_ALIKES, species_difference=(0.4, 0.75)),
    "occlusion": Knobs(creatures=(2, 3), area=(4.0, 12.0), occluders=(1, 2), motion=0.8, follow=0.2),
    "deformation": Knobs(creatures=(1, 3), deformation=1.8, turning=0.6, scale_change=1.4),
    "light": Knobs(same_species=0.25, light_drift=1.0),
    "camera": Knobs(creatures=(1, 4), camera=2.5, follow=0.8, scale_change=1.7, blur=1.2),
    "reappear": Knobs(same_species=0.25, leave_and_return=1.0, motion=1.0, follow=0.2),
}

# The camera jumps, so that place is no help. It came later: no list of clips goes through it but one of its own.
MOVED = Knobs(creatures=(2, 3), jumps=(3, 4), motion=0.6, follow=0.2)

# What the networks are trained on: a bit of everything, wider than any benchmark clip, but look-alikes stay rare.
TRAINING = Knobs(
    creatures=(1, 4),
    same_species=0.125,
    area=(1.5, 16.0),
    scale_change=1.8,
    motion=1.1,
    deformation=1.3,
    turning=0.2,
    camera=1.6,
    follow=0.8,
    occluders=(0, 2),
    leave_and_return=0.06,
    light_drift=0.7,
    blur=1.2,
    noise=7.0,
    photos=0.45,
)


def knobs_for(difficulty: str, **values) -> Knobs:
    """The knobs of a named difficulty ("train" is the training mixture), some of them turned."""
    return named(difficulty, {**DIFFICULTIES, "train": TRAINING, "moved": MOVED}).turned(**values)


def named(difficulty: str, known: dict):
    """known[difficulty], or KnobError with the name that comes nearest."""
    if not isinstance(difficulty, str) or difficulty not in known:
        raise KnobError(f"There is no difficulty {difficulty!r}{did_you_mean(difficulty, known)}.")
    return known[difficulty]


def did_you_mean(name: str, known) -> str:
    """The end of a sentence about an unknown name: the closest known one, or all of them."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"
