// Plain Node, nothing but its http module: every viewer's response is written to in turn.
//
// A frame is rendered once. Without chunked encoding a write is one system call, where it would be three
// pieces put together. What a viewer does not take, Node keeps in memory.

"use strict";
const http = require("node:http");

const port = Number(process.argv[2]);
const viewers = new Set();
let number = 0;

function watch(request, response) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store", connection: "close" });
  response.write("retry: 2000\nid: 0\nevent: ready\ndata: {}\n\n");
  viewers.add(response);
  response.on("close", () => viewers.delete(response));
}

function publish(request, response) {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    number += 1;
    const frame = Buffer.from(`id: ${number}\nevent: like\ndata: ${Buffer.concat(pieces)}\n\n`);
    for (const viewer of viewers) viewer.write(frame);
    response.writeHead(202, { "content-length": 0 }).end();
  });
}

const server = http.createServer((request, response) => {
  response.removeHeader("transfer-encoding");
  if (request.url === "/events") watch(request, response);
  else if (request.url === "/publish") publish(request, response);
  else response.writeHead(204).end();
});
server.keepAliveTimeout = 300_000;
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
