/** The thread of the embedded database: takes questions and answers them in order. */
import { parentPort } from 'node:worker_threads';
import { operations } from './sqlite-operations.js';

parentPort.on('message', ({ id, ...question }) => {
  try {
    parentPort.postMessage({ id, value: operations[question.op](question) });
  } catch (e) {
    parentPort.postMessage({ id, error: e.message });
  }
});
