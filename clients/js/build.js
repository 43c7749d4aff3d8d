/** Fill `dist` with what the server serves at /liveserver.js: the package is these files. */

import { cpSync, existsSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const served = here("../../liveserver/web/static/");

// An unpacked package has no server beside it, and its `dist` already.
if (existsSync(served)) {
  rmSync(here("dist"), { recursive: true, force: true });
  cpSync(`${served}liveserver.js`, here("dist/liveserver.js"));
  cpSync(`${served}liveserver`, here("dist/liveserver"), { recursive: true });
  cpSync(here("../../LICENSE"), here("LICENSE"));
}
