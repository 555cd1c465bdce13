"""The second stage's training step as one would write it in PyTorch: what `training_step` compares with.

Nothing here is shared with `fml_jax`, JAX is not even loaded: AlexNet of `torch.nn` layers (grouped
convolutions as such), the face model as `einsum`, normals by `index_add`, `grid_sample`, autograd, and
`torch.optim.Adadelta` with a rate a parameter group. Equation numbers are the paper's. It needs
`pip install torch==2.13.0`, which nothing else here does.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

FOCAL, MIDDLE = 4.5 * 240, 119.5  # pixels of the crop
CONTOUR = 17
# Layers of the encoder by their names in Flax; where two are named, each is one group of a convolution.
CONVOLUTIONS = (("Conv_0",), ("Conv_1", "Conv_2"), ("Conv_3",), ("Conv_4", "Conv_5"), ("Conv_6", "Conv_7"))
DENSE = ("Dense_0", "Dense_1", "code", "score")
# neutral + scale · raw of pose and light; the other parts of a code are taken as they come.
SCALE = np.array([0.5] * 3 + [20, 20, 120] + [0.3] * 27, np.float32)
NEUTRAL = np.array([math.pi, 0, 0, 0, 0, 920] + [1] * 3 + [0] * 24, np.float32)


def state_dict(flat: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Parameters of `fml_jax` (or their gradients), by their '/'-joined names, as `PlainNetwork` has them."""
    state = {}
    for k, names in enumerate(CONVOLUTIONS):
        kernels = [flat[f"encoder/{name}/kernel"].transpose(3, 2, 0, 1) for name in names]
        state[f"convolutions.{k}.weight"] = np.concatenate(kernels)
        state[f"convolutions.{k}.bias"] = np.concatenate([flat[f"encoder/{name}/bias"] for name in names])
    for name in DENSE:
        kernel = flat[f"encoder/{name}/kernel"].T
        if name == "Dense_0":  # it reads a map of 6×6×256, here with the channels first
            kernel = kernel.reshape(-1, 6, 6, 256).transpose(0, 3, 1, 2).reshape(len(kernel), -1)
        state[f"dense.{name}.weight"], state[f"dense.{name}.bias"] = kernel, flat[f"encoder/{name}/bias"]
    state["final.weight"], state["final.bias"] = flat["final/kernel"].T, flat["final/bias"]
    for space in ("geometry", "reflectance"):
        if f"correctives/{space}/modes" in flat:
            offset = flat[f"correctives/{space}/offset"]
            state[f"correctives.{space}_modes"] = flat[f"correctives/{space}/modes"].reshape(-1, *offset.shape)
            state[f"correctives.{space}_offset"] = offset
    return {name: torch.from_numpy(np.require(array, requirements=["C", "W"])) for name, array in state.items()}


class PlainNetwork(nn.Module):
    """AlexNet, the final layer and both linear corrective spaces."""

    def __init__(self, state: dict[str, torch.Tensor]):
        super().__init__()
        widths = (
            (3, 96, 11, 4, 0, 1),
            (96, 256, 5, 1, 2, 2),
            (256, 384, 3, 1, 1, 1),
            (384, 384, 3, 1, 1, 2),
            (384, 256, 3, 1, 1, 2),
        )
        self.convolutions = nn.ModuleList(nn.Conv2d(*width[:5], groups=width[5], device="meta") for width in widths)
        sides = {name: state[f"dense.{name}.weight"].shape for name in DENSE}
        self.dense = nn.ModuleDict({name: nn.Linear(*side[::-1], device="meta") for name, side in sides.items()})
        self.final = nn.Linear(*state["final.weight"].shape[::-1], device="meta")
        spaces = {
            name.split(".")[1]: nn.Parameter(array) for name, array in state.items() if name.startswith("correctives")
        }
        self.correctives = nn.ParameterDict(spaces)
        self.load_state_dict(state, assign=True)

    def forward(self, crops):  # [B, 240, 240, 3]
        x = (crops.permute(0, 3, 1, 2) - 0.5) / 0.25
        for k, convolution in enumerate(self.convolutions):
            x = F.relu(convolution(x))
            x = F.max_pool2d(x, 3, 2) if k in (0, 1, 4) else x
        x = x.flatten(1)
        for name in ("Dense_0", "Dense_1"):
            x = F.relu(self.dense[name](x))
        return self.dense["code"](x), self.dense["score"](x)[:, 0], self.final(x)

    def corrections(self, space, delta):
        """F(δ) [B, N, 3], eq. 1 and 2."""
        return (
            torch.einsum("bk,knc->bnc", delta, self.correctives[f"{space}_modes"]) + self.correctives[f"{space}_offset"]
        )


class PlainEnergy:
    """E of both levels (eq. 6–15) and the score's cross-entropy, mean over a batch."""

    def __init__(self, model: dict[str, np.ndarray], weights: dict[str, float], score: float):
        """`model`: the arrays of a BaseModel and its edges, by name."""
        self.model = {name: torch.from_numpy(array) for name, array in model.items()}
        self.weights, self.score = weights, score
        edges, count = self.model["edges"], len(self.model["mean"])
        degrees = torch.zeros(count).index_add(0, edges[:, 0], torch.ones(len(edges)))
        self.neighbours, self.joined = degrees.clamp(min=1)[:, None], (degrees > 0).float()

    def __call__(self, network, batch):
        model, weights = self.model, self.weights
        crops = batch["crop"].float() / 255
        raw, score, added = network(crops)
        sizes = [len(model[name]) for name in ("identity", "expression", "reflectance")]
        alpha, epsilon, beta, rest = raw.split([*sizes, 33], dim=1)
        rest = torch.from_numpy(NEUTRAL) + torch.from_numpy(SCALE) * rest
        axis_angle, translation, gamma = rest[:, :3], rest[:, 3:6], rest[:, 6:].reshape(-1, 9, 3)
        count = (added.shape[1] - 27) // 2
        delta_g, delta_r, light = added.split([count, count, 27], dim=1)
        geometry = model["mean"] + torch.einsum("bk,knc->bnc", alpha, model["identity"])
        geometry = geometry + torch.einsum("bk,knc->bnc", epsilon, model["expression"])
        skin = model["reflectance_mean"] + torch.einsum("bk,knc->bnc", beta, model["reflectance"])
        moved, tinted = network.corrections("geometry", delta_g), network.corrections("reflectance", delta_r)
        rotation = rodrigues(axis_angle)
        base = self.points(geometry, skin, rotation, translation, gamma)
        final = self.points(
            geometry + moved, skin + tinted, rotation, translation, gamma + 0.3 * light.reshape(-1, 9, 3)
        )
        images = torch.cat([crops, batch["mask"].float()[..., None]], dim=3).permute(0, 3, 1, 2)
        base_photo, _ = self.photometric(images, base)
        final_photo, seen = self.photometric(images, final)
        energy = weights["sparse"] * self.sparse(base["positions"], batch) + weights["photo"] * (
            base_photo + final_photo
        )
        prior = alpha.square().sum(1) + epsilon.square().sum(1) + weights["rstd"] * beta.square().sum(1)
        prior = prior + weights["smo"] * self.smoothness(moved) + weights["sta"] * moved.square().sum(2).mean(1)
        prior = prior + weights["ref"] * self.sparsity(skin + tinted, seen)
        prior = prior + weights["glo"] * self.constancy(skin + tinted, batch["partners"])
        energy = batch["is_face"] * (energy + weights["reg"] * prior)
        return (
            energy + self.score * F.binary_cross_entropy_with_logits(score, batch["is_face"], reduction="none")
        ).mean()

    def points(self, vertices, skin, rotation, translation, gamma):
        """Section 5: positions, pixels, visibility and colours."""
        positions = vertices @ rotation.transpose(1, 2) + translation[:, None]
        normals = self.normals(positions)
        pixels = FOCAL * positions[..., :2] / positions[..., 2:].clamp(min=1) + MIDDLE
        inside = ((pixels >= 0) & (pixels <= 239)).all(2)
        visible = ((positions * normals).sum(2) < 0) & (positions[..., 2] > 1) & inside
        colours = skin * (harmonics(normals) @ gamma)
        return {"positions": positions, "pixels": pixels, "visible": visible, "colours": colours}

    def normals(self, positions):
        triangles = self.model["triangles"]
        a, b, c = (positions[:, triangles[:, k]] for k in range(3))
        areas = torch.linalg.cross(b - a, c - a)
        sums = torch.zeros_like(positions)
        for k in range(3):
            sums = sums.index_add(1, triangles[:, k], areas)
        return F.normalize(sums, dim=2)

    def photometric(self, images, points):
        """Eq. 9 of one level [B], and what the images show at the points [B, N, 4], the mask last."""
        grid = points["pixels"][:, None] * (2 / 239) - 1
        seen = F.grid_sample(images, grid, padding_mode="border", align_corners=True)[:, :, 0].transpose(1, 2)
        residuals = ((seen[..., :3] - points["colours"]).square().sum(2) + 1e-8).sqrt()
        members = points["visible"] * self.model["face"] * seen[..., 3].detach()
        return (members * residuals).sum(1) / members.sum(1).clamp(min=1), seen.detach()

    def sparse(self, positions, batch):
        """Eq. 10."""
        model, landmarks = self.model, batch["landmarks"]
        fixed = (positions[:, model["fixed_vertices"]] * model["fixed_weights"][..., None]).sum(2)
        rays = F.normalize(F.pad((landmarks[:, :CONTOUR] - MIDDLE) / FOCAL, (0, 1), value=1.0), dim=2)
        candidates = positions[:, model["candidates"]]
        with torch.no_grad():
            along = candidates @ rays.transpose(1, 2)
            nearest = (candidates.square().sum(2, keepdim=True) - along.square()).argmin(1)
        sliding = candidates.gather(1, nearest[..., None].expand(-1, -1, 3))
        found = torch.cat([sliding, fixed], dim=1)
        gaps = landmarks - (FOCAL * found[..., :2] / found[..., 2:].clamp(min=1) + MIDDLE)
        counted = torch.ones(68)
        counted[[60, 64]] = 0
        return (counted * batch["confidence"] * gaps.square().sum(2)).sum(1) / 66

    def smoothness(self, moved):
        """Eq. 12."""
        start, end = self.model["edges"].T
        around = torch.zeros_like(moved).index_add(1, start, moved[:, end])
        return (self.joined * (moved - around / self.neighbours).square().sum(2)).mean(1)

    def sparsity(self, skin, seen):
        """Eq. 13."""
        start, end = self.model["edges"].T
        chromaticity = seen[..., :3] / seen[..., :3].sum(2, keepdim=True).clamp(min=3 / 255)
        weights = torch.exp(-50 * (chromaticity[:, start] - chromaticity[:, end]).norm(dim=2))
        both = seen[:, start, 3] * seen[:, end, 3]
        distances = ((skin[:, start] - skin[:, end]).square().sum(2) + 1e-8) ** 0.45
        return ((both * weights + 1 - both) * distances).sum(1) / skin.shape[1]

    def constancy(self, skin, partners):
        """Eq. 14."""
        members = self.model["skin"].nonzero()[:, 0]
        gaps = skin[:, members, None] - skin[:, partners[members]]
        return gaps.square().sum((1, 2, 3)) / len(members)


def rodrigues(axis_angle):
    """R [B, 3, 3] of ω [B, 3]."""
    angle = axis_angle.norm(dim=1)[:, None, None]
    x, y, z = (axis_angle / angle[:, 0]).T
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    return torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)


def harmonics(normals):
    """H_b(n) of eq. 5, [B, N, 9]."""
    x, y, z = normals.unbind(2)
    first, product = (2 / 3) * 3**0.5, 0.25 * 15**0.5
    linear = [torch.ones_like(x), first * x, first * y, first * z]
    products = [product * x * y, product * x * z, product * y * z]
    squares = [0.125 * 15**0.5 * (x**2 - y**2), 0.125 * 5**0.5 * (3 * z**2 - 1)]
    return torch.stack(linear + products + squares, dim=2)


def make_optimizer(network: PlainNetwork, rates: dict[str, float]) -> torch.optim.Optimizer:
    """Adadelta with the paper's rates; keys of `rates` are the config's groups."""
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in rates}
    for name, parameter in network.named_parameters():
        first = name.split(".")[0]
        groups[
            name.split(".")[1].split("_")[0] if first == "correctives" else "final" if first == "final" else "encoder"
        ].append(parameter)
    return torch.optim.Adadelta([{"params": groups[name], "lr": rates[name]} for name in rates], rho=0.95, eps=1e-6)


class PlainStep:
    """One step after the other; with `averaged` it keeps the moving average of the parameters as well."""

    def __init__(self, arrays: dict[str, dict], weights: dict, score: float, rates: dict[str, float], averaged: bool):
        self.network = PlainNetwork(state_dict(arrays["params"]))
        self.energy = PlainEnergy(arrays["model"], weights, score)
        self.batch = {name: torch.from_numpy(array) for name, array in arrays["batch"].items()}
        self.optimizer = make_optimizer(self.network, rates)
        self.average = [parameter.detach().clone() for parameter in self.network.parameters()] if averaged else None

    def gradients(self) -> tuple[float, dict[str, torch.Tensor]]:
        self.optimizer.zero_grad()
        loss = self.energy(self.network, self.batch)
        loss.backward()
        return loss.item(), {name: parameter.grad for name, parameter in self.network.named_parameters()}

    def __call__(self) -> float:
        loss, _ = self.gradients()
        self.optimizer.step()
        if self.average:
            with torch.no_grad():
                for mean, parameter in zip(self.average, self.network.parameters(), strict=True):
                    mean.lerp_(parameter, 0.001)
        return loss
