// What the viewer uses of three.js; `build.sh` bundles this and nothing else into one script, global name THREE.
export {
  BufferAttribute,
  BufferGeometry,
  CanvasTexture,
  Color,
  DataTexture,
  DoubleSide,
  Group,
  LinearFilter,
  Matrix3,
  Matrix4,
  Mesh,
  MeshBasicMaterial,
  NoColorSpace,
  NormalBlending,
  PerspectiveCamera,
  PlaneGeometry,
  Quaternion,
  Scene,
  ShaderMaterial,
  Texture,
  Vector2,
  Vector3,
  WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
export { GLTFExporter } from "three/examples/jsm/exporters/GLTFExporter.js";
export { OBJExporter } from "three/examples/jsm/exporters/OBJExporter.js";
