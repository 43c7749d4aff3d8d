// Plain Node, nothing but its http module: every viewer's response is written to in turn.
//
// A frame is rendered once; a body has an event on each line. Without chunked encoding a write is one system call, where it would be three
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
    const frames = Buffer.concat(pieces).toString().split("\n").map((line) => {
      number += 1;
      return `id: ${number}\nevent: like\ndata: ${line}\n\n`;
    });
    const written = Buffer.from(frames.join("")); // of several events one write
    for (const viewer of viewers) viewer.write(written);
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
