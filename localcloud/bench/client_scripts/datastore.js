// Node's Datastore client: each kind of call once. Arguments: grpc or rest.
const assert = require('node:assert');
const {Datastore} = require('@google-cloud/datastore');
const {nobody} = require('./nobody');

async function main(transport) {
  const rest = transport === 'rest' ? {fallback: true, protocol: 'http', auth: nobody} : {};
  const datastore = new Datastore({projectId: 'local-project', ...rest});
  const key = datastore.key(['Node', transport]);
  await datastore.save({key, data: {x: 1, text: 'é', when: new Date(0)}});
  assert.strictEqual((await datastore.get(key))[0].text, 'é');
  const [found] = await datastore.runQuery(datastore.createQuery('Node').order('x').limit(5));
  assert.ok(found.length >= 1);
  const transaction = datastore.transaction();
  await transaction.run();
  const [entity] = await transaction.get(key);
  transaction.save({key, data: {...entity, x: 2}});
  await transaction.commit();
  assert.strictEqual((await datastore.get(key))[0].x, 2);
  const counted = datastore.createAggregationQuery(datastore.createQuery('Node')).count('c');
  assert.ok((await datastore.runAggregationQuery(counted))[0][0].c >= 1);
  assert.strictEqual((await datastore.allocateIds(datastore.key(['Node']), 2))[0].length, 2);
  await datastore.delete(key);
  assert.strictEqual((await datastore.get(key))[0], undefined);
}

main(process.argv[2]).then(() => process.exit(0), error => { console.error(error); process.exit(1); });
