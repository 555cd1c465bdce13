// The picture of a face: a mesh before its photo, drawn in one of several ways, or in two ways beside a moving edge.
"use strict";
fml.KINDS = ["full", "overlay", "geometry", "reflectance", "shading", "photo", "uncertainty"];

const VERTEX = `
  attribute vec3 colour; attribute float shown; attribute float heat; attribute vec3 seen;
  varying vec3 vColour; varying vec3 vNormal; varying vec3 vView; varying float vShown; varying float vHeat; varying vec3 vSeen;
  uniform mat3 pose;
  invariant gl_Position;
  void main() {
    vColour = colour; vShown = shown; vHeat = heat; vSeen = seen;
    vNormal = pose * normal;
    vView = normalMatrix * normal;
    gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
  }`;

const FRAGMENT = `
  varying vec3 vColour; varying vec3 vNormal; varying vec3 vView; varying float vShown; varying float vHeat; varying vec3 vSeen;
  uniform int kind; uniform vec3 gamma[9]; uniform mat3 lightTurn; uniform float white; uniform float turned;
  uniform sampler2D photo;
  vec3 light(vec3 n) {
    return gamma[0] + 1.1547005 * (gamma[1] * n.x + gamma[2] * n.y + gamma[3] * n.z)
      + 0.9682458 * (gamma[4] * n.x * n.y + gamma[5] * n.x * n.z + gamma[6] * n.y * n.z)
      + 0.4841229 * gamma[7] * (n.x * n.x - n.y * n.y) + 0.2795085 * gamma[8] * (3.0 * n.z * n.z - 1.0);
  }
  vec3 ramp(float t) { // dark blue, teal, yellow
    return t < 0.5 ? mix(vec3(0.16, 0.18, 0.42), vec3(0.16, 0.58, 0.55), 2.0 * t)
                   : mix(vec3(0.16, 0.58, 0.55), vec3(0.98, 0.88, 0.30), 2.0 * t - 1.0);
  }
  void main() {
    vec3 shade = max(light(lightTurn * normalize(vNormal)), 0.0);
    vec3 lit = clamp(vColour * shade, 0.0, 1.0);
    float alpha = 1.0;
    vec3 result = lit;
    if (kind == 1) alpha = mix(smoothstep(0.0, 1.0, vShown), 1.0, turned);
    if (kind == 2) {
      float lamp = max(dot(normalize(vView), vec3(-0.3503, 0.4504, 0.8207)), 0.0);
      result = vec3(0.78, 0.76, 0.74) * (0.25 + 0.8 * lamp);
    }
    if (kind == 3) result = clamp(vColour, 0.0, 1.0);
    if (kind == 4) result = clamp(white * shade, 0.0, 1.0);
    if (kind == 5) {
      vec4 texel = texture2D(photo, vSeen.xy);
      result = mix(lit, texel.rgb, smoothstep(0.12, 0.4, vSeen.z) * texel.a);
    }
    if (kind == 6) {
      float lamp = max(dot(normalize(vView), vec3(-0.3503, 0.4504, 0.8207)), 0.0);
      result = vHeat < 0.0 ? vec3(0.5) * (0.4 + 0.6 * lamp) : ramp(vHeat) * (0.55 + 0.5 * lamp);
    }
    gl_FragColor = vec4(result, alpha);
  }`;

const GROUND = `
  varying vec2 vPlace; uniform sampler2D photo; uniform sampler2D mask; uniform float opacity; uniform bool masked;
  void main() {
    vec4 texel = texture2D(photo, vPlace);
    float kept = masked ? texture2D(mask, vPlace).a : 1.0;
    float grey = dot(texel.rgb, vec3(0.3, 0.59, 0.11));
    gl_FragColor = vec4(mix(0.35 * vec3(grey) + vec3(0.3, 0.08, 0.08), texel.rgb, kept), texel.a * opacity);
  }`;

fml.Stage = class {
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new THREE.WebGLRenderer({ canvas, alpha: true, antialias: true, preserveDrawingBuffer: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setClearColor(0, 0);
    this.renderer.autoClear = false;
    this.camera = new THREE.PerspectiveCamera(20, 1, 50, 5000);
    this.scene = new THREE.Scene();
    this.group = new THREE.Group();
    this.group.matrixAutoUpdate = false;
    this.uniforms = {
      kind: { value: 0 }, pose: { value: new THREE.Matrix3() }, lightTurn: { value: new THREE.Matrix3() },
      gamma: { value: Array.from({ length: 9 }, () => new THREE.Vector3()) }, white: { value: 0.8 },
      photo: { value: null }, mask: { value: null }, turned: { value: 0 }, opacity: { value: 1 }, masked: { value: false },
    };
    const material = (more) => new THREE.ShaderMaterial(
      { uniforms: this.uniforms, vertexShader: VERTEX, fragmentShader: FRAGMENT, side: THREE.DoubleSide, ...more });
    this.mesh = new THREE.Mesh(undefined, material({ transparent: true }));
    // What lies behind the nearest surface may not shine through where that is transparent.
    this.depth = new THREE.Mesh(undefined, material({ colorWrite: false }));
    this.ground = new THREE.Mesh(new THREE.PlaneGeometry(2, 2), new THREE.ShaderMaterial({
      uniforms: this.uniforms, transparent: true, depthTest: false, depthWrite: false, fragmentShader: GROUND,
      vertexShader: "varying vec2 vPlace; void main() { vPlace = uv; gl_Position = projectionMatrix * viewMatrix * modelMatrix * vec4(position, 1.0); }",
    }));
    this.ground.renderOrder = -1;
    for (const each of [this.mesh, this.depth, this.ground]) each.frustumCulled = false;
    for (const each of [this.mesh, this.depth]) { each.matrixAutoUpdate = false; this.group.add(each); }
    this.scene.add(this.ground, this.group);
    this.views = ["full"];
    this.edge = 1; // how far from the left the first view reaches, in widths
    this.reset();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  // Shows a face: `numbers` and `shared` are the unpacked arrays of the face and of its model.
  async show(face, model, numbers, shared) {
    const [photo, mask] = await Promise.all([face.photo, face.mask].map((each) => each && fml.picture(each)));
    Object.assign(this, { face, model, numbers, shared });
    const pose = face.rotation.flat(), t = face.translation;
    this.uniforms.pose.value.set(...pose);
    // three.js has y up and looks along −z.
    const inWorld = new THREE.Matrix4().set(
      pose[0], pose[1], pose[2], t[0], -pose[3], -pose[4], -pose[5], -t[1], -pose[6], -pose[7], -pose[8], -t[2], 0, 0, 0, 1);
    for (const each of [this.mesh, this.depth]) each.matrix.copy(inWorld);
    this.pivot = new THREE.Vector3(t[0], -t[1], -t[2]);
    this.camera.near = Math.max(10, t[2] - 400);
    this.camera.far = t[2] + 600;
    const far = t[2] + 300, half = 0.5 * face.frame / face.focal * far;
    this.ground.position.set(0, 0, -far);
    this.ground.scale.set(half, half, 1);
    for (const [name, picture] of [["photo", photo], ["mask", mask]]) {
      this.uniforms[name].value?.dispose();
      this.uniforms[name].value = picture ? this._texture(picture) : null;
    }
    this.levels?.forEach((geometry) => geometry.dispose());
    this.levels = this._levels();
    this.weights = [...face.weights];
    this.reset();
    this.pose();
    this._white();
  }

  _texture(picture) {
    const texture = new THREE.Texture(picture);
    Object.assign(texture, { colorSpace: THREE.NoColorSpace, flipY: false, generateMipmaps: false,
      minFilter: THREE.LinearFilter, needsUpdate: true });
    return texture;
  }

  // The final level's mesh and, if it differs, the base level's.
  _levels() {
    const { numbers, shared } = this, whole = numbers.positions;
    const own = Float32Array.from(whole.numbers, (number) => number * whole.step);
    const base = own.slice();
    numbers.base_moved?.numbers.forEach((number, k) => { base[k] += number * numbers.base_moved.step; });
    const both = [[own, numbers.colours], [base, numbers.base_colours ?? numbers.colours]];
    return both.slice(0, numbers.base_moved ? 2 : 1).map(([positions, colours]) => {
      const count = positions.length / 3, geometry = new THREE.BufferGeometry();
      const attribute = (array, size, normalised) => new THREE.BufferAttribute(array, size, normalised);
      const colour = new Uint8Array(3 * count), shown = new Uint8Array(count), heat = new Float32Array(count).fill(-1);
      colour.set(colours.numbers);
      if (shared.part_colours) colour.set(shared.part_colours.numbers, colours.numbers.length);
      shown.set(shared.shown.numbers);
      numbers.uncertainty?.numbers.forEach((number, k) => { heat[k] = number * numbers.uncertainty.step / this.largest(); });
      geometry.setIndex(attribute(Uint32Array.from(shared.triangles.numbers), 1));
      geometry.setAttribute("position", attribute(positions.slice(), 3));
      geometry.setAttribute("colour", attribute(colour, 3, true));
      geometry.setAttribute("shown", attribute(shown, 1, true));
      geometry.setAttribute("heat", attribute(heat, 1));
      geometry.computeVertexNormals();
      geometry.setAttribute("seen", attribute(this._seen(geometry), 3));
      geometry.userData.own = positions;
      return geometry;
    });
  }

  // The 98 % quantile of uncertainty, mm: the end of the colour scale.
  largest() {
    const sorted = Array.from(this.numbers.uncertainty.numbers).sort((a, b) => a - b);
    return Math.max(sorted[Math.floor(0.98 * (sorted.length - 1))] * this.numbers.uncertainty.step, 1e-6);
  }

  // Where each vertex lies on the photo, and how directly the photo's camera sees it: 1 face on, 0 from the side,
  // behind another surface, or within the mouth.
  _seen(geometry) {
    const { rotation: r, translation: t, focal, frame } = this.face, result = new Float32Array(geometry.attributes.position.array.length);
    const p = geometry.attributes.position.array, n = geometry.attributes.normal.array;
    for (let k = 0; k < p.length; k += 3) {
      const [x, y, z] = [0, 1, 2].map((i) => r[i][0] * p[k] + r[i][1] * p[k + 1] + r[i][2] * p[k + 2] + t[i]);
      const normal = [0, 1, 2].map((i) => r[i][0] * n[k] + r[i][1] * n[k + 1] + r[i][2] * n[k + 2]);
      result[k] = 0.5 + focal * x / z / frame;
      result[k + 1] = 0.5 - focal * y / z / frame;
      const facing = -(normal[0] * x + normal[1] * y + normal[2] * z) / Math.hypot(x, y, z);
      result[k + 2] = k / 3 < this.model.vertices ? Math.max(facing, 0) : 0;
    }
    return result;
  }

  // Moves the vertices to the weights of the named shapes.
  pose() {
    const { shapes, rest } = { ...this.shared, ...this.numbers };
    if (shapes) for (const geometry of this.levels) {
      const target = geometry.attributes.position.array, count = target.length;
      target.set(geometry.userData.own);
      this.weights.forEach((weight, k) => {
        const change = (weight - this.face.weights[k]) * shapes.step, start = k * count;
        if (change) for (let j = 0; j < count; j++) target[j] += change * shapes.numbers[start + j];
      });
      const less = (this.neutral ? -1 : 0) * rest.step;
      if (less) for (let j = 0; j < count; j++) target[j] += less * rest.numbers[j];
      geometry.attributes.position.needsUpdate = true;
      geometry.computeVertexNormals();
    }
    this.draw();
  }

  setLight(gamma, turn) {
    gamma.forEach((row, k) => this.uniforms.gamma.value[k].set(...row));
    this.uniforms.lightTurn.value.set(...turn).transpose();
    this.gamma = gamma;
    this._white();
  }

  // Skin as light as it can be without being overexposed, as `pictures.py` has it.
  _white() {
    if (!this.levels || !this.gamma) return;
    const n = this.levels[0].attributes.normal.array, r = this.face.rotation, values = [];
    for (let k = 0; k < 3 * this.model.vertices; k += 9) {
      const [x, y, z] = r.map((row) => row[0] * n[k] + row[1] * n[k + 1] + row[2] * n[k + 2]);
      if (z < 0) values.push(...fml.shading(this.gamma, x, y, z));
    }
    values.sort((a, b) => a - b);
    this.uniforms.white.value = Math.min(0.8, 1 / Math.max(values[Math.floor(0.98 * (values.length - 1))], 1e-6));
  }

  reset() {
    Object.assign(this, { yaw: 0, pitch: 0, zoom: 1, shift: [0, 0] });
    this.draw();
  }

  turn(yaw, pitch) {
    this.yaw = (this.yaw + yaw) % (2 * Math.PI);
    this.pitch = Math.min(Math.max(this.pitch + pitch, -1.4), 1.4);
    this.draw();
  }

  zoomBy(factor) {
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.6), 8);
    this.draw();
  }

  draw() {
    this._waiting ??= requestAnimationFrame(() => { this._waiting = undefined; this._draw(); });
  }

  _draw() {
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (!this.face || !width || !height) return;
    const size = this.renderer.getSize(new THREE.Vector3());
    if (size.x !== width || size.y !== height) this.renderer.setSize(width, height, false);
    const half = 0.5 * this.face.frame / this.face.focal * Math.max(1, height / width);
    Object.assign(this.camera, { fov: 2 * Math.atan(half) * 180 / Math.PI, aspect: width / height, zoom: this.zoom });
    this.camera.setViewOffset(width, height, -this.shift[0] * this.zoom, -this.shift[1] * this.zoom, width, height);
    const [p, move] = [this.pivot, (x, y, z) => new THREE.Matrix4().makeTranslation(x, y, z)];
    this.group.matrix.copy(move(p.x, p.y, p.z)).multiply(new THREE.Matrix4().makeRotationX(this.pitch))
      .multiply(new THREE.Matrix4().makeRotationY(this.yaw)).multiply(move(-p.x, -p.y, -p.z));
    const away = Math.hypot(this.yaw, this.pitch), turned = Math.min(Math.max((away - 0.12) / 0.3, 0), 1);
    this.uniforms.turned.value = turned;
    this.renderer.setScissorTest(false);
    this.renderer.clear();
    const edge = this.views.length > 1 ? Math.round(this.edge * width) : width;
    this.renderer.setScissorTest(true);
    if (edge > 0) this._drawView(this.views[0], 0, edge, height);
    if (edge < width) this._drawView(this.views[1], edge, width - edge, height);
  }

  _drawView(view, left, width, height) {
    const kind = fml.KINDS.indexOf({ base: "full", final: "full", mask: "photo" }[view] ?? view);
    const onPhoto = ["photo", "overlay", "mask"].includes(view), { turned } = this.uniforms;
    const asTaken = view !== "overlay" && onPhoto && turned.value === 0 && this.asPhotographed();
    this.uniforms.kind.value = kind;
    this.uniforms.masked.value = view === "mask";
    this.uniforms.opacity.value = 1 - turned.value;
    this.ground.visible = onPhoto;
    const geometry = this.levels[view === "base" ? this.levels.length - 1 : 0];
    for (const each of [this.mesh, this.depth]) Object.assign(each, { geometry, visible: !asTaken });
    this.renderer.setScissor(left, 0, width, height);
    this.renderer.clearDepth();
    this.renderer.render(this.scene, this.camera);
  }

  asPhotographed() {
    return !this.neutral && this.weights.every((weight, k) => weight === this.face.weights[k]) && !this.yaw && !this.pitch;
  }
};
