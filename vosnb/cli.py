"""The command `vosnb`: every subcommand is a thin call of a function elsewhere, loaded when it is needed."""

from functools import partial
from pathlib import Path

import click

import vosnb

TRACKER = "A name, as in matching or frtm, perhaps with settings, as in matching:memory=first:every=3."


class Course(click.Group):
    """Shows the mistakes that vosnb knows as one sentence, without a traceback."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except (ValueError, FileNotFoundError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Course, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(vosnb.__version__, prog_name="vosnb")
def main():
    """A course in how a video segmenter adapts to this object in this video."""


# ------------------------------------------------------------------------------------------------ for students


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def start(folder):
    """Copy the lessons, without solutions, to FOLDER, where you work."""
    from vosnb import course

    for said in course.start(folder):
        click.echo(said)


@main.command()
@click.argument("lesson")
@click.argument("folder", type=click.Path(path_type=Path), default=".")
def reset(lesson, folder):
    """Put a fresh copy of LESSON (its number) into FOLDER; your old copy is kept beside it."""
    from vosnb import course

    click.echo(course.reset(lesson, folder))


@main.command()
def doctor():
    """Check that lessons will run here; each failure comes with its cure."""
    from vosnb import doctor

    raise SystemExit(doctor.main())


# --------------------------------------------------------------------------------------- trackers, scores, data


@main.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.option("--mask", type=click.Path(path_type=Path), help="First mask (PNG), or a folder of masks.")
@click.option("--scribbles", type=click.Path(path_type=Path), help="Instead: what a scribble pad saved (json).")
@click.option("--tracker", help=f"{TRACKER} Default matching; with scribbles ridge+st-rnn, or another ridge.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where masks and overlay video go.")
def run(clip, mask, scribbles, tracker, out):
    """Follow the objects of a first mask, or of scribbles, through CLIP, a folder of frames or a video file.

    Writes one palette PNG a frame and an overlay video to look at. Ctrl-C keeps what is done; the same command goes on.
    """
    from vosnb.benchmark import parse_tracker
    from vosnb.clips import open_clip
    from vosnb.run import run, run_scribbles

    if (mask is None) == (scribbles is None):
        raise click.UsageError("give the objects as --mask or as --scribbles, one of the two.")
    clip = open_clip(clip, mask)
    if scribbles:
        done, video = run_scribbles(clip, out, scribbles, *parse_tracker(tracker or "ridge+st-rnn"))
    else:
        done, video = run(clip, out, *parse_tracker(tracker or "matching"))
    if done < len(clip):
        click.echo(f"Stopped after {done} of {len(clip)} frames; the same command goes on. So far: {video}")
        raise SystemExit(130)
    click.echo(f"{done} masks are in {out}; look at {video}")


@main.command()
@click.option("--tracker", "trackers", required=True, help=f"One or several, between commas: {TRACKER}")
@click.option("--data", "dataset", default="embedded", show_default=True, help="embedded, davis2017, ... or a folder.")
@click.option("--split", default="test", show_default=True, help="Also generated:START:COUNT.")
@click.option("--objects", type=click.Choice(["first", "all", "each"]), help="Which objects are followed at a time.")
@click.option(
    "--json", "file", type=click.Path(path_type=Path), help="Keep the table, and go on with it if it is there."
)
@click.option("--limit", type=click.IntRange(1), help="No more than this many clips.")
@click.option("--difficulty", "difficulties", help="One or several, between commas: clips of these alone.")
def bench(trackers, dataset, split, objects, file, limit, difficulties):
    """Run trackers over a data set and tabulate J, F, frames/s and memory."""
    from vosnb import benchmark

    results = benchmark.bench(trackers, dataset, split, objects, file, limit, difficulties=difficulties)
    click.echo(benchmark.table(results))


WEIGHTS_TO_TRAIN = ("matching", "refinement", "base-net", "st-rnn", "dynamic-kernels", "meta", "e-osvos")


@main.command()
@click.argument("what", type=click.Choice(WEIGHTS_TO_TRAIN))
@click.option("--steps", type=click.IntRange(1), help="Batches; default as for the shipped weights.")
@click.option("--out", type=click.Path(path_type=Path), help="Weights file; default the shipped one.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of a run that was stopped.")
@click.option("--start-from", help="Weights to begin with: a name or a file.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="At the start of the schedule.")
@click.option("--same-species", type=click.FloatRange(0, 1), help="Share of clips with look-alikes; default 0.125.")
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

    --start-from is for `matching`, `meta` and `e-osvos`; --learning-rate, --same-species for `matching` alone;
    --kernels, --aspp, --shallow for `dynamic-kernels`; --learn, --norm, --loss for `meta` and `e-osvos`; --order,
    --tasks for `meta`, --parent-steps for `e-osvos`, which trains its parent first.
    """
    given = {name: value for name, value in given.items() if value is not None}
    owners = {"start_from": ("matching", "meta", "e-osvos"), "parent_steps": ("e-osvos",)}
    owners |= dict.fromkeys(("learning_rate", "same_species"), ("matching",))
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
    click.echo(f"Weights are in {train(seed=seed, resume=resume, **given)}")


@main.command()
@click.argument("name", type=click.Choice(["davis2016", "davis2017", "davis2017-full", "resnet18", "resnet34"]))
@click.option(
    "--to", "target", type=click.Path(path_type=Path), help="Where to; default in $VOSNB_DATA or ~/.cache/vosnb."
)
@click.option("--url", help="Another address of the same file: a mirror, or file:///... for a copy you have.")
@click.option("--sha256", help="Accept the file with this checksum instead of the known one.")
def data(name, target, url, sha256):
    """Download a data set, or a ResNet's ImageNet weights, from the owners; a download that was cut off goes on."""
    from vosnb.downloads import fetch

    click.echo(f"{name} is in {fetch(name, target, url, sha256)}")


# ------------------------------------------------------------------------------------------------- for teachers


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
def student(out):
    """Write the student edition (lessons without solutions) into the folder OUT."""
    from vosnb import course

    for notebook in course.student(out):
        click.echo(notebook)


@main.command()
@click.argument("lessons", nargs=-1)
@click.option("--execute/--no-execute", default=True, help="Without executing, unchanged cells keep their outputs.")
def build(lessons, execute):
    """Make notebooks from their text sources: all, or LESSONS by number."""
    from vosnb import course

    for name in course.build(lessons or None, execute=execute):
        click.echo(f"notebooks/{name}.ipynb")


@main.command()
@click.argument("lessons", nargs=-1)
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Lessons at a time.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A lesson parameter, e.g. MAX_CLIPS=1.")
def course(lessons, jobs, settings):
    """Run lessons headless and print seconds, memory, size and result of each."""
    from vosnb import course

    rows = course.run_course(lessons or None, course.parse_parameters(settings), jobs=jobs)
    raise SystemExit(any(row["result"] != "ok" for row in rows))


if __name__ == "__main__":
    main()
