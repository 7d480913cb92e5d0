// Node's Cloud Tasks client: queues and tasks, from creation to deletion. Arguments: grpc or rest, the port.
const assert = require('node:assert');
const {CloudTasksClient} = require('@google-cloud/tasks');
const {credentials} = require('@grpc/grpc-js');
const {nobody} = require('./nobody');

async function main(transport, port) {
  const client = new CloudTasksClient({
    apiEndpoint: '127.0.0.1',
    port: Number(port),
    projectId: 'local-project',
    ...(transport === 'grpc'
      ? {sslCreds: credentials.createInsecure()}
      : {fallback: true, protocol: 'http', auth: nobody}),
  });
  const parent = client.locationPath('local-project', 'us-central1');
  const name = `${parent}/queues/node-${transport}`;
  await client.createQueue({parent, queue: {name, rateLimits: {maxDispatchesPerSecond: 3}}});
  assert.ok((await client.listQueues({parent}))[0].length >= 1);
  assert.strictEqual((await client.pauseQueue({name}))[0].state, 'PAUSED');
  const httpRequest = {url: 'http://127.0.0.1:9/', body: Buffer.from('hi').toString('base64')};
  const [task] = await client.createTask({parent: name, task: {httpRequest}});
  const [full] = await client.getTask({name: task.name, responseView: 'FULL'});
  assert.strictEqual(full.httpRequest.body.toString(), 'hi');
  assert.strictEqual((await client.listTasks({parent: name}))[0].length, 1);
  await client.runTask({name: task.name});
  const updateMask = {paths: ['retry_config.max_attempts']};
  const [updated] = await client.updateQueue({queue: {name, retryConfig: {maxAttempts: 2}}, updateMask});
  assert.strictEqual(updated.retryConfig.maxAttempts, 2);
  await client.deleteTask({name: task.name});
  await assert.rejects(client.getTask({name: task.name}), {code: 5});
  await client.deleteQueue({name});
}

main(...process.argv.slice(2)).then(() => process.exit(0), error => { console.error(error); process.exit(1); });
