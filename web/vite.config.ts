// Builds the page into ssdie/app_page, which the wheel contains and `ssdie app` serves.

import { createHash } from "node:crypto";
import { createReadStream, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const OUT = here("../ssdie/app_page");
const WEIGHTS = here("../ssdie/weights/msff.onnx"); // served beside the page, not copied into it

/** Serve the weights while developing, and write the service worker, which caches the page for offline use. */
function offline(): Plugin {
  return {
    name: "offline",
    configureServer(server) {
      server.middlewares.use("/msff.onnx", (_request, response) => {
        response.setHeader("Content-Type", "application/octet-stream");
        createReadStream(WEIGHTS).pipe(response);
      });
    },
    closeBundle() {
      const hash = createHash("sha256").update(readFileSync(WEIGHTS));
      const names = readdirSync(OUT, { recursive: true, encoding: "utf-8" })
        .map((name) => join(OUT, name))
        .filter((path) => statSync(path).isFile() && !path.endsWith("sw.js"))
        .sort();
      for (const path of names) hash.update(relative(OUT, path)).update(readFileSync(path));
      const files = [
        "./",
        "msff.onnx",
        ...names.map((path) => relative(OUT, path)).filter((name) => name !== "index.html"),
      ];
      const source = readFileSync(here("service-worker.js"), "utf-8")
        .replace('"VERSION"', JSON.stringify(hash.digest("hex").slice(0, 16)))
        .replace('["FILES"]', JSON.stringify(files));
      writeFileSync(join(OUT, "sw.js"), source);
    },
  };
}

export default defineConfig({
  base: "./",
  build: { outDir: OUT, emptyOutDir: true, target: "es2022", assetsInlineLimit: 0 },
  worker: { format: "es" },
  plugins: [offline()],
});
