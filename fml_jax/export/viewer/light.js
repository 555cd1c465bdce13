// Spherical-harmonics light, as image_formation/illumination.py has it: nine coefficients for each colour, camera axes
// (x right, y down, z away from the camera).
"use strict";
fml.harmonics = (x, y, z) => [
  1, 1.1547005 * x, 1.1547005 * y, 1.1547005 * z, 0.9682458 * x * y, 0.9682458 * x * z, 0.9682458 * y * z,
  0.4841229 * (x * x - y * y), 0.2795085 * (3 * z * z - 1),
];

fml.shading = (gamma, x, y, z) => {
  const basis = fml.harmonics(x, y, z);
  return [0, 1, 2].map((channel) => basis.reduce((sum, value, k) => sum + value * gamma[k][channel], 0));
};

// One far lamp in a direction, as much of it as nine harmonics hold, over an even light. For the cosine lobe's
// coefficients 1/4, 1/2, 5/32 see Ramamoorthi and Hanrahan, An efficient representation for irradiance, 2001.
fml.lamp = ([x, y, z], strength, even) => {
  const second = (5 / 32) * strength;
  return [
    even + strength / 4, ...[x, y, z].map((part) => 0.5 * strength * part / 1.1547005),
    ...[x * y, x * z, y * z].map((part) => 6 * second * part / 0.9682458),
    1.5 * second * (x * x - y * y) / 0.4841229, second * (3 * z * z - 1) / 2 / 0.2795085,
  ].map((value) => [value, value, value]);
};

const UPPER_LEFT = [-0.45, -0.4, -0.8];
fml.lights = {
  photo: { label: "From the photo", of: (face) => face.light },
  lamp: { label: "One lamp", of: () => fml.lamp(UPPER_LEFT.map((v) => v / Math.hypot(...UPPER_LEFT)), 0.95, 0.22) },
  even: { label: "Even", of: () => fml.lamp([0, 0, -1], 0, 0.95) },
};

// Products of 3×3 matrices that are nine numbers in a row, and turns about an axis.
fml.times = (a, b) => a.map((_, k) => {
  const row = 3 * Math.floor(k / 3), column = k % 3;
  return a[row] * b[column] + a[row + 1] * b[column + 3] + a[row + 2] * b[column + 6];
});
fml.turnX = (angle) => [1, 0, 0, 0, Math.cos(angle), -Math.sin(angle), 0, Math.sin(angle), Math.cos(angle)];
fml.turnY = (angle) => [Math.cos(angle), 0, Math.sin(angle), 0, 1, 0, -Math.sin(angle), 0, Math.cos(angle)];
fml.IDENTITY = [1, 0, 0, 0, 1, 0, 0, 0, 1];

// A white ball under the light, to be dragged: onTurn(turn) gets the light's turn from its own place.
fml.ball = (canvas, onTurn) => {
  const state = { gamma: fml.lamp([0, 0, -1], 0, 1), turn: fml.IDENTITY };
  const size = canvas.width, context = canvas.getContext("2d"), picture = context.createImageData(size, size);
  const draw = () => {
    const t = state.turn;
    let brightest = 1e-6;
    const shades = [];
    for (let k = 0; k < size * size; k++) {
      const x = (2 * (k % size) + 1) / size - 1, y = (2 * Math.floor(k / size) + 1) / size - 1, r = x * x + y * y;
      if (r >= 1) { shades.push(null); continue; }
      const z = -Math.sqrt(1 - r);
      // The inverse turn of the normal is the transposed matrix times it.
      const n = [0, 1, 2].map((i) => t[i] * x + t[i + 3] * y + t[i + 6] * z);
      const shade = fml.shading(state.gamma, ...n);
      brightest = Math.max(brightest, ...shade);
      shades.push(shade);
    }
    shades.forEach((shade, k) => {
      const x = (2 * (k % size) + 1) / size - 1, y = (2 * Math.floor(k / size) + 1) / size - 1;
      for (let c = 0; c < 3; c++) picture.data[4 * k + c] = shade ? 255 * Math.max(shade[c], 0) / Math.max(brightest, 1) : 0;
      picture.data[4 * k + 3] = shade ? 255 * Math.min(1, (1 - Math.hypot(x, y)) * size / 2) : 0;
    });
    context.putImageData(picture, 0, 0);
  };
  const turn = (yaw, pitch) => {
    state.turn = fml.times(fml.times(fml.turnX(pitch), fml.turnY(yaw)), state.turn);
    draw();
    onTurn(state.turn);
  };
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) turn(-event.movementX / 40, event.movementY / 40);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0.15, 0], ArrowRight: [-0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
    if (step) { event.preventDefault(); turn(...step); }
  });
  return {
    set(gamma) { Object.assign(state, { gamma, turn: fml.IDENTITY }); turn(0, 0); },
  };
};
