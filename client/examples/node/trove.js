#!/usr/bin/env node
// trove.js - a small client of Trove in another language: a plain socket, protobufjs, and XXH3 from hash-wasm.
//
//   npm install --no-package-lock
//   export TROVE_SERVER=tcp://localhost:7070            # or ipc:///run/trove/troved.sock
//   node trove.js mb BUCKET
//   node trove.js put FILE BUCKET/KEY
//   node trove.js get BUCKET/KEY FILE
//
// It shows all that a client needs. A connection is SP's PAIR0 protocol: each end sends a greeting of 8 bytes, then messages, each
// with its length in 8 bytes before it, and over a unix socket one octet before that. A message is one `Frame` of trove.proto, which
// explains everything else. Chunks are sent as far as the receiver's credit goes, and larger ones than a frame takes in fragments.
'use strict';

const { once } = require('events');
const fs = require('fs');
const net = require('net');
const path = require('path');

const { createXXHash3 } = require('hash-wasm');
const protobuf = require('protobufjs');

const PROTO = path.join(__dirname, '../../../proto/trove/v1/trove.proto');
const GREETING = Buffer.from([0, 0x53, 0x50, 0, 0, 16, 0, 0]); // NUL "SP", version 0, PAIR0
const BLOCK_BYTES = 256 * 1024; // checksums are cut where the object's offset is a multiple of it
const CHUNK_BYTES = 1024 * 1024;
const CHANNEL_CHUNKS = 4; // how many may be under way

// ---- checksums ----

let xxh3; // one hasher for all, set by main

function hash(bytes) {
  return BigInt('0x' + xxh3.init().update(bytes).digest('hex'));
}

// Chunk.checksum: over call, index, offset, length, and the hash of each piece of the payload.
function checksum(callId, index, offset, payload) {
  const words = [callId, index, offset, payload.length].map(BigInt);
  for (let at = 0; at < payload.length; ) {
    const end = Math.min(payload.length, at + BLOCK_BYTES - ((offset + at) % BLOCK_BYTES));
    words.push(hash(payload.subarray(at, end)));
    at = end;
  }
  const bytes = Buffer.alloc(8 * words.length);
  words.forEach((word, i) => bytes.writeBigUInt64LE(word, 8 * i));
  return hash(bytes).toString(); // a string, for numbers lose precision beyond 2^53
}

// ---- the connection ----

class Connection {
  static async dial(url) {
    const root = await protobuf.load(PROTO);
    const tcp = /^tcp:\/\/\[?(.*?)\]?:(\d+)$/.exec(url);
    const ipc = /^ipc:\/\/(\/.*)$/.exec(url);
    if (!tcp && !ipc) throw new Error(`"${url}" is no URL of a server; it looks like tcp://HOST:PORT or ipc:///PATH`);
    const socket = tcp ? net.connect({ host: tcp[1], port: Number(tcp[2]), noDelay: true }) : net.connect(ipc[1]);
    await once(socket, 'connect');
    const connection = new Connection(root, socket, ipc !== null);
    await connection.greet();
    return connection;
  }

  constructor(root, socket, typed) {
    this.root = root;
    this.Frame = root.lookupType('trove.v1.Frame');
    this.codes = root.lookupEnum('trove.v1.Code').valuesById;
    this.socket = socket;
    this.input = socket[Symbol.asyncIterator]();
    this.buffers = [];
    this.typed = typed; // over a unix socket messages have a type
    this.lastId = 0;
  }

  async greet() {
    this.socket.write(GREETING);
    if (!(await this.read(GREETING.length)).equals(GREETING)) throw new Error('this is no server of Trove');
    await this.send({ hello: { version: 1, agent: 'trove example, node' } });
    const { welcome } = await this.receive(0, 'welcome');
    this.payloadBytesMax = Number(welcome.payloadBytesMax);
  }

  newId() {
    return ++this.lastId;
  }

  async read(count) {
    let have = this.buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    while (have < count) {
      const { value, done } = await this.input.next();
      if (done) throw new Error('the server has closed the connection');
      this.buffers.push(value);
      have += value.length;
    }
    const all = this.buffers.length === 1 ? this.buffers[0] : Buffer.concat(this.buffers);
    this.buffers = [all.subarray(count)];
    return all.subarray(0, count);
  }

  // Resolves when the socket takes more.
  async send(frame) {
    const message = this.Frame.encode(this.Frame.fromObject(frame)).finish();
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(message.length));
    if (this.typed) this.socket.write(Buffer.from([1]));
    this.socket.write(length);
    if (!this.socket.write(message)) await once(this.socket, 'drain');
  }

  // The next frame of a call, whose body is one of `bodies`. 64-bit numbers are strings.
  async receive(callId, ...bodies) {
    for (;;) {
      if (this.typed) await this.read(1);
      const length = Number((await this.read(8)).readBigUInt64BE());
      const message = this.Frame.decode(await this.read(length));
      const frame = this.Frame.toObject(message, { longs: String, defaults: true, oneofs: true });
      if (frame.body === 'ping') {
        await this.send({ pong: { token: frame.ping.token } });
        continue;
      }
      const status = frame.body === 'goAway' ? frame.goAway.status : frame.status;
      if (status && status.code !== 0) throw new Error(`${this.codes[status.code]}: ${status.message}`);
      if (frame.body === 'goAway') continue; // the server drains; what is under way may end
      if (Number(frame.callId) !== callId || !bodies.includes(frame.body))
        throw new Error(`${frame.body} for call ${frame.callId} wasn't expected`);
      return frame;
    }
  }

  // A unary call, such as call('Buckets', 'Create', {bucket}).
  async call(service, method, request) {
    const rpc = this.root.lookupService(`trove.v1.${service}`).methods[method].resolve();
    const callId = this.newId();
    const payload = rpc.resolvedRequestType.encode(rpc.resolvedRequestType.fromObject(request)).finish();
    await this.send({ callId, call: { method: `trove.v1.${service}/${method}` }, payload });
    const answer = await this.receive(callId, 'status');
    return rpc.resolvedResponseType.decode(answer.payload);
  }
}

// ---- put ----

// Sends one chunk, in as many frames as it needs.
async function sendChunk(connection, callId, index, offset, bytes, final) {
  let at = 0;
  do {
    const payload = bytes.subarray(at, at + connection.payloadBytesMax);
    const chunk = {
      index,
      offset: offset + at,
      chunkBytes: bytes.length,
      fragmentOffset: at,
      final,
      checksum: checksum(callId, index, offset + at, payload),
    };
    await connection.send({ callId, chunk, payload });
    at += payload.length;
  } while (at < bytes.length);
}

async function put(connection, file, bucket, key) {
  const callId = connection.newId();
  const source = await fs.promises.open(file);
  const { size } = await source.stat();
  const open = { direction: 'UPLOAD', bucket, key, size, demand: size, chunkBytes: CHUNK_BYTES, channelChunks: CHANNEL_CHUNKS };
  await connection.send({ callId, open });
  const { opened } = await connection.receive(callId, 'opened');
  const chunkBytes = Number(opened.chunkBytes);
  const chunks = Math.max(1, Math.ceil(size / chunkBytes)); // an empty object is one empty chunk
  let credit = Number(opened.credit);
  let next = 0;
  for (let acknowledged = 0; acknowledged < chunks; ) {
    const offset = next * chunkBytes;
    const count = Math.min(chunkBytes, size - offset);
    if (next < chunks && count <= credit) {
      const bytes = Buffer.alloc(count);
      const { bytesRead } = await source.read(bytes, 0, count, offset);
      if (bytesRead < count) throw new Error(`${file} has become shorter while it was read`);
      await sendChunk(connection, callId, next, offset, bytes, next === chunks - 1);
      credit -= count;
      next++;
      continue;
    }
    const { ack, credit: granted } = await connection.receive(callId, 'ack', 'credit');
    credit += ack ? Number(ack.credit) : Number(granted.bytes) - Number(granted.expired);
    if (ack && ack.notTaken) {
      // No error: the credit had expired. It goes on there when there is credit again.
      const first = Number(ack.ranges[0].first);
      credit += Math.min(size, offset) - first * chunkBytes;
      next = first;
    } else if (ack) {
      acknowledged = ack.ranges.reduce((sum, range) => sum + Number(range.count), acknowledged);
    }
  }
  await source.close();
  await connection.send({ callId, complete: { size, chunks } });
  const { completed } = await connection.receive(callId, 'completed');
  return completed.object;
}

// ---- get ----

async function get(connection, bucket, key, file) {
  const callId = connection.newId();
  const credit = CHUNK_BYTES * CHANNEL_CHUNKS;
  const open = { direction: 'DOWNLOAD', bucket, key, credit, chunkBytes: CHUNK_BYTES, channelChunks: CHANNEL_CHUNKS };
  await connection.send({ callId, open });
  const { opened } = await connection.receive(callId, 'opened');
  const part = `${file}.part`; // so that FILE is never half an object
  const target = await fs.promises.open(part, 'w');
  for (let received = 0; ; ) {
    const { chunk, complete, payload } = await connection.receive(callId, 'chunk', 'complete');
    if (complete) {
      if (Number(complete.size) !== received) throw new Error(`${received} bytes of ${complete.size} came`);
      break;
    }
    if (Number(chunk.offset) !== received || checksum(callId, Number(chunk.index), received, payload) !== chunk.checksum)
      throw new Error(`the bytes from ${received} on were damaged on the way`);
    await target.write(payload, 0, payload.length, received);
    received += payload.length;
    if (Number(chunk.fragmentOffset) + payload.length < Number(chunk.chunkBytes)) continue;
    const ranges = [{ first: chunk.index, count: 1 }];
    await connection.send({ callId, ack: { ranges, receivedOffset: received, credit: chunk.chunkBytes } });
  }
  await target.close();
  await fs.promises.rename(part, file);
  await connection.send({ callId, completed: {} });
  return opened.object;
}

// ---- the command ----

function split(name) {
  const slash = name.indexOf('/');
  if (slash < 1 || slash === name.length - 1) throw new Error(`"${name}" isn't BUCKET/KEY`);
  return [name.slice(0, slash), name.slice(slash + 1)];
}

const commands = {
  mb: (connection, bucket) => connection.call('Buckets', 'Create', { bucket }),
  put: (connection, file, name) => put(connection, file, ...split(name)),
  get: (connection, name, file) => get(connection, ...split(name), file),
};

async function main([verb, ...words]) {
  const command = Object.hasOwn(commands, verb) && commands[verb];
  if (!command || words.length !== command.length - 1) throw new Error('usage: mb BUCKET | put FILE BUCKET/KEY | get BUCKET/KEY FILE');
  xxh3 = await createXXHash3();
  const connection = await Connection.dial(process.env.TROVE_SERVER || 'ipc:///run/trove/troved.sock');
  const object = await command(connection, ...words);
  if (object.key) console.log(`${object.bucket}/${object.key} ${object.size} ${object.etag}`);
  connection.socket.end();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`trove.js: ${error.message}`);
  process.exit(1);
});
