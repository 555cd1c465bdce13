"""Collections by name: each photo with its person and annotation, in an order that depends on names alone."""

import os

import cv2
import numpy as np
import pytest

from fml_jax.corpus.layouts import LAYOUTS, Source, find_photos
from fml_jax.errors import InputError
from fml_jax.photos.videos import VideoReader, sampled_frames


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_video(path, frames=20):
    """Frame k is grey, of brightness 10·k."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for k in range(frames):
        writer.write(np.full((48, 64, 3), 10 * k, np.uint8))
    writer.release()


def found(layout, place, **options):
    return find_photos([Source(layout, str(place))], **options)


def test_folders_are_people(tmp_path):
    for name in ("b/2.jpg", "a/1.png", "a/.hidden.jpg", "a/notes.txt"):
        touch(tmp_path / name)
    write_video(tmp_path / "c" / "clip.avi")
    photos = found("folder", tmp_path, seconds=1.0)
    assert [(photo.name, photo.person, photo.frame) for photo in photos] == [
        ("folder/a/1.png", "a", None),
        ("folder/b/2.jpg", "b", None),
        ("folder/c/clip.avi#000000", "c", 0),
        ("folder/c/clip.avi#000010", "c", 10),
    ]


def test_a_video_alone_is_an_input(tmp_path):
    write_video(tmp_path / "clip.avi")
    assert [photo.frame for photo in found("folder", tmp_path / "clip.avi", seconds=0.5)] == [0, 5, 10, 15]


def test_lists_name_photos_and_people(tmp_path):
    touch(tmp_path / "list.txt", b"# mine\nx/1.jpg, Zo\xc3\xab\n\nx/2.jpg\n")
    assert [(photo.name, photo.person) for photo in found("list", tmp_path / "list.txt")] == [
        ("list/x/1.jpg", "Zoë"),
        ("list/x/2.jpg", "x"),
    ]
    for content in (b"", b"a\x00b"):
        touch(tmp_path / "list.txt", content)
        with pytest.raises(InputError, match="a path a line"):
            found("list", tmp_path / "list.txt")


def test_celeba_has_people_and_boxes(tmp_path):
    for k in (1, 2):
        touch(tmp_path / "img_celeba" / f"00000{k}.jpg")
    with pytest.raises(InputError, match="identity_CelebA.txt is missing"):
        found("celeba", tmp_path)
    touch(tmp_path / "Anno" / "identity_CelebA.txt", b"000001.jpg 2880\n000002.jpg 2937\n")
    touch(tmp_path / "Anno" / "list_bbox_celeba.txt", b"1\nimage_id x_1 y_1 width height\n000001.jpg 95 71 226 313\n")
    first, second = found("celeba", tmp_path)
    assert (first.person, first.annotated) == ("2880", (94.5, 70.5, 320.5, 383.5))
    assert (second.person, second.annotated) == ("2937", None)


def test_celeba_with_broken_lists(tmp_path):
    touch(tmp_path / "img_celeba" / "000001.jpg")
    touch(tmp_path / "identity_CelebA.txt", b"000001.jpg caf\xe9\n")
    assert found("celeba", tmp_path)[0].person == "caf\\udce9"
    touch(tmp_path / "list_bbox_celeba.txt", b"000001.jpg 95 71 x 313\n")
    with pytest.raises(InputError, match="000001.jpg: its line of list_bbox_celeba.txt is not four numbers"):
        found("celeba", tmp_path)


def test_youtube_has_people_and_reference_landmarks(tmp_path):
    numbers = ",".join(str(float(k)) for k in range(136))
    touch(tmp_path / "Zo\xeb" / "Zo\xeb_01.jpg")
    touch(tmp_path / "points68.csv", f"Zo\xeb/Zo\xeb_01.jpg,{numbers}\n".encode())
    (photo,) = found("youtube", tmp_path)
    assert photo.person == "Zo\xeb" and photo.name == "youtube/Zo\xeb/Zo\xeb_01.jpg"
    assert photo.annotated == (-1, 0, 133, 134) and photo.reference68[1] == (1, 2)
    touch(tmp_path / "points68.csv", b"a/1.jpg,1,2\n")
    with pytest.raises(InputError, match="points68.csv: a/1.jpg: not 68 points"):
        found("youtube", tmp_path)


def test_names_that_are_not_unicode_stay_apart_and_can_be_printed(tmp_path):
    for name in (b"caf\xe9/1.jpg", b"caf\xe8/1.jpg"):
        touch(tmp_path / os.fsdecode(name))
    touch(tmp_path / "list.txt", b"caf\xe9/1.jpg\n")
    photos = found("folder", tmp_path) + found("list", tmp_path / "list.txt")
    assert len({photo.name for photo in photos}) == 3 and len({photo.person for photo in photos}) == 2
    assert "".join(photo.name + photo.person for photo in photos).encode()
    assert all(os.path.exists(photo.path) for photo in photos)


@pytest.mark.parametrize("place, said", [("", "empty path"), ("x" * 300, "too long"), ("a\0b", "null character")])
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_paths_that_cannot_be(layout, place, said):
    with pytest.raises(InputError, match=said if layout in ("folder", "lfw") or said != "too long" else "."):
        found(layout, place)


def test_300vw_takes_annotated_frames(tmp_path):
    write_video(tmp_path / "001" / "vid.avi")
    corners = "version: 1\nn_points: 68\n{\n" + "11 21\n51 81\n" * 34 + "}\n"
    touch(tmp_path / "001" / "annot" / "000011.pts", corners.encode())
    (photo,) = found("300vw", tmp_path, seconds=1.0)
    assert (photo.person, photo.frame, photo.annotated) == ("001", 10, (10, 20, 50, 80))
    touch(tmp_path / "001" / "annot" / "000011.pts", b"nothing")
    with pytest.raises(InputError, match="000011.pts"):
        found("300vw", tmp_path)


def test_lfw_and_facewarehouse_have_folders_of_people(tmp_path):
    touch(tmp_path / "Ann_Veneman" / "Ann_Veneman_0001.jpg")
    touch(tmp_path / "FaceWarehouse_Data_0" / "Tester_7" / "TrainingPose" / "pose_0.png")
    assert "Ann_Veneman" in {photo.person for photo in found("lfw", tmp_path)}
    (photo,) = found("facewarehouse", tmp_path)
    assert photo.person == "Tester_7" and photo.name.endswith("Tester_7/TrainingPose/pose_0.png")


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"list"}))
def test_other_layouts_are_told(layout, tmp_path):
    with pytest.raises(InputError):
        found(layout, tmp_path)
    assert LAYOUTS[layout].where and LAYOUTS[layout].terms


def test_two_inputs_of_one_layout_have_names_of_their_own(tmp_path):
    touch(tmp_path / "a" / "1.jpg")
    photos = find_photos([Source("folder", str(tmp_path)), Source("folder", str(tmp_path))])
    assert [photo.name for photo in photos] == ["folder/a/1.jpg", "folder-2/a/1.jpg"]
    assert [photo.source for photo in photos] == ["folder", "folder-2"]


def test_frames_are_the_same_in_any_order(tmp_path):
    write_video(tmp_path / "clip.avi")
    reader = VideoReader()
    for frame in (0, 5, 6, 19, 3):
        assert abs(reader.read(tmp_path / "clip.avi", frame).mean() - 10 * frame) < 3
    with pytest.raises(InputError, match="frame 20"):
        reader.read(tmp_path / "clip.avi", 20)
    assert reader.read(tmp_path / "clip.avi", 1).shape == (48, 64, 3)
    touch(tmp_path / "broken.avi", b"RIFF")
    assert sampled_frames(tmp_path / "broken.avi", 1.0) == [0]
    not_utf8 = (tmp_path / "clip.avi").rename(tmp_path / os.fsdecode(b"clip\xff.avi"))
    assert sampled_frames(not_utf8, 1.0) == [0, 10] and reader.read(not_utf8, 1).shape == (48, 64, 3)
    with pytest.raises(InputError, match="broken.avi"):
        reader.read(tmp_path / "broken.avi", 0)
