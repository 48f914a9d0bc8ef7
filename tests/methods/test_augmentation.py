"""More first frames than one: each step held to the authors' code."""

import cv2
import numpy as np
import pytest

from vosnb.methods.augmentation import (
    augment_first_frame,
    blur_kernel,
    cut_and_inpaint,
    draw,
    grid,
    paste,
    transform,
)

# What the oracle's transforms were made with, read off the matrices (they are stored, their settings are not).
SPECS = [
    ({"location": (0.4, 0.6), "angle": 20, "scale": 1.5, "skew": (0.1, 0.1)}, (2.0, 45)),
    ({"location": (0.5, 0.5), "angle": -30, "scale": 2.5, "flip": True}, (0.0, 0)),
    ({"location": (0.2, 0.3), "scale": 0.5}, (5.0, 135)),
    ({"location": (0.5, 0.5), "scale": 0.5 * 72 / 27}, (1.0, 90)),
    ({"location": (0.5, 0.5), "scale": 0.1}, (0.0, 0)),  # too small: raised to ten pixels
]


def picture(o):
    return o["image"].numpy().transpose(1, 2, 0), o["mask"].numpy()[0]


@pytest.mark.parametrize("i", range(5))
def test_transforms_and_blur_are_those_of_the_authors(oracle, i):
    o = oracle("frtm_augment")
    spec, blur = SPECS[i]
    T = transform((72, 108), tuple(o["bbox_cxcywh"].tolist()), **spec)
    np.testing.assert_allclose(T, o[f"spec{i}_T"], atol=1e-10)
    np.testing.assert_allclose(blur_kernel(*blur), o[f"spec{i}_G"], atol=1e-7)


def grey_levels(a, b):
    return np.abs(a.astype(float) - b.astype(float)).mean()


def test_cut_inpaint_and_paste_are_those_of_the_authors_to_a_grey_level(oracle):
    o = oracle("frtm_augment")
    cut, behind = cut_and_inpaint(*picture(o))
    assert grey_levels(cut, o["target_rgba_used"].numpy().transpose(1, 2, 0)) == 0
    assert grey_levels(behind, o["inpaint_used"].numpy().transpose(1, 2, 0)) < 1
    pasted, label = paste(behind, cut, picture(o)[1], o["spec0_T"].numpy(), o["spec0_G"].numpy())
    assert grey_levels(pasted, o["warped0"].numpy().transpose(1, 2, 0)) < 1
    np.testing.assert_array_equal(label, o["warped0_label"].numpy()[0])


def test_inpainting_takes_the_object_away_and_pasting_it_back_restores_the_picture(oracle):
    image, mask = picture(oracle("frtm_augment"))
    cut, behind = cut_and_inpaint(image, mask)
    far = cv2.dilate(mask, np.ones((5, 5), np.uint8)) == 0
    assert (behind[far] == image[far]).all() and (behind[mask > 0] != image[mask > 0]).any(-1).mean() > 0.9
    back, label = paste(behind, cut, mask, np.eye(3), np.ones((1, 1), np.float32))
    hole = cv2.dilate(mask, np.ones((3, 3), np.uint8)) - mask
    assert (back[hole == 0] == image[hole == 0]).all() and (label == mask).all()


def test_augmented_frames_are_the_first_one_and_others_with_their_masks(oracle):
    image, mask = picture(oracle("frtm_augment"))
    images, masks = augment_first_frame(image, mask, 8, seed=3)
    assert images.shape == (8, 72, 108, 3) and masks.shape == (8, 72, 108) and images.dtype == masks.dtype == np.uint8
    assert (images[0] == image).all() and (masks[0] == mask).all()
    assert set(np.unique(masks)) == {0, 1} and masks.any((1, 2)).all() and not masks.all((1, 2)).any()
    again, _ = augment_first_frame(image, mask, 8, seed=3)
    assert (again == images).all()
    assert not (augment_first_frame(image, mask, 8, seed=4)[0][1:] == images[1:]).all()
    assert all((masks[i] != masks[j]).any() for i in range(8) for j in range(i))


def test_what_is_drawn_is_drawn_without_replacement_and_places_cover_the_frame():
    r = np.random.default_rng(0)
    drawn = draw({"a": (1, 2, 3, 4, 5), "b": (True, False)}, 5, r)
    assert sorted(d["a"] for d in drawn) == [1, 2, 3, 4, 5] and len({d["b"] for d in drawn}) == 2
    places = np.array(grid(20, (72, 108), r))
    assert len(places) >= 20 and places.min() > 0 and places.max() < 1
    assert all((abs(places - corner).max(1) < 0.25).any() for corner in ((0, 0), (0, 1), (1, 0), (1, 1)))


def test_one_object_that_fills_the_frame_and_one_pixel_are_augmented_and_none_is_told():
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    single = np.zeros((40, 60), np.uint8)
    single[20, 30] = 1
    for mask in (np.ones((40, 60), np.uint8), single):
        images, masks = augment_first_frame(image, mask, 3)
        assert len(images) == 3 and masks.any((1, 2)).all()
    with pytest.raises(ValueError, match="must show the object"):
        augment_first_frame(image, np.zeros_like(single))
