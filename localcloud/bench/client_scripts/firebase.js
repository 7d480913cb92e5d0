// firebase-admin for Node: enqueues, meets its own task again, deletes it.
const assert = require('node:assert');
const {initializeApp} = require('firebase-admin/app');
const {getFunctions} = require('firebase-admin/functions');

async function main() {
  const queue = getFunctions(initializeApp({projectId: 'local-project'})).taskQueue('default');
  const options = {id: 'node', scheduleDelaySeconds: 600};
  await queue.enqueue({x: 1}, options);
  await assert.rejects(queue.enqueue({x: 1}, options), {code: 'functions/task-already-exists'});
  await queue.delete('node');
}

main().then(() => process.exit(0), error => { console.error(error); process.exit(1); });
