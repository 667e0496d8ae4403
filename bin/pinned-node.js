// Finds the Node.js that npm has installed beside Varve, and hands the process over to a program that it runs. Plain
// JavaScript for any Node.js since 18.
'use strict';

const childProcess = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGQUIT'];

/** The package that holds the Node.js of this platform. */
exports.packageName = `node-${process.platform}-${process.arch}`;

/** Its path, or undefined where that package is not installed. */
exports.findNode = () => {
  try {
    // Not by node_modules/.bin/node: npm 10 does not link it where two optional packages have a `bin` of that name.
    const manifest = require.resolve(`${exports.packageName}/package.json`);
    const node = path.join(path.dirname(manifest), 'bin', 'node');
    return fs.existsSync(node) ? node : undefined;
  } catch {
    return undefined;
  }
};

/** Names, to a program, the descriptor that comes to its end when this process does, however that comes. */
const OWNER_VARIABLE = 'VARVE_OWNER_DESCRIPTOR';

/**
 * Runs a program in place of this process: with its input and output, the signals that it gets, and its end.
 * @param fail called with an Error where the program cannot be started
 * @param endsWithUs the program calls endWithOwner
 */
exports.handOver = (program, args, env, fail, endsWithUs = false) => {
  const child = endsWithUs
    ? childProcess.spawn(program, args, {
        env: { ...env, [OWNER_VARIABLE]: '3' },
        stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
      })
    : childProcess.spawn(program, args, { env, stdio: 'inherit' });
  // What the terminal sends goes to both processes already.
  const isFromTerminal = (signal) =>
    (signal === 'SIGINT' || signal === 'SIGQUIT') && process.stdin.isTTY === true;
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      if (!isFromTerminal(signal)) child.kill(signal);
    });
  }
  child.stdio[3]?.on('error', () => undefined);
  child.on('error', fail);
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const forwarded of FORWARDED) process.removeAllListeners(forwarded);
    process.kill(process.pid, signal);
  });
};

/** Ends this process in order when the one is killed that has handed over to it. Nobody who is started from here sees that. */
exports.endWithOwner = () => {
  const descriptor = Number(process.env[OWNER_VARIABLE]);
  delete process.env[OWNER_VARIABLE];
  if (!Number.isInteger(descriptor)) return;
  const owner = new net.Socket({ fd: descriptor });
  owner.on('error', () => undefined);
  owner.on('close', () => process.kill(process.pid, 'SIGTERM'));
  owner.resume();
  owner.unref();
};
