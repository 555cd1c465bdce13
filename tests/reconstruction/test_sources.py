"""Names of photos: stable, and no two alike."""

import numpy as np

from fml_jax.reconstruction.sources import Names


def names_of(*paths):
    names = Names()
    return [names.of_path(path) for path in paths]


def test_a_photo_is_named_after_its_stem():
    assert names_of("x/a.jpg", "x/b.jpg") == ["a", "b"]


def test_photos_of_one_folder_keep_their_extension_where_stems_are_alike():
    assert names_of("x/a.jpg", "x/a.png") == ["a", "a.png"]


def test_photos_of_other_folders_are_told_apart_by_them():
    assert names_of("p1/a.jpg", "p2/a.jpg") == ["a", "p2_a"]


def test_names_that_look_like_the_last_resort_are_none_of_it():
    paths = ["a.jpg", "a.jpg", "a.jpg_2.jpg", "a.png", "sub/a.jpg", "a.jpg", "A.JPG", "sub/a.jpg"]
    names = names_of(*paths)
    assert len({name.casefold() for name in names}) == len(paths) and names[0] == "a"


def test_arrays_are_named_by_their_pixels():
    one, other = np.zeros((40, 40, 3), np.uint8), np.ones((40, 40, 3), np.uint8)
    assert Names().of_array(one, 0) == Names().of_array(one.copy(), 0) != Names().of_array(other, 0)
    names = Names()
    assert names.of_array(one, 0) != names.of_array(one, 0)
