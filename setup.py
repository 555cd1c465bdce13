from setuptools import find_packages, setup

setup(
    name="fml_jax",
    version="0.1.0",
    description="3D faces from photos, with a face model that is learned, in JAX",
    python_requires=">=3.11",
    packages=find_packages(include=["fml_jax", "fml_jax.*"]),
    package_data={"fml_jax.face_model": ["*.npz", "*.md"], "fml_jax.reconstruction": ["*.npz", "*.md"]},
    install_requires=[
        "absl-py",
        "array_record",
        "flax>=0.12",
        "grain>=0.2.18",
        "jax>=0.10",
        "jaxtyping",
        "matplotlib",
        "ml_collections",
        "msgpack",
        "numpy",
        "opencv-contrib-python>=4.10,<5",  # 5 comes without the Haar cascades
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12,<1",
        "pooch",
        "scipy",
        "tensorboardX",
        "tqdm",
    ],
    extras_require={"landmarks": ["mediapipe>=1.2"], "ray": ["ray>=2.60"], "benchmarks": ["torch==2.13.0"]},
)
