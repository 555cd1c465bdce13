// Prints the validator's issues of a glTF or GLB file as JSON: node validate_gltf.js FILE
const fs = require("fs");
const validator = require("gltf-validator");

validator
  .validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])), { maxIssues: 20 })
  .then((report) => console.log(JSON.stringify(report.issues)));
