"""The whole way from a photo to a face, on a real photo that scikit-image carries."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage import data

from fml_jax import InputError
from fml_jax.export.formats import DEFAULT
from fml_jax.image_formation.camera import project, to_camera
from fml_jax.photos.boxes import Detection
from fml_jax.photos.crops import apply_affine, crop_photo
from fml_jax.reconstruction import reconstructor as network
from fml_jax.reconstruction.pictures import render_all
from fml_jax.reconstruction.reconstructor import BATCH, SMALL_BATCH


def distance(a, b):
    return float(np.linalg.norm(np.asarray(a) - b, axis=-1).mean())


def test_a_face_has_all_its_fields(face):
    count = face.model.vertex_count
    assert face.vertices.shape == face.reflectance.shape == (count, 3)
    assert face.projected.shape == (count, 2) and face.landmarks68.shape == (68, 2) and face.box.shape == (4,)
    assert face.illumination.shape == (9, 3) and face.score > 0.9 and "open" in face.model_version
    assert 100 < np.ptp(face.vertices[:, 0]) < 300 and face.reflectance.mean() > 0.1


def test_landmarks_lie_on_the_face(face):
    """The astronaut's eyes and mouth, where MediaPipe sees them (rounded)."""
    eyes = [face.landmarks68[36:42].mean(0), face.landmarks68[42:48].mean(0)]
    assert distance(eyes, [[203, 101], [246, 103]]) < 5
    assert distance(face.landmarks68[48:60].mean(0), [223, 145]) < 5


def test_projected_is_the_camera_and_the_inverse_crop(face):
    pixels = np.asarray(project(to_camera(face.vertices, face.code.rotation, face.code.translation)))
    np.testing.assert_allclose(apply_affine(face.crop_from_photo, face.projected), pixels, atol=1e-2)


def test_a_photo_on_its_side_is_turned_upright(reconstructor, face, tmp_path):
    """A photo stored on its side with an EXIF orientation gives the same face."""
    photo = data.astronaut()
    ok, jpeg = cv2.imencode(".jpg", cv2.cvtColor(np.rot90(photo), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 98])
    assert ok
    (tmp_path / "turned.jpg").write_bytes(_with_orientation(jpeg.tobytes(), 6))
    turned = reconstructor(tmp_path / "turned.jpg")[0]
    assert turned.photo.shape == photo.shape
    assert distance(turned.landmarks68, face.landmarks68) < 2


def _with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF segment that holds nothing but the orientation."""
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01" + bytes(
        [0, orientation, 0, 0, 0, 0, 0, 0]
    )
    body = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


@pytest.mark.parametrize("form", ["grey", "rgba", "16 bit", "float"])
def test_other_kinds_of_pictures_give_the_same_place(reconstructor, face, form):
    photo = data.astronaut()
    changed = {
        "grey": lambda: cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY),
        "rgba": lambda: np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)]),
        "16 bit": lambda: photo.astype(np.uint16) * 257,
        "float": lambda: photo / 255.0,
    }[form]()
    found = reconstructor(changed)[0]
    assert distance(found.landmarks68, face.landmarks68) < (4 if form == "grey" else 0.1)


def test_boxes_that_are_given_are_used(reconstructor, face):
    found = reconstructor(data.astronaut(), boxes=[tuple(face.box), (300, 300, 400, 400)])
    assert len(found) == 2
    assert distance(found[0].landmarks68, face.landmarks68) < 0.1
    assert found[1].score < 0.5 < found[0].score  # the second box shows a space suit


def test_a_batch_gives_what_single_photos_give(reconstructor, face):
    shifted = [np.roll(data.astronaut(), k, axis=1) for k in (0, 3, 6)]
    together = reconstructor(shifted)
    alone = [reconstructor(photo)[0] for photo in shifted]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.vertices, other.vertices, atol=0.05)
        np.testing.assert_allclose(one.landmarks68, other.landmarks68, atol=0.05)


def test_more_crops_than_a_batch(reconstructor, face):
    crop = crop_photo(face.photo, face.crop_from_photo)
    codes, scores = reconstructor.codes(np.stack([crop] * (BATCH + 3)))
    assert scores.shape == (BATCH + 3,) and np.ptp(scores) < 1e-4
    np.testing.assert_allclose(codes.identity, np.broadcast_to(codes.identity[:1], codes.identity.shape), atol=1e-4)


def test_the_same_photo_twice_is_two_photos(reconstructor, face):
    found = reconstructor([data.astronaut(), data.astronaut()], boxes=[[tuple(face.box)], [tuple(face.box)]])
    assert [(one.source, one.index) for one in found] == [("photo 0", 0), ("photo 1", 0)]


def test_one_path_twice_is_two_photos(reconstructor, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
    assert [one.index for one in reconstructor([tmp_path / "a.png"] * 2)] == [0, 0]


def test_boxes_for_another_number_of_photos_are_refused(reconstructor):
    with pytest.raises(InputError, match="2 photos, but there are 1"):
        reconstructor([data.astronaut()], boxes=[[(0, 0, 9, 9)], [(0, 0, 9, 9)]])


def test_photos_are_let_go_in_chunks(reconstructor, monkeypatch):
    """Faces come out, photo by photo, before the next photos are read."""
    read = []

    def photos():
        for k in range(5):
            read.append(k)
            yield data.astronaut()

    class Counted(list):
        def __iter__(self):
            return photos()

    monkeypatch.setattr(network, "PHOTOS_AT_ONCE", 2)
    seen = [(one.source, len(read)) for one in reconstructor.stream(Counted(range(5)))]
    assert seen == [("photo 0", 2), ("photo 1", 2), ("photo 2", 4), ("photo 3", 4), ("photo 4", 5)]
    monkeypatch.setattr(network, "PHOTOS_AT_ONCE", 64)
    monkeypatch.setattr(network, "PIXELS_AT_ONCE", 512 * 512)
    read.clear()
    assert [len(read) for _ in reconstructor.stream(Counted(range(5)))] == [2, 2, 4, 4, 5]


def test_several_faces_largest_first(reconstructor, shared):
    found = reconstructor(shared / "photos/samples/trump_hillary.jpg")
    assert len(found) == 2 and [face.index for face in found] == [0, 1]
    sides = [face.box[2] - face.box[0] for face in found]
    assert sides[0] >= sides[1]


def test_one_bad_photo_is_reported_and_the_others_go_on(reconstructor, tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture")
    flat = np.full((200, 200, 3), 120, np.uint8)
    found = reconstructor([tmp_path / "text.jpg", data.astronaut(), flat, tmp_path / "absent.jpg"])
    assert [face.source for face in found] == ["photo 1"]
    names = [name for name, _ in found.failures]
    assert len(names) == 3 and "no face" in dict(found.failures)["photo 2"]
    assert all(name in reason and "\n" not in reason for name, reason in found.failures)


def test_a_single_bad_photo_raises(reconstructor):
    with pytest.raises(InputError, match="no face found"):
        reconstructor(np.full((200, 200, 3), 120, np.uint8))


@pytest.mark.parametrize("box", [(0, 0, 10), (10, 10, 5, 20), (0, 0, np.nan, 9), "box!"])
def test_a_box_that_is_none_is_refused(reconstructor, box):
    with pytest.raises(InputError, match="no box"):
        reconstructor(data.astronaut(), boxes=[box])


@pytest.mark.parametrize("box", [(-1e300, -1e300, 1e300, 1e300), (0, 0, 1e-300, 1e-300), (-9e4, 0, 9e4, 100)])
def test_a_box_of_no_faces_size_is_refused(reconstructor, box):
    with pytest.raises(InputError, match="no face's size in a photo of 512×512"):
        reconstructor(data.astronaut(), boxes=[box])


@pytest.mark.parametrize("boxes, reason", [([], "list of boxes is empty"), (5, "no list"), ("box!", "no list")])
def test_boxes_that_are_no_list_are_refused(reconstructor, boxes, reason):
    with pytest.raises(InputError, match=reason):
        reconstructor(data.astronaut(), boxes=boxes)
    assert reason in reconstructor([data.astronaut()], boxes=[boxes]).failures[0].reason


@pytest.mark.parametrize("box", [(600, 600, 700, 700), (-90, 10, -10, 90)])
def test_a_box_outside_the_photo_is_refused(reconstructor, box):
    with pytest.raises(InputError, match="outside the photo of 512×512"):
        reconstructor(data.astronaut(), boxes=[box])


def test_a_folder_is_no_photo(reconstructor, tmp_path):
    with pytest.raises(InputError, match="fml-reconstruct"):
        reconstructor(tmp_path)


def test_an_empty_path_is_not_the_current_folder(reconstructor):
    with pytest.raises(InputError, match="^the path of the photo is empty"):
        reconstructor("")


def test_printing_a_face_is_one_line(face):
    assert len(repr(face)) < 120 and "score" in repr(face)


@pytest.mark.parametrize("kind", ["photo", "overlay", "geometry", "reflectance", "shading", "landmarks"])
def test_pictures(face, kind):
    picture = face.render(kind, 120)
    assert picture.shape == (120, 120, 3) and picture.dtype == np.uint8
    assert picture.std() > 15


def test_the_overlay_covers_the_face_and_leaves_the_rest(face):
    overlay, photo = face.render("overlay").astype(int), face.render("photo").astype(int)
    changed = np.abs(overlay - photo).sum(-1) > 0
    assert changed[90:125, 80:160].mean() > 0.9 and changed[:20, :20].mean() == 0
    # It is drawn in the photo's colours: close to it on the cheeks and nose.
    assert np.abs(overlay - photo)[90:125, 80:160].mean() < 40


def test_a_strong_light_does_not_burn_out_the_picture_of_shading(face):
    strong = replace(face, code=face.code.replace(illumination=4 * face.code.illumination))
    assert (strong.render("shading") == 255).mean() < 0.05


def test_pictures_together_are_those_one_by_one(face):
    for kind, picture in render_all(face, ("photo", "geometry", "overlay"), 100).items():
        np.testing.assert_array_equal(picture, face.render(kind, 100))


def test_unknown_pictures_are_refused(face):
    with pytest.raises(ValueError, match="wireframe"):
        face.render("wireframe")


def test_threads_may_share_a_reconstructor(reconstructor, face):
    """A blank photo in one thread never becomes the failure of a good one in another."""
    blank, good, boxes = np.full((200, 200, 3), 120, np.uint8), data.astronaut(), [[tuple(face.box)]]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(30):
            failed, found = pool.submit(reconstructor, [blank]), pool.submit(reconstructor, [good], boxes)
            assert len(found.result()) == 1 and not found.result().failures
            assert not failed.result() and [failure.source for failure in failed.result().failures] == ["photo 0"]


def test_a_box_dropped_by_its_score_is_reported_with_the_remedy(reconstructor, face, monkeypatch):
    """Also in a photo with another face; a photo that keeps none is a failure."""
    boxes = [tuple(face.box), (300.0, 300.0, 400.0, 400.0)]
    monkeypatch.setattr(network, "detect_faces", lambda rgb, detector: [Detection(box, 0.3) for box in boxes])
    found = reconstructor([data.astronaut()])
    assert len(found) == 1 and not found.failures
    (dropped,) = found.dropped
    assert dropped.source == "photo 0" and dropped.box == boxes[1] and dropped.score < 0.5
    boxes.pop(0)
    with pytest.raises(InputError, match=r"photo 0: the box 300, 300, 400, 400 scores 0\.\d\d.*--min_score"):
        reconstructor(data.astronaut())


def test_photos_of_the_same_name_give_files_of_different_names(reconstructor, face, tmp_path):
    photo = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)
    for folder in ("p1", "p2"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "img.png"), photo)
    paths = [tmp_path / "p1" / "img.png", tmp_path / "p2" / "img.png"]
    saved = [file for each in reconstructor(paths, [[tuple(face.box)]] * 2) for file in each.save(tmp_path / "out")]
    count = 2 * len(DEFAULT)
    assert len(saved) == count and len(set(tmp_path.glob("out/*"))) == count


def test_frames_of_separate_calls_give_files_of_different_names(reconstructor, face, tmp_path):
    for k in range(2):
        reconstructor(np.roll(data.astronaut(), k, axis=1), boxes=[tuple(face.box)])[0].save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * len(DEFAULT)


def test_a_file_of_another_face_is_replaced_on_demand_alone(face, tmp_path):
    face.save(tmp_path, "one")
    face.save(tmp_path, "one")  # the same face again
    other = replace(face, source="elsewhere/photo.jpg")
    with pytest.raises(InputError, match="one_0.npz: another face's file.*overwrite=True"):
        other.save(tmp_path, "one")
    other.save(tmp_path, "one", overwrite=True)
    with pytest.raises(InputError, match="another face's file"):
        face.save(tmp_path, "one")


def test_a_pickled_face_is_small_and_complete(face):
    content = pickle.dumps(face)
    assert len(content) < 2_000_000
    back = pickle.loads(content)
    assert back.model is face.model and back.photo.shape == face.photo.shape
    for name in ("vertices", "triangles", "reflectance", "reflectance_corrections", "projected", "crop_from_photo"):
        np.testing.assert_array_equal(getattr(back, name), getattr(face, name))
    assert (back.source, back.name, back.score, back.angles) == (face.source, face.name, face.score, face.angles)
    for kind in ("photo", "overlay"):
        np.testing.assert_array_equal(back.render(kind), face.render(kind))


def test_a_pickled_large_face_is_small_too(reconstructor, face):
    photo = cv2.resize(data.astronaut()[:300, 80:380], None, fx=10, fy=10, interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(photo + np.random.default_rng(0).normal(0, 4, photo.shape), 0, 255).astype(np.uint8)
    large = reconstructor(noisy, boxes=[tuple((face.box - [80, 0, 80, 0]) * 10)])[0]
    content = pickle.dumps(replace(large, reflectance_corrections=large.reflectance))
    assert len(content) < 2_000_000
    difference = pickle.loads(content).render("photo").astype(float) - large.render("photo")
    assert np.abs(difference).mean() < 3


def test_a_copy_shares_the_model_and_nothing_else(face):
    for back in (copy.deepcopy(face), copy.copy(face)):
        assert back.model is face.model and back.photo.shape == face.photo.shape
        np.testing.assert_array_equal(back.photo, face.photo)
    assert copy.deepcopy(face).vertices is not face.vertices


@pytest.mark.parametrize("size", [-5, 0, 15, 4097, 100.5, "240", 10**9])
def test_a_size_that_is_none_is_refused(unchecked, face, size):
    with pytest.raises(InputError, match="no size of a picture"):
        face.render(size=size)


@pytest.mark.parametrize(
    "photo, reason",
    [
        (None, "photo 0 is None"),
        ("https://example.org/a.jpg", "a web address; download"),
        (7, "no picture"),
        ([[1, 2], [3]], "no picture"),
        ("", "."),
        ((k for k in range(3)), "no picture"),
    ],
)
def test_what_is_no_photo_is_refused_in_one_line(reconstructor, photo, reason):
    found = reconstructor([photo])
    assert not found and reason in found.failures[0].reason and "\n" not in found.failures[0].reason


@pytest.mark.parametrize("settings", [{"min_score": "high"}, {"min_score": float("nan")}, {"look_again": None}])
def test_limits_that_are_no_numbers_are_refused(unchecked, settings):
    with pytest.raises(InputError, match=f"{next(iter(settings))}=.*is no number"):
        network.Reconstructor(**settings)


def test_a_second_look_after_many_first_ones_is_a_batch_like_them(reconstructor, face, monkeypatch):
    compiled, sizes = network._compiled, []
    monkeypatch.setattr(network, "_compiled", lambda *of: sizes.append(of[1]) or compiled(*of))
    x0, y0, x1, y1 = face.box
    wide = (x0 - 50, y0 - 50, x1 + 50, y1 + 50)  # looked at again
    found = reconstructor([data.astronaut()] * 4, [[tuple(face.box)]] * 3 + [[wide]])
    assert len(found) == 4 and sizes == [SMALL_BATCH] * 3
