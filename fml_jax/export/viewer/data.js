// Faces and face models, as packing.py, face_data.py and model_data.py write them.
"use strict";
const fml = { faces: {}, models: {}, lists: {} };

// Scripts of a folder call these when they are loaded.
fml.face = (name, value) => { fml.faces[name] = value; };
fml.model = (name, value) => { fml.models[name] = value; };
fml.list = (number, value) => { fml.lists[number] = value; };

fml.load = (path) => new Promise((resolve, reject) => {
  const script = document.createElement("script");
  script.src = path;
  script.onload = () => { script.remove(); resolve(); };
  script.onerror = () => reject(new Error(`${path} is missing: keep this page in its folder`));
  document.head.append(script);
});

fml.bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

// The arrays of a packed value by name: {type, shape, step, numbers}. Numbers are whole; times step they are values.
fml.unpack = async (value) => {
  const stream = new Blob([fml.bytes(value.data)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const kinds = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int16: Int16Array, int32: Int32Array };
  const found = {};
  let start = 0;
  for (const { name, type, shape, step } of value.arrays) {
    const numbers = new kinds[type](shape.reduce((a, b) => a * b, 1));
    const columns = shape.at(-1), rows = shape.at(-2), blocks = numbers.length / (columns * rows) || 0;
    const size = numbers.BYTES_PER_ELEMENT;
    let at = start;
    for (let column = 0; column < columns; column++) for (let block = 0; block < blocks; block++) {
      let sum = 0;
      let target = block * rows * columns + column;
      for (let row = 0; row < rows; row++, at++, target += columns) {
        let number = 0;
        for (let k = size - 1; k >= 0; k--) number = number * 256 + bytes[at + k * numbers.length];
        sum += number & 1 ? -(number + 1) / 2 : number / 2;
        numbers[target] = sum; // typed arrays wrap around, as the differences did
      }
    }
    start += size * numbers.length;
    found[name] = { type, shape, step, numbers };
  }
  return found;
};

// A picture within the page, as it was coded: neither premultiplied nor converted to the screen's colours.
fml.picture = async (address) => {
  const [, kind, base64] = address.match(/^data:(.*?);base64,(.*)$/);
  return createImageBitmap(new Blob([fml.bytes(base64)], { type: kind }), {
    premultiplyAlpha: "none", colorSpaceConversion: "none", imageOrientation: "flipY",
  });
};
