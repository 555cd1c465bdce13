"""Spherical-harmonics illumination, eq. 5: c = r ⊙ Σ_b γ_b H_b(n)."""

from jaxtyping import Float

from fml_jax.ops.arrays import Array, namespace

# H_b(n) is the shading that a unit coefficient gives a matt surface with normal n: the real
# spherical harmonic times the cosine lobe (π, 2π/3, π/4 by band; Ramamoorthi and Hanrahan),
# divided by π and scaled so that H_1 = 1. Thus γ_1 is the mean irradiance and γ = (1, 0, …) gives
# shading 1. Real harmonics: ½√(1/π); ½√(3/π); ½√(15/π) for the three products, ¼√(15/π) for
# x² − y², ¼√(5/π) for 3z² − 1.
_BAND_1 = (2.0 / 3.0) * 3.0**0.5
_BAND_2_PRODUCT = 0.25 * 15.0**0.5
_BAND_2_DIFFERENCE = 0.125 * 15.0**0.5
_BAND_2_ZONAL = 0.125 * 5.0**0.5


def sh_basis(normals: Float[Array, "N 3"]) -> Float[Array, "9 N"]:
    """H_b(n) for unit normals (camera axes), one row a harmonic, in the order 1, x, y, z, xy, xz, yz, x²−y², 3z²−1."""
    x, y, z = normals[:, 0], normals[:, 1], normals[:, 2]
    xp = namespace(normals)
    return xp.stack(
        [
            xp.ones_like(x),
            _BAND_1 * x,
            _BAND_1 * y,
            _BAND_1 * z,
            _BAND_2_PRODUCT * x * y,
            _BAND_2_PRODUCT * x * z,
            _BAND_2_PRODUCT * y * z,
            _BAND_2_DIFFERENCE * (x**2 - y**2),
            _BAND_2_ZONAL * (3 * z**2 - 1),
        ]
    )


def shading(normals: Float[Array, "N 3"], gamma: Float[Array, "9 3"]) -> Float[Array, "N 3"]:
    """Σ_b γ_b H_b(n): the factor on the reflectance, per vertex and colour channel (not clipped)."""
    return namespace(normals).einsum("bn,bc->nc", sh_basis(normals), gamma)


def rolled_light(gamma: Float[Array, "9 3"], roll: float | Float[Array, ""]) -> Float[Array, "9 3"]:
    """γ of the same lamps for a camera that has rolled by an angle in radians; NumPy's arrays stay NumPy's.

    The functions of x and y turn by the roll; xy and x² − y² turn by twice the roll.
    """
    module = gamma.__array_namespace__()
    turned = list(gamma)
    for first, second, angle in ((1, 2, roll), (5, 6, roll), (7, 4, 2 * roll)):
        cos, sin = module.cos(angle), module.sin(angle)
        turned[first] = cos * gamma[first] - sin * gamma[second]
        turned[second] = sin * gamma[first] + cos * gamma[second]
    return module.stack(turned)
