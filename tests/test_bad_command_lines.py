"""Bad command lines: each ends in one sentence, and no file that was there is changed.

The lines run in a small folder, made anew for each, in which `shot` and `first.png` are good and all else has a flaw.
"""

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file

from vosnb.cli import main
from vosnb.clips import write_mask
from vosnb.clips.masks import write_frame

LONG = "n" * 300  # a name that no system takes
DEEP = "[" * 5000

RUN = f"""
run
run shot
run shot --mask first.png
run shot --out o
run --mask first.png --out o
run shot shot --mask first.png --out o
run shot --mask first.png --scribbles strokes.json --out o
run shot --mask first.png --out o --nonsense
run shot --mask first.png --outt o
run nowhere --mask first.png --out o
run shott --mask first.png --out o
run "" --mask first.png --out o
run {LONG} --mask first.png --out o
run notes.txt --mask first.png --out o
run notes.txt/shot --mask first.png --out o
run empty --mask first.png --out o
run texts --mask first.png --out o
run film.mp4 --mask first.png --out o
run empty.mp4 --mask first.png --out o
run first.png --mask first.png --out o
run strokes.json --mask first.png --out o
run sizes --mask first.png --out o
run damaged-first --mask first.png --out o
run gap --mask first.png --out o
run /dev/null --mask first.png --out o
run fifo --mask first.png --out o
run "ein Ordner mit Ümläuten" --mask first.png --out o
run shot --mask no.png --out o
run shot --mask first.pgn --out o
run shot --mask "" --out o
run shot --mask {LONG} --out o
run shot --mask notes.txt --out o
run shot --mask notes.txt/first.png --out o
run shot --mask empty --out o
run shot --mask shot --out o
run shot --mask foreign --out o
run shot --mask small.png --out o
run shot --mask rgb.png --out o
run shot --mask black.png --out o
run shot --mask cut.png --out o
run shot --mask nothing.png --out o
run shot --mask smooth.png --out o
run shot --mask list.json --out o
run shot --mask /dev/null --out o
run shot --mask fifo --out o
run shot --scribbles no.json --out o
run shot --scribbles "" --out o
run shot --scribbles notes.txt --out o
run shot --scribbles empty --out o
run shot --scribbles nothing.json --out o
run shot --scribbles list.json --out o
run shot --scribbles deep.json --out o
run shot --scribbles latin.json --out o
run shot --scribbles other-strokes.json --out o
run shot --scribbles outside.json --out o
run shot --scribbles no-strokes.json --out o
run shot --scribbles first.png --out o
run shot --scribbles /dev/null --out o
run shot --scribbles strokes.json --tracker matching --out o
run shot --scribbles strokes.json --tracker rigde --out o
run shot --scribbles strokes.json --tracker ridge:bins=3 --out o
run shot --scribbles strokes.json --tracker ridge:lam=x --out o
run shot --scribbles strokes.json --tracker ridge:lam=nan --out o
run shot --scribbles strokes.json --tracker ridge:lam=-1 --out o
run shot --scribbles strokes.json --tracker ridge:negatives=x --out o
run shot --scribbles strokes.json --tracker ridge:negatives=-1 --out o
run shot --scribbles strokes.json --tracker ridge:propagated=7 --out o
run shot --scribbles strokes.json --tracker ridge:propagated=x --out o
run shot --scribbles strokes.json --tracker ridge:seed=-1 --out o
run shot --scribbles strokes.json --tracker ridge:seed=1.5 --out o
run shot --scribbles strokes.json --tracker ridge:backbone=vgg --out o
run shot --scribbles strokes.json --tracker ridge:backbone=3 --out o
run shot --mask first.png --out ""
run shot --mask first.png --out notes.txt
run shot --mask first.png --out notes.txt/o
run shot --mask first.png --out foreign
run shot --mask first.png --out shot
run shot --mask first.png --out first.png
run shot --mask first.png --out /dev/null
run shot --mask first.png --out /dev/full
run shot --mask first.png --out /proc/o
run shot --mask first.png --out {LONG}
run shot --mask first.png --out fifo
run shot --mask first.png --out broken-run
run shot --mask first.png --out list-run
run shot --mask first.png --out loop
"""

TRACKERS = f"""
:
=
matchin
""
" "
MATCHING
matching:
matching:every
matching:every=
matching:=3
matching:every=3:
matching:every=3:every=4
matching:evry=3
matching:every=x
matching:every=1.5
matching:every=0
matching:every=-1
matching:every=true
matching:every=null
matching:every=[1]
matching:every={{}}
matching:every=1e99
matching:every=999999999999
matching:every={"9" * 5000}
matching:every={DEEP}
matching:memory=sometimes
matching:memory=3
matching:capacity=0
matching:capacity=x
matching:beta=7
matching:beta=x
matching:beta=NaN
matching:beta=0
matching:net=1
matching:net=x
matching:short_side=x
matching:short_side=3
matching:short_side=1.5
matching:short_side=-Infinity
matching:device=gpu
matching:device=cuda
matching:device=cuda:9
matching:device=1
matching:device=meta
matching:device=true
matching:weights=no
matching:weights=1
matching:weights=notes.txt
matching:weights=cut.safetensors
matching:weights=nothing.safetensors
matching:weights=other.safetensors
matching:weights=wrong-sizes.safetensors
matching:weights=not-finite.safetensors
matching:weights=folder.safetensors
matching:weights={LONG}.safetensors
matching:weights=fifo.safetensors
matching:weights=/dev/null
matching:weights=st-rnn
matching:flip=2
matching:flip=x
matching:flip=null
matching:scales=x
matching:scales=nan
matching:scales=0
matching:scales=-1
matching:scales=1/
matching:scales=1e9
matching:scales=[]
matching:scales=null
matching++
++
matching++matchin
matching++still@every=3
matching++histogram@bins=x
still:bins=3
histogram:bins=x
histogram:bins=1
histogram:bins=1000
histogram:bins=2.5
matching+context:steps=-1
matching+context:steps=x
matching+context:learning_rate=0
matching+context:learning_rate=nan
matching+context:alpha=x
matching+context:alpha=-1
matching+context:tune=x
matching+context:optimizer=lbfgs
matching+context:patience=0
matching+context:loss=x
frtm:fusion=mean
frtm:augmented=0
frtm:augmented=x
frtm:update_every=0
frtm:update_every=1.5
frtm:remember=hard
frtm:gauss_newton=0
frtm:hidden=0
frtm:hidden=x
frtm:kappa=1
frtm:rate=1
frtm:regularisation=0
frtm:share=x
frtm:share=1
frtm:root=maybe
frtm:seed=-1
frtm:seed=x
frtm:init=zero
frtm:weights=other.safetensors
frtm:weights=matching
frtm+ridge:hidden=3
base-net:finetune=-1
base-net:finetune=x
base-net:batch=0
base-net:weights=notes.txt
ridge:lam=x
ridge:lam=0
ridge:share=x
ridge:share=1
ridge:context=x
ridge:backbone=vgg
ridge:backbone=resnet18
ridge+rnn:backbone=resnet18
ridge:sharpness=0
kernels:weights=matching
kernels:weights=no-card.safetensors
kernels:weights=bad-card.safetensors
kernels:net=1
one-shot:steps=-1
one-shot:steps=x
one-shot:rate=x
one-shot:rate=-1
one-shot:online=maybe
one-shot:every=0
one-shot:recent=0
one-shot:learner=1
one-shot:weights=matching
one-shot:weights=text.safetensors
one-shot:seed=-1
parent+finetune:rate=null
e-osvos-10:propagate=x
e-osvos-10:weights=one-shot
e-osvos-10:weights=bad-rates.safetensors
mätching
{LONG}
"""

BENCH = f"""
bench
bench --tracker
bench --tracker still --limit 0
bench --tracker still --limit x
bench --tracker still --limit 1.5
bench --tracker still --objects some
bench --tracker still extra
bench --tracker still,still
bench --tracker still,
bench --tracker ,
bench --tracker still --data nowhere
bench --tracker still --data ""
bench --tracker still --data notes.txt
bench --tracker still --data empty
bench --tracker still --data shot
bench --tracker still --data davis2018
bench --tracker still --data davis2017
bench --tracker still --data davis
bench --tracker still --data davis --split vall
bench --tracker still --data davis --split ""
bench --tracker still --data no-clips --split val
bench --tracker still --data latin-davis --split val
bench --tracker still --data broken-davis --split val
bench --tracker still --data list-davis --split val
bench --tracker still --data broken-youtube --split train
bench --tracker still --data list-youtube --split train
bench --tracker still --data deep-youtube --split train
bench --tracker still --data broken-ovis --split train
bench --tracker still --data list-ovis --split train
bench --tracker still --data {LONG}
bench --tracker still --data /dev/null
bench --tracker still --split tset
bench --tracker still --split ""
bench --tracker still --split generated
bench --tracker still --split generated:x
bench --tracker still --split generated:1
bench --tracker still --split generated:1:2:3
bench --tracker still --split generated:-1:2
bench --tracker still --split generated:1:0
bench --tracker still --split generated:1:-2
bench --tracker still --split generated:1.5:2
bench --tracker still --difficulty hard
bench --tracker still --difficulty ""
bench --tracker still --difficulty easy,
bench --tracker still --limit 1 --json notes.txt
bench --tracker still --limit 1 --json broken.json
bench --tracker still --limit 1 --json list.json
bench --tracker still --limit 1 --json nothing.json
bench --tracker still --limit 1 --json deep.json
bench --tracker still --limit 1 --json latin.json
bench --tracker still --limit 1 --json strokes.json
bench --tracker still --limit 1 --json first.png
bench --tracker still --limit 1 --json foreign
bench --tracker still --limit 1 --json notes.txt/r.json
bench --tracker still --limit 1 --json /dev/null
bench --tracker still --limit 1 --json /dev/full
bench --tracker still --limit 1 --json /proc/r.json
bench --tracker still --limit 1 --json {LONG}.json
bench --tracker still --limit 1 --json ""
bench --tracker still --limit 1 --json mine.json
"""

TRAIN = f"""
train
train everything
train ""
train matching extra
train matching --steps 0
train matching --steps -1
train matching --steps x
train matching --steps 1.5
train matching --steps 99999999999
train matching --seed x
train matching --seed -1
train matching --seed 1.5
train matching --seed 99999999999999999999999999
train matching --learning-rate 0
train matching --learning-rate -1
train matching --learning-rate x
train matching --learning-rate nan
train matching --learning-rate inf
train matching --same-species 2
train matching --same-species -1
train matching --same-species nan
train matching --same-species x
train matching --start-from no
train matching --start-from ""
train matching --start-from no.safetensors
train matching --start-from notes.txt
train matching --start-from empty
train matching --start-from cut.safetensors
train matching --start-from nothing.safetensors
train matching --start-from other.safetensors
train matching --start-from folder.safetensors
train matching --start-from st-rnn
train matching --backbone photo
train matching --heatmap -1
train matching --heatmap nan
train matching --keep-every 0
train meta --backbone photos
train st-rnn --heatmap 1
train matching --kernels both
train matching --aspp
train matching --norm group
train refinement --start-from matching
train refinement --learning-rate 1
train st-rnn --kernels none
train st-rnn --parent-steps 3
train dynamic-kernels --kernels some
train dynamic-kernels --same-species 0.5
train meta --learn weight
train meta --order third
train meta --tasks some
train meta --norm layer
train meta --loss hinge
train meta --parent-steps 3
train meta --start-from matching
train meta --start-from no.safetensors
train e-osvos --learn parent
train e-osvos --order second
train e-osvos --parent-steps 0
train e-osvos --start-from cut.safetensors
train e-osvos --start-from one-shot
train matching --resume --out never.safetensors
train refinement --resume --out never.safetensors
train base-net --resume --out never.safetensors
train st-rnn --resume --out never.safetensors
train dynamic-kernels --resume --out never.safetensors
train meta --resume --out never.safetensors
train e-osvos --resume --out never.safetensors
train matching --out ""
train matching --out notes.txt
train matching --out w
train matching --out foreign
train matching --out folder.safetensors
train matching --out notes.txt/w.safetensors
train refinement --out notes.txt/w.safetensors
train st-rnn --out /proc/w.safetensors
train dynamic-kernels --out /dev/null
train meta --out /dev/full
train e-osvos --out {LONG}.safetensors
train base-net --out fifo.safetensors
"""

PAINT = f"""
paint
paint nowhere
paint ""
paint {LONG}
paint notes.txt
paint notes.txt/shot
paint empty
paint film.mp4
paint empty.mp4
paint first.png
paint sizes
paint damaged-first
paint gap
paint /dev/null
paint fifo
paint shot shot
paint shot --nonsense
paint shot --out
paint shot --out ""
paint shot --out notes.txt
paint shot --out notes.txt/x.ipynb
paint shot --out /dev/null
paint shot --out /proc
paint shot --out /proc/x.ipynb
paint shot --out {LONG}
paint shot --out {LONG}.ipynb
"""

REST = f"""
nonsense
--nonsense
strat work
start notes.txt
start notes.txt/work
start ""
start /dev/null
start /proc/work
start {LONG}
start a b
reset
reset 77 foreign
reset x foreign
reset "" foreign
reset -1 foreign
reset 01 nowhere
reset 01 notes.txt
reset 01 notes.txt/work
reset 01 {LONG}
reset {LONG} foreign
doctor now
student
student notes.txt
student notes.txt/edition
student ""
student /dev/null
student /proc/edition
student {LONG}
student a b
build 77
build x
build ""
build --nonsense
course 77
course ""
course --jobs 0
course --jobs x
course --jobs -1
course --set
course --set X
course --set =1
course --set 1X=2
course --set ""
course 00 --set NOT_A_PARAMETER=1
data
data imagenet
data davis
data davis2017 extra
data davis2017 --url nonsense
data davis2017 --url ""
data davis2017 --url ftp2://somewhere/d.zip
data davis2017 --url file:///nowhere/d.zip
data davis2017 --url http://127.0.0.1:9/d.zip
data davis2017 --url file:///nowhere/d.zip --sha256 x
data davis2017 --to notes.txt --url file:///nowhere/d.zip
data davis2017 --to notes.txt/x --url file:///nowhere/d.zip
data davis2017 --to "" --url file:///nowhere/d.zip
data resnet18 --url file:///nowhere/r.pth
"""

LINES = [
    *(line for part in (RUN, PAINT, BENCH, TRAIN, REST) for line in part.split("\n") if line),
    *(f"bench --tracker {shlex.quote(t) if t[0] != chr(34) else t} --limit 1" for t in TRACKERS.split("\n") if t),
]

LIBRARY = re.compile(  # how libraries put it
    r"\[Errno|invalid literal|not supported between|Expected .* but got|expected str|codec can't|object is not|has no "
    r"attribute|could not (be broadcast|convert)|positional argument|must be (str|int|real)|Expecting value|NoneType|"
    r"<class|Traceback|line \d+ column|[Ee]rror\(|out of (bounds|range)|unpack|0x[0-9a-f]{6}|Could not run|not callable"
)


@pytest.fixture(scope="session")
def flawed(tmp_path_factory):
    """The folder that each line runs in a copy of."""
    root = tmp_path_factory.mktemp("flawed")
    rng, frame, mask = np.random.default_rng(0), np.full((32, 48, 3), 90, np.uint8), np.zeros((32, 48), np.uint8)
    mask[4:20, 6:22] = 1
    for name, size, kept in (
        ("shot", 3, (0, 1, 2)),
        ("gap", 4, (0, 1, 3)),
        ("davis/JPEGImages/480p/a", 3, (0, 1, 2)),
        ("broken-davis/JPEGImages/480p/a", 3, (0, 1, 2)),
        ("list-davis/JPEGImages/480p/a", 3, (0, 1, 2)),
        ("latin-davis/JPEGImages/480p/a", 3, (0, 1, 2)),
        ("sizes", 3, (0, 1)),
        ("damaged-first", 3, (1, 2)),
    ):
        for t in set(range(size)) & set(kept):
            write_frame(root / name / f"{t:05d}.jpg", frame)
    write_frame(root / "sizes" / "00002.jpg", frame[:16])
    (root / "damaged-first" / "00000.jpg").write_bytes(b"\xff\xd8\xff no picture")
    write_mask(root / "first.png", mask)
    write_mask(root / "small.png", mask[:16])
    write_mask(root / "black.png", 0 * mask)
    Image.fromarray(rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)).save(root / "rgb.png")
    Image.fromarray(np.tile(np.arange(48, dtype=np.uint8) * 5, (32, 1))).save(root / "smooth.png")
    (root / "cut.png").write_bytes((root / "first.png").read_bytes()[:-30])
    for folder in ("empty", "no-clips/JPEGImages", "folder.safetensors", "cache"):
        (root / folder).mkdir(parents=True)
    strokes = {"sequence": "shot", "scribbles": [[{"object_id": 1, "path": [[0.2, 0.2], [0.4, 0.4]]}], [], []]}
    outside = {"sequence": "shot", "scribbles": [[{"object_id": 1, "path": [[2, 2], [3, 3]]}], [], []]}
    texts = {
        "strokes.json": json.dumps(strokes),
        "other-strokes.json": json.dumps(strokes | {"scribbles": [[]]}),
        "no-strokes.json": json.dumps(strokes | {"scribbles": [[], [], []]}),
        "outside.json": json.dumps(outside),
        "list.json": "[1, 2]",
        "deep.json": DEEP,
        "broken.json": '{"rows": [',
        "mine.json": '{"my": "own"}',
        "latin.json": '{"name": "Stra\udcdfe"}',
        "nothing.json": "",
        "nothing.png": "",
        "empty.mp4": "",
        "nothing.safetensors": "",
        "film.mp4": "no film",
        "text.safetensors": "no weights, but a text that is long enough to be read as a header of some size",
        "notes.txt": "my notes",
        "texts/a.txt": "no picture",
        "foreign/notes.txt": "my notes, too",
        "davis/ImageSets/2017/val.txt": "a\nb\n",
        "davis/ImageSets/2017/test.txt": "b\n",
        "no-clips/ImageSets/2017/val.txt": "\n",
        "latin-davis/ImageSets/2017/val.txt": "Stra\udcdfe\n",
        "broken-davis/clips.json": '{"clips": ',
        "list-davis/clips.json": "[]",
        "broken-youtube/train/meta.json": "{",
        "list-youtube/train/meta.json": "[1]",
        "deep-youtube/train/meta.json": DEEP,
        "broken-ovis/annotations_train.json": "{",
        "list-ovis/annotations_train.json": "[1]",
        "broken-run/run.json": '{"vosnb": ',
        "empty-run/run.json": "",
        "list-run/run.json": "[1]",
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    some = {"a": torch.zeros(3)}
    save_file(some, root / "other.safetensors")
    save_file({"a": torch.full((3,), torch.nan)}, root / "not-finite.safetensors")
    save_file({"query_key.bias": torch.zeros(3)}, root / "wrong-sizes.safetensors")
    save_file(some, root / "no-card.safetensors", {"network": "KernelNet"})
    save_file(some, root / "bad-card.safetensors", {"network": "KernelNet", "settings": '{"nonsense": 3}'})
    save_file({"rates.a": torch.zeros(3)}, root / "bad-rates.safetensors", {"network": "MaskRCNN", "settings": "{}"})
    (root / "cut.safetensors").write_bytes((root / "other.safetensors").read_bytes()[:-5])
    (root / "loop").symlink_to("loop")
    return root


def digests(root: Path) -> dict[str, str]:
    """{path: digest} of all regular files."""
    files = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files if p.is_file()}


def keep_empty(fifo: Path) -> None:
    while fifo.exists():
        with contextlib.suppress(OSError):
            fifo.open("wb").close()


def too_slow(*_):
    raise TimeoutError("the command did not end")


@pytest.mark.parametrize("line", LINES, ids=[line[:80] for line in LINES])
def test_a_bad_command_line_ends_in_one_sentence_and_changes_nothing(line, flawed, tmp_path, monkeypatch):
    root = shutil.copytree(flawed, tmp_path / "here", symlinks=True)
    for fifo in ("fifo", "fifo.safetensors"):
        os.mkfifo(root / fifo)
        if fifo in line:  # whoever opens it finds it empty, and does not wait for ever
            threading.Thread(target=keep_empty, args=(root / fifo,), daemon=True).start()
    monkeypatch.chdir(root)
    monkeypatch.setenv("VOSNB_DATA", str(root / "cache"))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between tries of a download
    before = digests(root)
    signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(5)
    try:
        result = CliRunner().invoke(main, shlex.split(line))
    finally:
        signal.alarm(0)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"a traceback: {result.exception!r}") from result.exception
    assert result.exit_code in (1, 2), result.output
    assert len(re.findall("^Error: ", result.stderr, re.M)) == 1 and "Traceback" not in result.output
    said = result.stderr.partition("Error: ")[2].strip()
    assert not LIBRARY.search(said), said
    if result.exit_code == 1:  # ours; click has its own words for usage
        assert result.stderr.startswith("Error: ") and "\n" not in said and len(said) >= 25 and said[-1] in ".?", said
        assert len(said) < 1200, "a sentence that nobody reads to its end"
    after = digests(root)
    assert {path: after.get(path) for path in before} == before, "a file that was there was changed"
    left = sorted(path.removeprefix(str(root)) for path in after.keys() - before.keys())
    assert not [path for path in left if ".half" in path or ".tmp" in path], left
    if not line.startswith("run sizes"):  # what was done before the flaw stays
        assert not left, left


def test_there_are_many_lines_and_none_twice():
    assert len(LINES) >= 250 and len(set(LINES)) == len(LINES)
