"""The command `vosnb`: every subcommand is a thin call of a function elsewhere, loaded when it is needed."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path

import click

import vosnb

BEST = "matching+context:backbone=photos"  # on real video
TRACKER = "A name, as in matching or frtm, perhaps with settings, as in matching:memory=first:every=3."


class GivenPath(click.Path):
    """A path, where ~ is the home folder, also after an = sign; an empty one is refused: it would be this folder."""

    def convert(self, value, param, ctx):
        if not os.fspath(value):
            self.fail("the path is empty: give one.", param, ctx)
        return Path(os.path.expanduser(super().convert(value, param, ctx)))


PATH = GivenPath()


class Course(click.Group):
    """Tells in one sentence what can go wrong without a fault of the program; a fault keeps its traceback."""

    def invoke(self, ctx):
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold what the terminal cannot show
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            raise SystemExit(130) from None
        except Exception as error:
            if (said := meaning(error)) is None:
                raise
            raise click.ClickException(said) from error


def meaning(error: Exception) -> str | None:
    """What an error means, in a sentence; None for one that a user can do nothing about."""
    from vosnb.files import explain

    if isinstance(error, BrokenPipeError):
        return None  # nobody reads any more, as in `vosnb bench ... | head`: click ends without a word
    if isinstance(error, OSError):
        return explain(error)
    memory = ("can't allocate memory", "not enough memory", "Insufficient memory")  # as torch and OpenCV put it
    if type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in memory):
        error = MemoryError()
    if isinstance(error, MemoryError):
        return "The memory is not enough for this: take smaller frames, fewer at a time, or another machine."
    if isinstance(error, RecursionError):
        return "Something in a file is nested too deeply to be read: mend it, or get the file again."
    return str(error) if isinstance(error, ValueError) else None


@click.group(cls=Course, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(vosnb.__version__, prog_name="vosnb")
def main():
    """A course in how a video segmenter adapts to this object in this video."""


# ------------------------------------------------------------------------------------------------ for students


@main.command()
@click.argument("folder", type=PATH, default="my-course")
def start(folder):
    """Copy the lessons, without solutions, to FOLDER (my-course).

    There you work. What you did there stays as it is; lessons that you have neither changed nor run follow the course.
    """
    from vosnb.course import student

    for said in student.start(folder):
        click.echo(said)


@main.command()
@click.argument("lesson")
@click.argument("folder", type=PATH, required=False)
def reset(lesson, folder):
    """Put a fresh copy of LESSON, a number, into FOLDER.

    Your old copy is kept beside it. FOLDER is my-course if there is one here, else the current folder.
    """
    from vosnb.course import student

    click.echo(student.reset(lesson, folder))


@main.command()
def doctor():
    """Check that lessons will run here; each failure has its cure."""
    from vosnb.course import doctor

    raise SystemExit(doctor.main())


# --------------------------------------------------------------------------------------- trackers, scores, data


@main.command()
@click.argument("clip", type=PATH)
@click.option("--mask", type=PATH, help="First mask (PNG), or a folder of masks.")
@click.option("--scribbles", type=PATH, help="Instead: what a scribble pad saved (json).")
@click.option("--tracker", help=f"{TRACKER} Default {BEST}; with scribbles ridge, or another ridge.")
@click.option("--out", required=True, type=PATH, help="Where masks and overlay video go.")
@click.option("--export", "form", type=click.Choice(["coco", "youtube-vis"]), help="Write the masks as json as well.")
def run(clip, mask, scribbles, tracker, out, form):
    """Follow the objects of a first mask, or of scribbles, in CLIP.

    CLIP is a folder of frames or a video file.
    Writes one palette PNG a frame and an overlay video to look at. Ctrl-C keeps what is done; the same command goes on.
    In a folder of masks, named like their frames, later ones bring in objects, and correct those that are known.
    """
    from vosnb.benchmark import parse_tracker
    from vosnb.clips import open_clip
    from vosnb.run import export, run, run_scribbles

    if (mask is None) == (scribbles is None):
        raise click.UsageError("give the objects as --mask or as --scribbles, one of the two.")
    clip = open_clip(clip, mask)
    if scribbles:
        done, video = run_scribbles(clip, out, scribbles, *parse_tracker(tracker or "ridge"))
    else:
        done, video = run(clip, out, *parse_tracker(tracker or BEST))
    folder, video = click.format_filename(out), click.format_filename(video)
    if done < len(clip):
        click.echo(f"Stopped after {done} of {len(clip)} frames; the same command goes on. So far: {video}")
        raise SystemExit(130)
    cure = "draw strokes there" if scribbles else "put a corrected mask of there beside the first, in a folder"
    click.echo(f"{done} masks are in {folder}; look at {video}. Where they go wrong, {cure}, and run it anew.")
    if form:
        click.echo(f"The same as json: {click.format_filename(export(clip, out, form))}")


@main.command()
@click.argument("clip", type=PATH)
@click.option("--out", type=PATH, help="Folder for the notebook, or its name (.ipynb); default beside CLIP.")
@click.option("--lab/--no-lab", "start", default=True, help="Without, the notebook is only written.")
def paint(clip, out, start):
    """Paint on CLIP and get masks: a pad in JupyterLab.

    CLIP is a video file or a folder of frames. A notebook is written beside it, and opened.
    """
    from vosnb.course.paint import lab, paint

    notebook = paint(clip, out)
    click.echo(f"{click.format_filename(notebook)} is written.")
    if start:
        lab(notebook)


@main.command()
@click.option("--tracker", "trackers", required=True, help=f"One or several, between commas: {TRACKER}")
@click.option(
    "--data",
    "dataset",
    default="embedded",
    show_default=True,
    help="embedded, creatures, toys, davis2017, ... or a folder.",
)
@click.option("--split", default="test", show_default=True, help="Also generated:START:COUNT.")
@click.option("--objects", type=click.Choice(["first", "all", "each"]), help="Which objects are followed at a time.")
@click.option("--json", "file", type=PATH, help="Keep the table, and go on with it if it is there.")
@click.option("--limit", type=click.IntRange(1), help="No more than this many clips.")
@click.option("--difficulty", "difficulties", help="One or several, between commas: clips of these alone.")
@click.option("--save", type=PATH, help="Folder for the masks: SAVE/TRACKER/CLIP/FRAME.png.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Clips side by side.")
def bench(trackers, dataset, split, objects, file, limit, difficulties, save, jobs):
    """Run trackers over a data set; tabulate scores and speed.

    What cannot be scored (first masks alone, damaged files) is listed below the table. --save writes palette PNGs with
    the original names and ids: zip a tracker's clip folders for the servers of DAVIS (all frames), YouTube-VOS (split
    valid: the frames of its JPEGImages) and MOSE.
    """
    from vosnb import benchmark

    results = benchmark.bench(
        trackers, dataset, split, objects, file, limit, difficulties=difficulties, save=save, jobs=jobs
    )
    click.echo(benchmark.table(results, width=shutil.get_terminal_size().columns))
    if not any("fps" in record for record in results["clips"]):
        raise SystemExit(1)


@main.command()
@click.argument("truth", type=PATH)
@click.argument("masks", type=PATH)
@click.option("--split", default="val", show_default=True, help="Of TRUTH, where that is a data set.")
@click.option("--json", "file", type=PATH, help="Keep the scores.")
def score(truth, masks, split, file):
    """Score MASKS, folders of PNGs that any program wrote, against TRUTH.

    TRUTH is a data set (a name or a folder, as for bench), a folder of clip folders of PNGs, or one clip's PNGs; MASKS
    is laid out as the latter two. J, F, recall and decay are those of vos-benchmark and DAVIS: the first and the last
    frame do not count.
    """
    from vosnb import benchmark

    results = benchmark.score(truth, masks, split, file)
    click.echo(benchmark.score_table(results))
    if not results["objects"]:
        raise SystemExit(1)


WEIGHTS_TO_TRAIN = ("matching", "refinement", "base-net", "st-rnn", "dynamic-kernels", "meta", "e-osvos")
TAKERS = {  # the tracker that weights are for
    "matching": "matching",
    "refinement": "frtm",
    "base-net": "base-net",
    "dynamic-kernels": "kernels",
    "meta": "one-shot",
    "e-osvos": "e-osvos-10",
}


@main.command()
@click.argument("what", type=click.Choice(WEIGHTS_TO_TRAIN))
@click.option("--steps", type=click.IntRange(1), help="Batches; default as for the shipped weights.")
@click.option("--out", type=PATH, help="Where the weights go, NAME.safetensors; default in build/weights/.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of a run that was stopped.")
@click.option("--start-from", help="Weights to begin with: a name or a file.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="At the start of the schedule.")
@click.option("--same-species", type=click.FloatRange(0, 1), help="Share of clips with look-alikes; default 0.125.")
@click.option("--backbone", type=click.Choice(["photos", "creatures"]), help="The matcher's, or S1's; default photos.")
@click.option("--heatmap", type=click.FloatRange(0), help="Weight of the loss on what affinity alone reads.")
@click.option("--keys", type=click.Choice(["features", "random"]), help="How the matcher's begin on photographs.")
@click.option("--keep-every", type=click.IntRange(1), help="Also write the weights of every n-th step.")
@click.option("--kernels", type=click.Choice(["none", "global", "local", "both"]), help="A row of S3's table 2.")
@click.option("--aspp", is_flag=True, default=None, help="Its last row: ASPP before the decoder.")
@click.option("--shallow", is_flag=True, default=None, help="A backbone with a block less, for ensembles.")
@click.option("--parent-steps", type=click.IntRange(1), help="Of the ordinary training before meta-training.")
@click.option("--learn", type=click.Choice(["parent", "one", "layer", "neuron"]), help="A row of S4's table 1.")
@click.option("--norm", type=click.Choice(["group", "batch"]), help="Normalisation of the segmenter.")
@click.option("--loss", type=click.Choice(["cross-entropy", "lovasz"]), help="Of training and fine-tuning.")
@click.option("--order", type=click.Choice(["first", "second"]), help="Of the gradient through the steps.")
@click.option("--tasks", type=click.Choice(["single", "all"]), help="Objects of a clip: each a task, or all one.")
def train(what, seed, resume, **given):
    """Train the weights of WHAT on generated clips.

    They go to build/weights/ unless --out says otherwise; `--out data/weights/NAME.safetensors` replaces shipped ones.

    --start-from is for `matching`, `meta` and `e-osvos`; --backbone for `matching`, `refinement` and `base-net`;
    --heatmap, --keys, --keep-every, --learning-rate and --same-species for `matching` alone; --kernels, --aspp,
    --shallow for `dynamic-kernels`; --learn, --norm, --loss for `meta` and `e-osvos`; --order, --tasks for `meta`,
    --parent-steps for `e-osvos`, which trains its parent first.
    """
    given = {name: value for name, value in given.items() if value is not None}
    owners = {"start_from": ("matching", "meta", "e-osvos"), "parent_steps": ("e-osvos",)}
    owners |= {"backbone": ("matching", "refinement", "base-net")}
    owners |= dict.fromkeys(("heatmap", "keys", "keep_every", "learning_rate", "same_species"), ("matching",))
    owners |= dict.fromkeys(("kernels", "aspp", "shallow"), ("dynamic-kernels",))
    owners |= dict.fromkeys(("learn", "norm", "loss"), ("meta", "e-osvos"))
    owners |= dict.fromkeys(("order", "tasks"), ("meta",))
    if foreign := [name for name in given if what not in owners.get(name, (what,))]:
        commands = " and ".join(f"`vosnb train {name}`" for name in owners[foreign[0]])
        raise click.UsageError(f"--{foreign[0].replace('_', '-')} is for {commands} alone: leave it out.")
    if what == "matching":
        from vosnb.training.matching import train
    elif what == "st-rnn":
        from vosnb.training.st_rnn import train
    elif what == "dynamic-kernels":
        from vosnb.training.dynamic_kernels import train
    elif what == "meta":
        from vosnb.training.meta import train
    elif what == "e-osvos":
        from vosnb.training.e_osvos import train
    else:
        from vosnb.training import refinement

        train = partial(refinement.train, what)
    weights = train(seed=seed, resume=resume, **given)
    taker = TAKERS.get(what)
    if what in owners["backbone"] and given.get("backbone", "photos") == "photos":
        taker += ":backbone=photos"
    use = (
        f"use them as {taker}:weights={weights}"
        if taker
        else "`--out data/weights/st-rnn-photos.safetensors` puts them to use"
    )
    click.echo(f"Weights are in {weights}; {use}.")


@main.command()
@click.argument("name", type=click.Choice(["davis2016", "davis2017", "davis2017-full", "resnet18", "resnet34"]))
@click.option("--to", "target", type=PATH, help="Where to; default in $VOSNB_DATA or ~/.cache/vosnb.")
@click.option("--url", help="Another address of the same file: a mirror, or file:///... for a copy you have.")
@click.option("--sha256", help="Accept the file with this checksum instead of the known one.")
def data(name, target, url, sha256):
    """Download a data set, or a ResNet's weights, from the owners.

    ResNets are trained on ImageNet. A download that was cut off goes on.
    """
    from vosnb.clips.downloads import fetch

    click.echo(f"{name} is in {fetch(name, target, url, sha256)}")


# ------------------------------------------------------------------------------------------------- for teachers


@main.command()
@click.argument("out", type=PATH)
def student(out):
    """Write the lessons without solutions into the folder OUT.

    A notebook there that differs is kept beside the new one.
    """
    from vosnb.course import student

    for said in student.student(out):
        click.echo(said)


@main.command()
@click.argument("lessons", nargs=-1)
@click.option("--execute/--no-execute", default=True, help="Without executing, unchanged cells keep their outputs.")
def build(lessons, execute):
    """Make notebooks from their sources: all, or LESSONS.

    A lesson goes by its number or name, a deeper one by its name, as in `vosnb build 1 deeper/01_numerics`.
    """
    from vosnb.course.build import build

    for name in build(lessons or None, execute=execute):
        click.echo(f"notebooks/{name}.ipynb")


@main.command()
@click.argument("lessons", nargs=-1)
def style(lessons):
    """Count what readers of lessons meet; name what breaks a limit."""
    from vosnb.course.style import report

    broken = report(lessons or None)
    for said in broken:
        click.echo(said)
    raise SystemExit(bool(broken))


@main.command()
@click.argument("lessons", nargs=-1)
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Lessons at a time.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A lesson parameter, e.g. MAX_CLIPS=1.")
def course(lessons, jobs, settings):
    """Run lessons headless; print seconds, memory, size, result."""
    from vosnb.course.headless import parse_parameters, run_course

    rows = run_course(lessons or None, parse_parameters(settings), jobs=jobs)
    raise SystemExit(any(row["result"] != "ok" for row in rows))


if __name__ == "__main__":
    main()
