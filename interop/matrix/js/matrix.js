// kafkajs; the commands are those of ../python/records.py. It reads only as a member of a group, so `read`, which is told its partitions, speaks the
// protocol's Fetch by its own broker object.
'use strict'
const fs = require('fs')
const net = require('net')
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
const Snappy = require('kafkajs-snappy')
const Lz4 = require('kafkajs-lz4')

CompressionCodecs[CompressionTypes.Snappy] = Snappy
CompressionCodecs[CompressionTypes.LZ4] = new Lz4().codec

const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4 }
const fromHex = text => (text === null ? null : Buffer.from(text, 'hex'))
const toHex = data => (data === null || data === undefined ? null : Buffer.from(data).toString('hex'))
const client = address => new Kafka({ clientId: 'matrix', brokers: [address], logLevel: logLevel.ERROR })

async function write(address, topic, codec, kind, path) {
  const producer = client(address).producer({ idempotent: kind === 'idempotent', maxInFlightRequests: 1 })
  await producer.connect()
  const wanted = fs.readFileSync(path, 'utf8').trim().split('\n').map(line => JSON.parse(line))
  const messages = wanted.map(it => ({
    partition: it.p, key: fromHex(it.k), value: fromHex(it.v), timestamp: String(it.t),
    headers: Object.fromEntries(it.h.map(([name, data]) => [name, fromHex(data)])),
  }))
  for (let at = 0; at < messages.length; at += 200) {
    await producer.send({ topic, acks: -1, compression: codecs[codec], messages: messages.slice(at, at + 200) })
  }
  await producer.disconnect()
}

async function read(address, topic, partitions, count) {
  const Cluster = require('kafkajs/src/cluster')
  const { createLogger } = require('kafkajs/src/loggers')
  const logger = createLogger({ level: logLevel.ERROR, logCreator: require('kafkajs/src/loggers/console') })
  const [host, port] = address.split(':')
  const socketFactory = ({ host, port, onConnect }) => net.connect({ host, port: Number(port) }, onConnect)
  const cluster = new Cluster({
    logger, socketFactory, brokers: [`${host}:${port}`], clientId: 'matrix', connectionTimeout: 5000, authenticationTimeout: 5000,
    reauthenticationThreshold: 10000, requestTimeout: 30000, enforceRequestTimeout: true, metadataMaxAge: 300000, allowAutoTopicCreation: false,
    maxInFlightRequests: null, isolationLevel: 0,
  })
  await cluster.connect()
  await cluster.addTargetTopic(topic)
  const offsets = Array(Number(partitions)).fill(0n)
  let seen = 0
  const deadline = Date.now() + 30000
  while (seen < count && Date.now() < deadline) {
    for (const { leader, partitionId } of cluster.findTopicPartitionMetadata(topic)) {
      const broker = await cluster.findBroker({ nodeId: leader })
      const fetchOffset = offsets[partitionId].toString()
      const answer = await broker.fetch({
        maxWaitTime: 100, minBytes: 1, maxBytes: 8 << 20, isolationLevel: 0, replicaId: -1,
        topics: [{ topic, partitions: [{ partition: partitionId, fetchOffset, maxBytes: 4 << 20, currentLeaderEpoch: -1 }] }],
      })
      for (const part of answer.responses[0].partitions) {
        for (const it of part.messages) {
          if (BigInt(it.offset) < offsets[partitionId]) continue
          offsets[partitionId] = BigInt(it.offset) + 1n
          const headers = Object.entries(it.headers || {}).map(([name, data]) => [name, toHex(data)])
          const line = { p: partitionId, o: Number(it.offset), k: toHex(it.key), v: toHex(it.value), h: headers, t: Number(it.timestamp) }
          process.stdout.write(JSON.stringify(line) + '\n')
          seen += 1
        }
      }
    }
  }
  await cluster.disconnect()
  if (seen < count) throw new Error(`${seen} of ${count} records`)
}

async function times(address, topic, timestamps) {
  const admin = client(address).admin()
  await admin.connect()
  const found = []
  // Where no record is so young, kafkajs itself answers with the end.
  for (const it of timestamps) found.push(Number((await admin.fetchTopicOffsetsByTimestamp(topic, Number(it)))[0].offset))
  await admin.disconnect()
  console.log(JSON.stringify(found))
}

// Its only assignor is a round-robin of its own.
async function member(address, topic, group, how, sessionMs, heartbeatMs) {
  const tell = line => process.stdout.write(line + '\n')
  let owned = []
  const revoke = () => {
    if (owned.length > 0) tell(`revoked ${owned}`)
    owned = []
  }
  tell('started')
  const consumer = client(address).consumer({
    groupId: group, sessionTimeout: Number(sessionMs), heartbeatInterval: Number(heartbeatMs), maxWaitTimeInMs: 100,
  })
  consumer.on(consumer.events.REBALANCING, revoke)
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    revoke()
    owned = payload.memberAssignment[topic] || []
    if (owned.length > 0) tell(`assigned ${owned}`)
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  process.on('SIGTERM', () => consumer.disconnect())
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
      for (const it of batch.messages) tell(`record ${batch.partition} ${it.offset} ${it.value}`)
      const next = (BigInt(batch.lastOffset()) + 1n).toString()
      await consumer.commitOffsets([{ topic, partition: batch.partition, offset: next }])
      tell('committed')
      resolveOffset(batch.lastOffset())
      await heartbeat()
    },
  })
}

async function main([command, ...words]) {
  if (command === 'write') await write(...words)
  else if (command === 'read') await read(...words)
  else if (command === 'times') await times(words[0], words[1], words.slice(2))
  else if (command === 'member') await member(...words)
  else if (command === 'version') console.log(require('kafkajs/package.json').version)
  else throw new Error(`unknown command ${command}`)
}

// Not ended by force: what was printed has to leave first.
main(process.argv.slice(2)).catch(error => { console.error(error); process.exitCode = 1 })
