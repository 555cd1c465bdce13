"""Files of tables."""

import csv
import json

import cv2
import numpy as np

from fml_jax.evaluation.figures import cumulative, curves, heat_colours, heat_scale, histograms, stacked
from fml_jax.evaluation.table import Part, Table, write_index, write_table


def table(name: str, **fields) -> Table:
    part = Part("Errors <of> all", ("", "mean"), [("landmarks & more", np.float64(1.23456))])
    rows = [{"photo": "a, b.jpg", "error": 1.5, "many": [1, 2]}, {"photo": "c.jpg", "yaw": -3.0}]
    return Table(name, f"Table {name}", "What it is.", [part], rows, **fields)


def test_files_hold_rows_sums_and_figures(tmp_path):
    sheet = np.zeros((4, 6, 3), np.uint8)
    sheet[..., 0] = 200
    write_table(tmp_path, table("photos", sheet=sheet), {"weights": "mine.npz"})
    with open(tmp_path / "photos.csv", newline="") as file:
        assert list(csv.reader(file)) == [["photo", "error", "yaw"], ["a, b.jpg", "1.5", ""], ["c.jpg", "", "-3.0"]]
    about = json.loads((tmp_path / "photos.json").read_text())
    assert about["parts"][0]["rows"] == [["landmarks & more", 1.23456]]
    assert about["settings"] == {"weights": "mine.npz"}
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "photos.png"))[0, 0], [0, 0, 200])


def test_the_page_shows_all_tables_of_the_folder(tmp_path):
    write_table(tmp_path, table("photos"), {})
    (tmp_path / "other.json").write_text("[1, 2")
    write_table(tmp_path, table("geometry", sheet=np.zeros((4, 6, 3), np.uint8)), {})
    text = write_index(tmp_path).read_text()
    assert text.index("Table geometry") < text.index("Table photos")
    assert "landmarks &amp; more" in text and "Errors &lt;of&gt; all" in text and "<td>1.235</td>" in text
    assert 'src="geometry.png"' in text and "photos.png" not in text
    assert not list(tmp_path.glob("*.partial"))


def test_heat_goes_from_dark_to_light_and_unknown_is_grey():
    colours = heat_colours(np.array([0.0, 1.0, 2.0, 5.0, np.nan]), most=2.0)
    brightness = colours.sum(axis=1)
    assert brightness[0] < brightness[1] < brightness[2] == brightness[3]
    assert (colours[4] == 0.6).all()


def test_curves_count_how_many_values_are_at_most_so_large():
    found = cumulative(np.array([3.0, 1.0, 2.0, 2.0]))
    np.testing.assert_array_equal(found.values, [1, 2, 2, 3])
    np.testing.assert_array_equal(found.percent, [25, 50, 75, 100])
    assert curves({"few": found, "beyond": cumulative(np.array([9.0]))}, "mm", "%", reach=5.0).std() > 5


def test_pictures_of_figures_fit_below_each_other():
    chart = histograms({"base": [0.1, 0.2, 0.9], "final": [0.05]}, "error", reach=0.3)
    assert chart.std() > 5
    whole = stacked([chart, heat_scale(3.0, "mm", 200)])
    assert whole.shape[1] == max(chart.shape[1], 200) and whole.shape[0] > chart.shape[0] + 30
