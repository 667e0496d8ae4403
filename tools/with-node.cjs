// Runs a program on the pinned Node.js, whatever Node.js npm itself runs on: node tools/with-node.cjs vitest run
'use strict';

const path = require('node:path');
const { findNode, handOver, packageName } = require('../bin/pinned-node.js');

const fail = (message) => {
  process.stderr.write(`${message}\n`);
  process.exit(1);
};

const node = findNode();
if (node === undefined) fail(`${packageName} is not installed: run npm ci, without --omit=optional`);
const [program = 'node', ...args] = process.argv.slice(2);
const folders = [path.dirname(node), path.join(__dirname, '../node_modules/.bin'), process.env.PATH];
handOver(program, args, { ...process.env, PATH: folders.join(path.delimiter) }, (error) =>
  fail(`${program} cannot be run: ${error.message}`),
);
