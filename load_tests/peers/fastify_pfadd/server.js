// A peer: the heartbeat on Node with fastify and ioredis, one PFADD of the token into its ten-second bucket.
// Commands of one turn of the event loop go to Redis together (auto-pipelining), as ioredis recommends under load.
// Run it with `node server.js PORT REDIS` (a URL, or the path of a socket), after `npm ci`.
"use strict";

const fastify = require("fastify");
const Redis = require("ioredis");

const [port, address] = process.argv.slice(2);
const redis = new Redis(address, { enableAutoPipelining: true });
const app = fastify({ logger: false });

app.post("/v1/beat", async (request, reply) => {
  await redis.pfadd(`beats:${Math.floor(Date.now() / 10000)}`, request.body);
  return reply.code(204).send();
});

app.listen({ host: "127.0.0.1", port: Number(port) });
