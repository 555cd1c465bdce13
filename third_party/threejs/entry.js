// What the viewer uses of three.js; `build.sh` bundles this and nothing else into one script, global name THREE.
export {
  BufferAttribute,
  BufferGeometry,
  DoubleSide,
  Group,
  LinearFilter,
  Matrix3,
  Matrix4,
  Mesh,
  MeshStandardMaterial,
  NoColorSpace,
  PerspectiveCamera,
  PlaneGeometry,
  Scene,
  ShaderMaterial,
  Texture,
  Vector3,
  WebGLRenderer,
} from "three";
export { GLTFExporter } from "three/examples/jsm/exporters/GLTFExporter.js";
export { OBJExporter } from "three/examples/jsm/exporters/OBJExporter.js";
