/** The process: CPU, resident memory, descriptors, threads. */
import { readdirSync, readFileSync } from 'node:fs';
import { mono } from '../clock.js';

/** Ticks between readings of what is dear to read: 2 Hz. */
const SLOW_TICKS = 5;

/** @param {import('./lanes.js').Lanes} lanes */
export function watchProcess(lanes) {
  let before = { cpu: process.cpuUsage(), at: mono() };
  lanes.level('process.cpu', 'cores', () => {
    const now = { cpu: process.cpuUsage(), at: mono() };
    const used = now.cpu.user + now.cpu.system - before.cpu.user - before.cpu.system;
    const cores = (used * 1_000) / Math.max(1, now.at - before.at);
    before = now;
    return cores;
  });
  lanes.level('process.resident', 'bytes', slowly(() => tried(() => process.memoryUsage.rss())));
  lanes.level('process.descriptors', 'count', slowly(() => tried(() => readdirSync('/proc/self/fd').length - 1)));
  lanes.level('process.threads', 'count', slowly(() => tried(threads)));
  lanes.level('process.descriptor-limit', 'count', slowly(() => tried(descriptorLimit)), { combine: 'max' });
}

/** Every few ticks; in between there is no value. */
function slowly(read) {
  let tick = 0;
  return () => (tick++ % SLOW_TICKS === 0 ? read() : undefined);
}

/** Without a descriptor nothing can be read there, and a service must not end for being watched. */
function tried(read) {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function threads() {
  return Number(/^Threads:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
}

function descriptorLimit() {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))[1]);
}
