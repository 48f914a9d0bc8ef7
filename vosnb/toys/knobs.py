"""The knobs of the toys, and the named difficulties that are settings of them; most knobs are the creatures' too."""

from dataclasses import dataclass, fields

from vosnb.creatures.knobs import named, turn


@dataclass(frozen=True)
class Knobs:
    """What a clip is drawn from. A field that holds a pair is a range from which each clip draws its own value.

    Lessons turn these fields into sliders: `generate(7, "lookalike", species_difference=0.2)`. A single number given
    for a range means that number exactly.
    """

    toys: tuple = (2, 4)  # number of toys in the clip, the target included; 1 to 8
    same_species: float = 0.0  # probability that all companions are of the target's kind; 0 to 1
    species_difference: tuple = (0.8, 1.4)  # how much toys of a kind differ; 0 (clones) to 2 (strangers)
    area: tuple = (2.5, 7.0)  # area of the target at the start, percent of the frame; 1.5 to 30
    scale_change: float = 1.2  # greatest growth or shrinking in a clip, as a ratio of lengths; 1 to 3
    motion: float = 0.8  # how far toys go: 1 is about a third of the frame's height in 24 frames; 0 to 3
    deformation: float = 0.8  # how far bodies bend, bounce and rock; 1 is a brisk walk; 0 to 2
    turning: float = 0.25  # probability that a toy turns round on its way, foreshortened, and goes back; 0 to 1
    camera: float = 0.8  # pan, shake, zoom and rotation of the camera; 1 is a calm hand; 0 to 4
    follow: float = 0.4  # greatest share of the target's motion that the camera follows; 0 to 1
    occluders: tuple = (0, 0)  # trees, rocks and other things in front of the target's way; 0 to 4
    leave_and_return: float = 0.0  # probability that the target leaves the frame and comes back; 0 to 1
    jumps: tuple = (0, 0)  # how often the camera jumps by about a quarter of the frame between two frames; 0 to 8
    light_drift: float = 0.3  # drift of exposure and colour, moving shade; 1 changes brightness by half; 0 to 2
    blur: float = 0.5  # greatest defocus, in pixels of a frame 240 high; 0 to 4
    noise: float = 4.0  # greatest standard deviation of sensor noise, in grey levels of 255; 0 to 20
    clutter: float = 0.5  # density of things that stand about on the ground; 0 to 1
    photos: float = 0.6  # probability of a ground made from a photograph; 0 to 1

    def turned(self, **values) -> "Knobs":
        """These knobs with some turned to other values; `KnobError` says which value is wrong and what is allowed."""
        return turn(self, LIMITS, values)


LIMITS = {
    "toys": (1, 8),
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
    "jumps": (0, 8),
    "light_drift": (0, 2),
    "blur": (0, 4),
    "noise": (0, 20),
    "clutter": (0, 1),
    "photos": (0, 1),
}
assert list(LIMITS) == [field.name for field in fields(Knobs)]

# Each difficulty is the calm default made hard in one way, so that what a method loses there has one name.
LOOK_ALIKES = {
    "toys": (3, 4),
    "same_species": 1.0,
    "area": (2.5, 6.0),
    "motion": 1.7,  # so that a still mask, and the order of places, do not give the target away
    "follow": 0.2,
}
DIFFICULTIES = {
    "easy": Knobs(),
    "lookalike": Knobs(**LOOK_ALIKES, species_difference=(0.8, 1.2)),
    "twins": Knobs(**LOOK_ALIKES, species_difference=(0.4, 0.75)),
    "occlusion": Knobs(toys=(2, 3), occluders=(1, 2), motion=1.5, follow=0.2),
    "deformation": Knobs(toys=(1, 3), deformation=1.9, turning=0.9, scale_change=1.5),
    "light": Knobs(same_species=0.25, light_drift=1.0),
    "camera": Knobs(toys=(1, 4), camera=2.5, follow=0.8, scale_change=1.5, blur=1.2),
    "reappear": Knobs(same_species=0.25, leave_and_return=1.0, follow=0.2),
    "moved": Knobs(jumps=(3, 4), follow=0.2),
}


def knobs_for(difficulty: str, **values) -> Knobs:
    """The knobs of a named difficulty, some of them turned."""
    return named(difficulty, DIFFICULTIES).turned(**values)
