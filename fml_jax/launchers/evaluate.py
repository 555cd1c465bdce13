"""Measures a network: one table after the other, each with its rows, its sums and a sheet of figures.

    fml-evaluate --photos=LFW --output=out/evaluation
    fml-evaluate --synthetic=data/synthetic_validation
    fml-evaluate --scans=SCANS --views=4

Without --tables, those are made whose data are given. The tables:

  photos       --photos: found faces, landmarks and pose against MediaPipe's and colours on photos of people outside
               the training split, which lie in one folder per person; by yaw and light. Files that are named as
               UTKFace's, age_sex_group_..., may lie in one folder: then also by age and group
  geometry     --scans: pictures of scans, rendered here, against the scans. With --tables=geometry --synthetic also
               renders whose true surfaces are stored. Levels, the mean face, the best in the model's span, and
               MediaPipe's mesh, after alignment and after correspondence. Other programs can be run on the pictures,
               which are in the output's renders/; --meshes=FOLDER then measures their meshes in the same way
  consistency  --frames, and with --tables=consistency --photos: neutral faces within a person and between people. With
               photos also how far a mirrored photo, a shifted box, half the size, blur and JPEG move the face
  reflectance  only by --tables=reflectance, with or without --photos: the skin of --count people who are rendered here,
               by a base level with all modes and with half of them; one person under two lights beside two people
  optimisation only by --tables=optimisation, with or without --photos: the same energy minimised from the network's
               answer and from the mean face, of --count people who are rendered here and of photos (some 15 s a face)
  synthetic    --synthetic: codes of rendered faces against the true ones

Benchmarks, for users who have their data (docs/guides/benchmarks.md has the folders):

  now          --now: NoW, neutral scans against faces without expression, by category; with --split=test the test list
  realy        --realy: REALY, four regions of scans against frontal photos, each aligned by itself
  aflw2000     --aflw2000: AFLW2000-3D, 68 landmarks and pose by yaw
  facewarehouse  --facewarehouse: nine people with twenty expressions, as in the paper's table 1

Each table is printed as Markdown and written as NAME.csv (a row for each photo), NAME.json (the sums) and NAME.png
(figures); index.html in the output folder shows all tables. Rows are kept in the folder's rows/: the same command goes
on where it was stopped, and measures only photos that are new. Rows of other weights, face models or settings are kept
apart.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from absl import flags

from fml_jax.errors import InputError
from fml_jax.files import output_folder
from fml_jax.launchers.command_line import define_face_model_flag, run_launcher

if TYPE_CHECKING:
    from fml_jax.evaluation.job import Job
    from fml_jax.evaluation.table import Table

_FLAGS = flags.FlagValues()
_TABLES = flags.DEFINE_list("tables", [], "Tables to make; without it, those whose data are given.", flag_values=_FLAGS)
_PHOTOS = flags.DEFINE_string("photos", None, "Folder of photos, one folder a person.", flag_values=_FLAGS)
_SYNTHETIC = flags.DEFINE_string(
    "synthetic", None, "Folder that fml-prepare --layout=synthetic made.", flag_values=_FLAGS
)
_SCANS = flags.DEFINE_list(
    "scans",
    [],
    "Meshes (.obj, .ply) in mm that look along +z with y up, or have landmarks beside them; or folders of them.",
    flag_values=_FLAGS,
)
_VIEWS = flags.DEFINE_integer(
    "views", 20, "Pictures of each scan: five turns, four lights.", lower_bound=1, upper_bound=20, flag_values=_FLAGS
)
_MESHES = flags.DEFINE_list(
    "meshes", [], "Folders of other programs' meshes, named like the pictures in OUTPUT/renders.", flag_values=_FLAGS
)
_EOS = flags.DEFINE_list(
    "eos",
    [],
    "MODEL.bin,MAPPING.txt[,BLENDSHAPES.bin]: a model that eos-py fits to the pictures of scans, as a peer.",
    flag_values=_FLAGS,
)
_FRAMES = flags.DEFINE_string("frames", None, "Folder of frames of clips, one folder a person.", flag_values=_FLAGS)
_PEOPLE = flags.DEFINE_integer("people", 20, "People of --frames.", lower_bound=2, flag_values=_FLAGS)
_FRAMES_EACH = flags.DEFINE_integer("frames_each", 10, "Frames of each of them.", lower_bound=2, flag_values=_FLAGS)
_NOW = flags.DEFINE_string("now", None, "Folder of NoW: iphone_pictures, scans, landmarks.", flag_values=_FLAGS)
_REALY = flags.DEFINE_string("realy", None, "Folder of REALY: images, keypoints, regions.", flag_values=_FLAGS)
_AFLW2000 = flags.DEFINE_string("aflw2000", None, "Folder of AFLW2000-3D: .jpg and .mat files.", flag_values=_FLAGS)
_FACEWAREHOUSE = flags.DEFINE_string(
    "facewarehouse", None, "Folder of FaceWarehouse: Tester_1/TrainingPose and so on.", flag_values=_FLAGS
)
_OUTPUT = flags.DEFINE_string("output", "out/evaluation", "Folder of the results.", flag_values=_FLAGS)
_COUNT = flags.DEFINE_integer(
    "count",
    None,
    "Photos, or rendered people, to take; without it 400, 100 (reflectance), 24 (optimisation), all of a benchmark.",
    lower_bound=1,
    flag_values=_FLAGS,
)
_SPLIT = flags.DEFINE_enum(
    "split", "validation", ["validation", "test"], "Whose photos; choices are made on validation.", flag_values=_FLAGS
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    None,
    "Processes that measure photos; by default one a core, if there are enough photos.",
    lower_bound=1,
    flag_values=_FLAGS,
)
_REFINE = flags.DEFINE_bool(
    "refine", True, "Also refine each face; of photos twice: with all landmarks and with half.", flag_values=_FLAGS
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "A weights.npz instead of the network that comes along.", flag_values=_FLAGS
)
_FACE_MODEL = define_face_model_flag(_FLAGS)


def main() -> None:
    """Measures, writes the tables and prints them."""
    from fml_jax.evaluation.job import Job

    names = chosen_tables()
    folder = output_folder(_OUTPUT.value)
    job = Job(
        folder,
        _WEIGHTS.value,
        _FACE_MODEL.value,
        _COUNT.value or Job.count,
        refine=_REFINE.value,
        split=_SPLIT.value,
        most=_COUNT.value,
        workers=_WORKERS.value,
    )
    if _WEIGHTS.value or _FACE_MODEL.value:
        job.load()
    for name in names:
        job.write(TABLES[name](job), **_data())
    print(f"{folder / 'index.html'} shows all tables")


def photos(job: "Job") -> "Table":
    """Table "photos"."""
    from fml_jax.evaluation.photo_table import photo_table

    return photo_table(job, _given(_PHOTOS))


def geometry(job: "Job") -> "Table":
    """Table "geometry"."""
    from fml_jax.evaluation.geometry_table import geometry_table

    peers = {"meshes": _MESHES.value, "eos": _EOS.value}
    return geometry_table(job, _SCANS.value, _SYNTHETIC.value, views=_VIEWS.value, **peers)


def consistency(job: "Job") -> "Table":
    """Table "consistency"."""
    from fml_jax.evaluation.consistency_table import consistency_table

    sizes = {"people": _PEOPLE.value, "frames_each": _FRAMES_EACH.value}
    return consistency_table(job, _PHOTOS.value, _FRAMES.value, **sizes)


def reflectance(job: "Job") -> "Table":
    """Table "reflectance"."""
    from fml_jax.evaluation.reflectance_table import reflectance_table

    return reflectance_table(job, _PHOTOS.value)


def optimisation(job: "Job") -> "Table":
    """Table "optimisation"."""
    from fml_jax.evaluation.optimisation_table import optimisation_table

    return optimisation_table(job, _PHOTOS.value)


def synthetic(job: "Job") -> "Table":
    """Table "synthetic"."""
    from fml_jax.evaluation.synthetic_table import synthetic_table

    return synthetic_table(job, _given(_SYNTHETIC))


def now(job: "Job") -> "Table":
    """Table "now"."""
    from fml_jax.evaluation.now_table import now_table

    return now_table(job, _given(_NOW))


def realy(job: "Job") -> "Table":
    """Table "realy"."""
    from fml_jax.evaluation.realy_table import realy_table

    return realy_table(job, _given(_REALY))


def aflw2000(job: "Job") -> "Table":
    """Table "aflw2000"."""
    from fml_jax.evaluation.aflw2000_table import aflw2000_table

    return aflw2000_table(job, _given(_AFLW2000))


def facewarehouse(job: "Job") -> "Table":
    """Table "facewarehouse"."""
    from fml_jax.evaluation.facewarehouse_table import facewarehouse_table

    return facewarehouse_table(job, _given(_FACEWAREHOUSE))


TABLES: dict[str, Callable[["Job"], "Table"]] = {
    "photos": photos,
    "geometry": geometry,
    "consistency": consistency,
    "reflectance": reflectance,
    "optimisation": optimisation,
    "synthetic": synthetic,
    "now": now,
    "realy": realy,
    "aflw2000": aflw2000,
    "facewarehouse": facewarehouse,
}
# Flags by which a table is chosen where --tables is not given.
_DEFAULTS = {
    "photos": (_PHOTOS,),
    "geometry": (_SCANS,),
    "consistency": (_FRAMES,),
    "synthetic": (_SYNTHETIC,),
    "now": (_NOW,),
    "realy": (_REALY,),
    "aflw2000": (_AFLW2000,),
    "facewarehouse": (_FACEWAREHOUSE,),
}


def chosen_tables() -> list[str]:
    """The names of --tables, or of the tables whose data are given.

    Raises:
      InputError: an unknown name, or no data at all.
    """
    if unknown := set(_TABLES.value) - TABLES.keys():
        raise InputError(f"--tables: {sorted(unknown)[0]} is unknown; choose from {', '.join(TABLES)}")
    names = _TABLES.value or [name for name, data in _DEFAULTS.items() if any(flag.value for flag in data)]
    if not names:
        raise InputError("nothing to measure on; give --photos, --scans or another flag of data; see --help")
    return list(dict.fromkeys(names))


def _given(flag: flags.FlagHolder) -> str:
    if not flag.value:
        raise InputError(f"--{flag.name} is missing, which a table of --tables needs; see --help")
    return flag.value


def _data() -> dict[str, str]:
    """The data flags that are given, for the tables' notes."""
    from fml_jax.evaluation.job import Job

    given = {flag.name: flag.value for data in _DEFAULTS.values() for flag in data if flag.value}
    used = {name: ",".join(value) if isinstance(value, list) else value for name, value in given.items()}
    return used | {"split": _SPLIT.value, "count": str(_COUNT.value or f"{Job.count}, of benchmarks all")}


def run() -> None:
    """The command `fml-evaluate`."""
    run_launcher(main, _FLAGS)
