"""OVIS's layout: what is written is read again, and what is wrong with it is said in one sentence."""

import json

import cv2
import numpy as np
import pytest
from ponds import assert_same, make_clip

from vosnb.clips import Clip, ClipError, load, write_ovis
from vosnb.clips.coco import decode
from vosnb.clips.ovis import vis_json


@pytest.fixture
def ovis(tmp_path):
    for name in ("pond", "moor"):
        write_ovis(make_clip(name, categories={1: "duck", 2: "toad"}), tmp_path / "ovis")
    return tmp_path / "ovis"


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_ovis_round_trip(ovis):
    pond, moor = load(ovis, "train")
    assert_same(pond, make_clip(), void=False)
    assert pond.appearances == {1: 0, 2: 5} and pond.info["categories"] == {1: "duck", 2: "toad"}
    assert (pond.info["ids"], moor.info["ids"]) == ([1, 2], [3, 4])


def test_ovis_run_lengths_as_numbers_are_down_the_columns(ovis):
    def change(content):
        content["annotations"][0]["segmentations"][0] = {"size": [40, 60], "counts": [40 * 2 + 3, 10, 2400 - 93]}

    edit(ovis / "annotations_train.json", change)
    expected = np.zeros((40, 60), np.uint8)
    expected[3:13, 2] = 1
    np.testing.assert_array_equal(load(ovis, "train")[0].masks[0], expected)


def test_ovis_numbers_objects_as_they_appear(ovis):
    edit(ovis / "annotations_train.json", lambda content: content["annotations"].reverse())
    pond = load(ovis, "train")[0]
    assert pond.appearances == {1: 0, 2: 5} and pond.info["ids"] == [1, 2]
    edit(ovis / "annotations_train.json", lambda content: content.update(annotations=None))
    assert load(ovis, "train")[0].masks[0] is None  # the public validation split


def test_ovis_faults(ovis):
    file = ovis / "annotations_train.json"
    with pytest.raises(ClipError, match="no split 'trian' but train; perhaps you mean train"):
        load(ovis, "trian")
    edit(file, lambda c: c["annotations"][0]["segmentations"][0].update(counts=[100, 20]))
    edit(file, lambda c: c["annotations"][0]["segmentations"][1].update(counts="~~~"))
    clip = load(ovis, "train")[0]
    for t in (0, 1):
        with pytest.raises(ClipError, match=r"annotation 1 of .*annotations_train\.json cannot be decoded"):
            _ = clip.masks[t]
    edit(file, lambda c: c["annotations"][0]["segmentations"].pop())
    with pytest.raises(ClipError, match="11 masks for annotation 1 but 12 frames"):
        _ = load(ovis, "train")[0].first_mask
    (ovis / "train/pond/img_0000003.jpg").unlink()
    pond, moor = load(ovis, "train")
    with pytest.raises(ClipError, match=r"img_0000003\.jpg is missing, though"):
        _ = pond.frames[0]
    assert moor.objects == [1, 2]  # the other clip is as it was
    file.write_text('{"pictures": []}')
    with pytest.raises(ClipError, match="is damaged: videos: field required"):
        load(ovis, "train")


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_are_those_of_coco(ovis, seed):
    """The text form, which OVIS uses, against pycocotools; long runs and runs that shrink and grow are among them."""
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(seed)
    ids = (cv2.GaussianBlur(rng.normal(size=(300, 400)), (0, 0), (0.5, 2, 8, 30)[seed]) > 0).astype(np.uint8)
    code = coco.encode(np.asfortranarray(ids))
    np.testing.assert_array_equal(decode({"counts": code["counts"].decode()}, ids.shape, ""), ids)
    clip = Clip.from_arrays("noise", np.zeros((1, 300, 400, 3), np.uint8), ids[None])
    write_ovis(clip, ovis)
    np.testing.assert_array_equal(load(ovis, "train")[-1].masks[0], ids)


def test_masks_become_a_json_that_pycocotools_reads():
    coco = pytest.importorskip("pycocotools.mask")
    clip = make_clip()
    clip.masks[0][0, 0] = 1  # a mask that begins with the object
    names = [f"{t}.jpg" for t in range(12)]
    found = json.loads(json.dumps(vis_json("pond", names, clip.size, clip.masks, [7, 3, 9], {1: "duck"})))
    assert [v["file_names"][11] for v in found["videos"]] == ["pond/11.jpg"]
    assert found["categories"] == [{"id": 1, "name": "duck"}, {"id": 2, "name": "object"}]
    assert [(a["id"], a["category_id"]) for a in found["annotations"]] == [(7, 1), (3, 2)], "nobody ever sees object 3"
    for k, about in enumerate(found["annotations"], 1):
        for t, runs in enumerate(about["segmentations"]):
            if runs is None:
                assert about["areas"][t] is about["bboxes"][t] is None and not (clip.masks[t] == k).any()
                continue
            code = coco.frPyObjects(runs, *clip.size)
            np.testing.assert_array_equal(coco.decode(code), clip.masks[t] == k)
            assert (about["areas"][t], about["bboxes"][t]) == (coco.area(code), coco.toBbox(code).tolist())
