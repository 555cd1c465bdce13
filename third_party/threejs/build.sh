#!/usr/bin/env bash
# Bundles the parts of three.js that the viewer uses into fml_jax/export/viewer/three.min.js. Needs Node.js and npm.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
target="$here/../../fml_jax/export/viewer"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp "$here/entry.js" "$here/package.json" "$work"
cd "$work"
npm install --silent --no-audit --no-fund
version="$(node -p 'require("./package.json").dependencies.three')"
npx esbuild entry.js --bundle --minify --format=iife --global-name=THREE --target=es2022 --legal-comments=none \
  --banner:js="/* three.js $version, MIT licence, Copyright © 2010-2026 three.js authors; see THREE-LICENSE.md */" \
  --outfile=three.min.js
mv three.min.js "$target/three.min.js"
cp node_modules/three/LICENSE "$target/THREE-LICENSE.md"
