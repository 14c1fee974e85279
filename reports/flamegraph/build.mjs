// SPDX-License-Identifier: Apache-2.0

// Builds bundle.js, bundle.css and LICENSES.txt. The same sources and package-lock.json give the same bytes.

import { readFile, writeFile } from "node:fs/promises";
import * as esbuild from "esbuild";

// What esbuild calls a source: node_modules/NAME/path, or a file of ours.
const packageOf = (input) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];

// The packages of which at least one byte is in the bundle.
async function bundled(metafile) {
  const names = new Set();
  for (const output of Object.values(metafile.outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      if (bytesInOutput > 0 && packageOf(input)) names.add(packageOf(input));
    }
  }
  return Promise.all([...names].sort().map(describe));
}

async function describe(name) {
  const { version, license } = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
  const text = (await readFile(`node_modules/${name}/LICENSE`, "utf8")).trim();
  return { name, version, license, text };
}

// Packages that share a licence text are listed above it together.
function licences(packages) {
  const groups = new Map();
  for (const p of packages) groups.set(p.text, [...(groups.get(p.text) ?? []), p]);
  return [...groups].map(([text, group]) => {
    const names = group.map((p) => `${p.name} ${p.version} (${p.license})`);
    return `${names.join("\n")}\n\n${text}\n`;
  });
}

const rule = `\n${"-".repeat(72)}\n\n`;

const options = {
  entryPoints: ["src/main.js"],
  outfile: "bundle.js",
  bundle: true,
  minify: true,
  target: "es2022",
  format: "iife",
  charset: "ascii",
  legalComments: "inline",
  metafile: true,
};

const { metafile } = await esbuild.build({ ...options, write: false });
const texts = licences(await bundled(metafile)).join(rule);
await writeFile("LICENSES.txt", `What bundle.js and bundle.css contain beside our own code.\n\n${texts}`);
// The pages that people pass on hold the bundle and nothing else, so the licences travel in it.
await esbuild.build({ ...options, banner: { js: `/*!\n${texts}*/` } });
