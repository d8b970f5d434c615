// What gRPC for JavaScript sees of a server of the probe: node grpc_js_client.js PORT, with requests as JSON on standard
// input. Prints JSON: a key for each kind of call.
"use strict";

const grpc = require("@grpc/grpc-js");
const { readFileSync } = require("fs");

const requests = JSON.parse(readFileSync(0, "utf8"));
const address = `127.0.0.1:${process.argv[2]}`;
const same = (bytes) => bytes;
const GZIP = 2;

function client(options = {}) {
  return new grpc.Client(address, grpc.credentials.createInsecure(), options);
}

function deadline(seconds) {
  return new Date(Date.now() + seconds * 1000);
}

// Resolves to the reply in hexadecimal, or to how the call failed.
function unary(path, request, { options = {}, seconds = 30, cancelled = false } = {}) {
  return new Promise((resolve) => {
    const data = Buffer.from(request, "hex");
    const metadata = new grpc.Metadata();
    const call = client(options).makeUnaryRequest(path, same, same, data, metadata, { deadline: deadline(seconds) }, (error, reply) => {
      resolve(error ? ending(error) : { reply: reply.toString("hex") });
    });
    if (cancelled) setTimeout(() => call.cancel(), 200);
  });
}

// Resolves to the number of replies and how the stream ended; cancels it after so many replies.
function stream(path, request, { most = Infinity } = {}) {
  return new Promise((resolve) => {
    const data = Buffer.from(request, "hex");
    const call = client().makeServerStreamRequest(path, same, same, data, new grpc.Metadata(), { deadline: deadline(30) });
    let replies = 0;
    call.on("data", () => { if (++replies === most) call.cancel(); });
    call.on("error", () => {});
    call.on("status", (status) => resolve({ replies, ...ending(status) }));
  });
}

function ending({ code, details, metadata }) {
  const [status] = metadata ? metadata.get("grpc-status-details-bin") : [];
  return { code: grpc.status[code], details, status: status ? status.toString("hex") : "" };
}

async function main() {
  const { predict, count, endless, invalid, slow, paths } = requests;
  const seen = {
    unary: await unary(paths.predict, predict),
    gzip: await unary(paths.predict, predict, { options: { "grpc.default_compression_algorithm": GZIP } }),
    invalid: await unary(paths.predict, invalid),
    stream: await stream(paths.count, count),
    cancelled_stream: await stream(paths.count, endless, { most: 3 }),
    health: await unary("/grpc.health.v1.Health/Check", ""),
    unknown: await unary("/probe.v1.ProbeService/Other", ""),
    deadline: await unary(paths.predict, slow, { seconds: 0.5 }),
    cancelled: await unary(paths.predict, predict, { cancelled: true }),
  };
  console.log(JSON.stringify(seen));
  process.exit(0);
}

main();
