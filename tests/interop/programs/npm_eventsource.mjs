import { createRequire } from "node:module";

// The second argument is a directory beside whose node_modules it is.
const { EventSource } = createRequire(`${process.argv[3]}/x.js`)("eventsource");
const source = new EventSource(`${process.argv[2]}/v1/videos/v/events`);
source.addEventListener("ready", () => console.log("ready"));
source.addEventListener("like", (event) => console.log(JSON.parse(event.data).data.n));
