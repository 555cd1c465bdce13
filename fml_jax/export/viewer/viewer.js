// The viewer's controls.
"use strict";
{
  const $ = (id) => document.getElementById(id);
  const LABELS = {
    photo: "Photo", overlay: "Overlay", full: "Face", base: "Base level", final: "Final level", geometry: "Geometry",
    reflectance: "Reflectance", shading: "Light", mask: "Mask", uncertainty: "Uncertainty",
  };
  const GROUPS = [["Jaw", /^jaw/], ["Mouth", /^mouth/], ["Eyes", /^eye/], ["Brows", /^brow/], ["Cheeks and nose", /./]];
  const MOODS = {
    "As photographed": null, Neutral: {}, Smile: { mouthSmile: 0.9, cheekSquint: 0.5, mouthDimple: 0.2 },
    Surprise: { jawOpen: 0.5, browInnerUp: 0.9, browOuterUp: 0.8, eyeWide: 0.8 }, Blink: { eyeBlink: 1 },
    Frown: { mouthFrown: 0.7, browDown: 0.9, mouthPress: 0.3 },
  };
  const stage = new fml.Stage($("canvas"));
  const ball = fml.ball($("ball"), (turn) => { if (stage.gammaOf) { stage.setLight(stage.gammaOf, turn); stage.draw(); } });
  const unpacked = {};
  const state = { view: "overlay", other: "", light: "photo" };
  fml.stage = stage;

  const option = (value, label) => Object.assign(document.createElement("option"), { value, textContent: label });
  const button = (label, act) => Object.assign(document.createElement("button"), { type: "button", textContent: label, onclick: act });
  const words = (name) => {
    const text = name.replace(/([A-Z])/g, " $1").toLowerCase();
    return text[0].toUpperCase() + text.slice(1);
  };

  // Pictures.
  const views = (face) => ["photo", "overlay", ...(face.levels.length ? face.levels : ["full"]), "geometry", "reflectance", "shading",
    ...(face.mask ? ["mask"] : []), ...(stage.numbers.uncertainty ? ["uncertainty"] : [])];
  const showViews = () => {
    const names = views(stage.face);
    if (!names.includes(state.view)) state.view = { full: "final", base: "full", final: "full" }[state.view] ?? "overlay";
    if (state.other && !names.includes(state.other)) state.other = "";
    $("views").querySelectorAll("label").forEach((label) => label.remove());
    for (const name of names) {
      const label = document.createElement("label"), input = document.createElement("input"), text = document.createElement("span");
      Object.assign(input, { type: "radio", name: "view", value: name, checked: name === state.view, onchange: () => { state.view = name; update(); } });
      text.textContent = LABELS[name];
      label.append(input, text);
      $("views").append(label);
    }
    $("other").replaceChildren(option("", "nothing"), ...names.map((name) => option(name, LABELS[name])));
    $("other").value = state.other;
  };
  const update = () => {
    const compared = state.other && state.other !== state.view;
    stage.views = compared ? [state.view, state.other] : [state.view];
    stage.edge = Number($("wipe").value);
    for (const id of ["edge", "wipe", "left", "right"]) $(id).hidden = !compared;
    $("edge").style.left = `${100 * stage.edge}%`;
    $("left").textContent = LABELS[state.view];
    $("right").textContent = LABELS[state.other] ?? "";
    $("legend").hidden = !stage.views.includes("uncertainty");
    $("canvas").setAttribute("aria-label", `${stage.title}: ${stage.views.map((name) => LABELS[name]).join(" and ")}`);
    stage.draw();
  };
  $("other").onchange = () => { state.other = $("other").value; update(); };
  $("wipe").oninput = update;

  // Turning and zooming: one pointer turns, two zoom and shift.
  const canvas = $("canvas"), pointers = new Map();
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { size: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId), here = { x: event.clientX, y: event.clientY };
    if (!last) return;
    if (pointers.size === 1 && !event.shiftKey) {
      pointers.set(event.pointerId, here);
      stage.turn((here.x - last.x) / 150, (here.y - last.y) / 150);
      return;
    }
    const before = pointers.size > 1 ? spread() : { ...last, size: 1 };
    pointers.set(event.pointerId, here);
    const after = pointers.size > 1 ? spread() : { ...here, size: 1 };
    stage.shift = [stage.shift[0] + (after.x - before.x) / stage.zoom, stage.shift[1] + (after.y - before.y) / stage.zoom];
    stage.zoomBy(after.size / Math.max(before.size, 1));
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    stage.zoomBy(Math.exp(-event.deltaY / 600));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => stage.reset());
  canvas.addEventListener("keydown", (event) => {
    const acts = {
      ArrowLeft: () => stage.turn(-0.1, 0), ArrowRight: () => stage.turn(0.1, 0), ArrowUp: () => stage.turn(0, -0.1),
      ArrowDown: () => stage.turn(0, 0.1), "+": () => stage.zoomBy(1.2), "=": () => stage.zoomBy(1.2),
      "-": () => stage.zoomBy(1 / 1.2), 0: () => stage.reset(),
    };
    if (acts[event.key] && !event.ctrlKey && !event.metaKey) { event.preventDefault(); acts[event.key](); }
  });
  $("closer").onclick = () => stage.zoomBy(1.25);
  $("farther").onclick = () => stage.zoomBy(0.8);
  $("reset").onclick = () => stage.reset();

  // Light.
  $("light").append(...Object.entries(fml.lights).map(([name, { label }]) => option(name, label)));
  const setLight = () => {
    stage.gammaOf = fml.lights[$("light").value].of(stage.face);
    ball.set(stage.gammaOf);
  };
  $("light").onchange = setLight;

  // Expression.
  const sliders = [];
  const setWeights = (weights) => {
    stage.weights = weights;
    sliders.forEach(({ input, output, index }) => { input.value = weights[index]; output.textContent = weights[index].toFixed(2); });
    stage.pose();
  };
  const mirrored = (name) => (/Left$/.test(name) ? name.replace(/Left$/, "Right") : name.replace(/Right$/, "Left"));
  const pairs = (name) => !/^(jaw|mouth|eyeLook(In|Out))(Left|Right)$/.test(name);
  const slide = (index, value) => {
    const names = stage.model.names, weights = [...stage.weights];
    weights[index] = value;
    const twin = names.indexOf(mirrored(names[index]));
    if ($("both").checked && twin >= 0 && twin !== index && pairs(names[index])) weights[twin] = value;
    setWeights(weights);
  };
  const showSliders = () => {
    $("expression").hidden = !stage.model.names.length;
    sliders.length = 0;
    const left = stage.model.names.map((name, index) => ({ name, index }));
    $("sliders").replaceChildren(...GROUPS.map(([title, pattern], k) => {
      const details = document.createElement("details"), summary = document.createElement("summary");
      summary.textContent = title;
      details.open = k === 0;
      details.append(summary);
      for (const { name, index } of left.filter((each) => pattern.test(each.name))) {
        const row = document.createElement("label"), text = document.createElement("span");
        const input = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1, step: 0.01, name });
        const output = document.createElement("output");
        row.className = "slider";
        row.title = name;
        text.textContent = words(name);
        input.oninput = () => slide(index, Number(input.value));
        row.append(text, input, output);
        details.append(row);
        sliders.push({ name, index, input, output, row, details });
      }
      for (const slider of sliders) { const at = left.findIndex(({ name }) => name === slider.name); if (at >= 0) left.splice(at, 1); }
      return details;
    }));
  };
  $("search").oninput = () => {
    const sought = $("search").value.trim().toLowerCase().split(/\s+/);
    for (const { name, row } of sliders) row.hidden = !sought.every((word) => words(name).toLowerCase().includes(word) || name.toLowerCase().includes(word));
    for (const details of $("sliders").children) {
      const found = [...details.querySelectorAll(".slider")].some((row) => !row.hidden);
      details.hidden = !found;
      details.open = sought[0] ? found : details === $("sliders").firstChild;
    }
  };
  $("moods").append(...Object.entries(MOODS).map(([label, strengths]) => button(label, () => {
    stage.neutral = strengths !== null;
    setWeights(strengths === null ? [...stage.face.weights]
      : stage.model.names.map((name) => strengths[name] ?? strengths[name.replace(/(Left|Right)$/, "")] ?? 0));
  })));

  // Files.
  const save = (blob, ending) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: stage.title.replace(/[^\p{L}\p{N}._-]+/gu, "_") + ending });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const linear = (share) => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
  // The mesh as it is now, in metres for GLB and in mm for OBJ; colours are linear, as both exporters take them.
  const meshToSave = (scale) => {
    const { position, normal, colour } = stage.levels[0].attributes, geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(position.array.map((length) => scale * length), 3));
    geometry.setAttribute("normal", normal);
    geometry.setAttribute("color", new THREE.BufferAttribute(Float32Array.from(colour.array, (byte) => linear(byte / 255)), 3));
    geometry.setIndex(stage.levels[0].index);
    return new THREE.Mesh(geometry, new THREE.MeshStandardMaterial({ vertexColors: true, roughness: 0.6, metalness: 0, side: THREE.DoubleSide }));
  };
  $("glb").onclick = async () => save(new Blob([await new THREE.GLTFExporter().parseAsync(meshToSave(1e-3), { binary: true })], { type: "model/gltf-binary" }), ".glb");
  $("obj").onclick = () => save(new Blob([new THREE.OBJExporter().parse(meshToSave(1))]), ".obj");
  $("png").onclick = () => $("canvas").toBlob((blob) => save(blob, ".png"));

  // Faces.
  const arrays = (value) => value.unpacked ??= fml.unpack(value);
  const show = async (entry) => {
    $("message").hidden = false;
    try {
      if (!fml.faces[entry.name]) await fml.load(entry.path);
      const face = fml.faces[entry.name];
      if (!fml.models[face.model]) await fml.load(`${fml.modelsAt}${face.model}.model.js`);
      const model = fml.models[face.model];
      const [numbers, shared] = await Promise.all([arrays(face), arrays(model)]);
      const models = stage.model;
      Object.assign(stage, { neutral: false, title: entry.title });
      await stage.show(face, model, numbers, shared);
      if (models !== model) showSliders();
      setWeights([...face.weights]);
      document.querySelector("h1").textContent = entry.title;
      const [yaw, pitch, roll] = face.angles.map((angle) => `${Math.round(angle)}°`);
      document.querySelector(".note").textContent = `score ${face.score.toFixed(2)} · yaw ${yaw}, pitch ${pitch}, roll ${roll}`;
      if (numbers.uncertainty) $("largest").textContent = `${stage.largest().toFixed(1)} mm`;
      showViews();
      setLight();
      update();
      $("message").hidden = true;
      document.documentElement.dataset.shown = entry.name;
    } catch (error) {
      $("message").textContent = String(error.message ?? error);
      throw error;
    }
  };
  const start = async () => {
    const [page, wanted] = location.hash.slice(1).match(/^(?:(\d+)\/)?(.*)$/s).slice(1);
    const number = Number(page ?? 1);
    if (!fml.lists[number]) await fml.load(`${fml.listsAt}${String(number).padStart(4, "0")}.js`);
    const list = fml.lists[number];
    $("face").replaceChildren(...list.map(({ title }, k) => option(k, title)));
    document.querySelector("nav.faces").hidden = list.length < 2;
    const choose = (k) => {
      $("face").value = k;
      $("previous").disabled = k === 0;
      $("next").disabled = k === list.length - 1;
      history.replaceState(null, "", `#${number}/${list[k].name}`);
      return show(list[k]);
    };
    $("face").onchange = () => choose(Number($("face").value));
    $("previous").onclick = () => choose(Number($("face").value) - 1);
    $("next").onclick = () => choose(Number($("face").value) + 1);
    return choose(Math.max(list.findIndex(({ name }) => name === wanted), 0));
  };
  fml.start = start;
  window.addEventListener("hashchange", start);
  start();
}
