"""The choices of the discriminative target model (S1), one turned at a time, on clips of the val stream.

    python -m vosnb.studies.target

From these the defaults of `frtm` were chosen; no clip of test is seen. A run that was stopped goes on where it was
(build/studies/). Writes data/results/target_settings.json: a row for each setting of each study, with J, frames/s, the
gain over the default (in "D alone" over the base net), its 95 % paired interval, clips won and lost.
"""

import argparse
from functools import partial

import torch

from vosnb import creatures
from vosnb.clips import Clip
from vosnb.features import load_weights
from vosnb.methods.refinement import RefinementNet
from vosnb.studies.common import gains, write
from vosnb.trackers import make_tracker

KINDS = ("easy", "lookalike", "occlusion", "deformation", "light", "reappear")
CURVES = {  # the paper's symbol: (setting of `frtm`, values); the others stay as they are
    "N_GN": ("gauss_newton", (1, 2, 4, 8)),
    "N_CG": ("iterations", (2, 5, 10, 20)),
    "c": ("hidden", (8, 16, 32, 64)),
    "t_s": ("update_every", (1, 2, 4, 8, None)),
    "eta": ("rate", (0.02, 0.05, 0.1, 0.2, 0.4)),
    "K_max": ("capacity", (12, 20, 80)),
    "kappa_min": ("kappa", (0.03, 0.1, 0.2, 0.4)),
    "lambda": ("regularisation", (1e-4, 1.0, 10.0, 30.0, 100.0, 1000.0)),
    "K": ("augmented", (1, 4, 8, 16)),
}
PARTED = {  # where paper and code part, or we from both: what is turned
    "kappa = min(..), as printed": {"share": "min"},
    "v as printed, no square root": {"root": False},
    "Kaiming's initialisation": {"init": "normal"},
    "Fletcher-Reeves": {"direction": "fletcher-reeves"},
    "directions kept, 0.9^75": {"forgetting": 0.9**75},
    "updates by 10 CG iterations": {"update_iterations": 10},
    "first frame protected, 0.25": {"first_minimum": 0.25},
}
ALONE = {  # could D do without R, if it were learned otherwise? Against the base net, which table 1 puts above it
    "as in table 1": {},
    "16 images": {"augmented": 16},
    "8 Gauss-Newton steps": {"gauss_newton": 8},
    "64 hidden channels": {"hidden": 64},
    "kappa_min 0.03": {"kappa": 0.03},
    "kappa_min 0.2": {"kappa": 0.2},
    "lambda 0.0001": {"regularisation": 1e-4},
    "lambda 100": {"regularisation": 100.0},
    "updated every 2 frames": {"update_every": 2},
}
FUSED = {  # matters to several objects alone
    "fusion as in the code": {"fusion": "code"},
    "fusion and labels as in the code": {"fusion": "code", "remember": "argmax"},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=4, help="of each of six difficulties")
    count = parser.parse_args().clips
    torch.set_num_threads(1)
    clips = [creatures.generate(3_000_000 + k, kind, "val", (128, 128), 20) for k in range(count) for kind in KINDS]
    rows = curves(clips) + parted(clips) + alone(clips)
    write("target_settings", f"python -m vosnb.studies.target --clips {count}", rows)


def maker(**turned):
    return partial(make_tracker, "frtm", net=load_weights(RefinementNet(), "refinement"), **turned)


def curves(clips: list[Clip]) -> list[dict]:
    """Each setting of CURVES over its values."""
    makers = {
        f"{symbol} = {value}": maker(**{setting: value})
        for symbol, (setting, values) in CURVES.items()
        for value in values
    }
    found = gains("target-curves", maker(), makers, clips)
    return [
        {"study": name.partition(" = ")[0], "setting": name.partition(" = ")[2]} | row for name, row in found.items()
    ]


def parted(clips: list[Clip]) -> list[dict]:
    """What each choice between paper and code is worth."""
    rows = []
    for run, turned, objects in (("target-parted", PARTED, "first"), ("target-fused", FUSED, "all")):
        found = gains(run, maker(), {name: maker(**settings) for name, settings in turned.items()}, clips, objects)
        rows += [{"study": "paper or code", "setting": name} | row for name, row in found.items()]
    return rows


def alone(clips: list[Clip]) -> list[dict]:
    """What D has on the base net without R to draw its mask, learned in several ways."""
    makers = {name: partial(make_tracker, "target-model", **turned) for name, turned in ALONE.items()}
    found = gains("target-alone", partial(make_tracker, "base-net"), makers, clips)
    return [{"study": "D alone", "setting": name} | row for name, row in found.items()]


if __name__ == "__main__":
    main()
