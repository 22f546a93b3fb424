// Makes dist/ from src/: the same bytes every time, with nothing in it that points outside.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const OUT = "dist";
const WORKER = "node_modules/maplibre-gl/dist/maplibre-gl-worker.mjs";

/** The files that dist/ is made from, in order. */
function sources() {
  const found = readdirSync("src", { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).replaceAll("\\", "/"));
  return [...found, "build.js", "package-lock.json", "tsconfig.json"].sort();
}

/** One hash over names and bytes; tests/test_web.py makes it again. */
function sourcesHash() {
  const hash = createHash("sha256");
  for (const path of sources()) {
    hash.update(`${path}\n${createHash("sha256").update(readFileSync(path)).digest("hex")}\n`);
  }
  return hash.digest("hex");
}

/** The packages whose code went into the bundles; maplibre-gl carries its own dependencies inside. */
function packages(metafile) {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")).packages;
  const names = new Set();
  for (const input of Object.keys(metafile.inputs)) {
    const name = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
    if (name) names.add(name);
  }
  for (const name of names) {
    for (const needed of Object.keys(lock[`node_modules/${name}`]?.dependencies ?? {})) names.add(needed);
  }
  names.delete("@types/geojson"); // types leave no code
  return [...names].sort().map((name) => ({ name, ...lock[`node_modules/${name}`] }));
}

function licenceText(name) {
  const folder = `node_modules/${name}`;
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  return file
    ? readFileSync(join(folder, file), "utf8").trim()
    : "(the package carries no text of its licence)";
}

function licences(metafile) {
  const parts = packages(metafile).map(
    ({ name, version, license }) => `${name} ${version} (${license})\n\n${licenceText(name)}\n`,
  );
  const head = "What the map page is bundled from, and under which licences.\n";
  return [head, ...parts].join(`\n${"=".repeat(80)}\n\n`);
}

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT);
const shared = {
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  charset: "utf8",
};
const page = await build({
  ...shared,
  entryPoints: { app: "src/main.tsx" },
  outdir: OUT,
  jsx: "automatic",
  jsxImportSource: "preact",
  metafile: true,
});
await build({ ...shared, entryPoints: { worker: WORKER }, outdir: OUT });
for (const file of ["index.html", "icon.svg"])
  writeFileSync(join(OUT, file), readFileSync(join("src", file)));
writeFileSync(join(OUT, "LICENCES.txt"), licences(page.metafile));
writeFileSync(join(OUT, "sources.sha256"), `${sourcesHash()}\n`);
