// `node server.js MODE PORT`: the zoo's service in JavaScript, healthy or with the fault that MODE names.
'use strict';
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const { HealthImplementation } = require('grpc-health-check');
const { ReflectionService } = require('@grpc/reflection');

const [mode, port] = process.argv.slice(2);
const options = { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true };
const definition = loader.loadSync(path.join(__dirname, '..', 'zoo.proto'), options);
const service = grpc.loadPackageDefinition(definition).zoo.v1.PredictionService.service;
const name = 'zoo.v1.PredictionService';

function answer(request) {
  const total = request.height + 2 * request.weight + request.values.reduce((sum, value) => sum + value, 0);
  return { label: total > 3 ? 'high' : 'low', scores: [total, 1], reason: { text: request.name || 'none', part: total } };
}

const predicts = {
  array: (call, callback) => callback(null, [0.1, 0.9]),
  json: (call, callback) => callback(null, JSON.stringify(answer(call.request))),
  nothing: (call, callback) => callback(null),
  'wrong-type': (call, callback) => callback(null, { label: 'high', scores: 'many' }),
  'other-names': (call, callback) => callback(null, { prediction: 'high' }),
  error: (call, callback) => callback(new Error('no model')),
  throws: () => {
    throw new Error('no model');
  },
  rejects: async () => {
    throw new Error('no model');
  },
};

// Healthy for so many calls, or not before so many milliseconds after the first one.
const AFTER = 3;
const LOADS = 3000;
let calls = 0;
let firstCall = 0;
const models = {
  'raises-after': (callback) => callback(new Error('the session is closed')),
  'hangs-after': () => {},
  'dies-after': () => process.exit(139),
};
if (models[mode]) {
  predicts[mode] = (call, callback) => {
    calls += 1;
    if (calls > AFTER) models[mode](callback);
    else callback(null, answer(call.request));
  };
}
predicts.early = (call, callback) => {
  firstCall = firstCall || Date.now();
  const model = Date.now() < firstCall + LOADS ? null : { predict: answer };
  callback(null, model.predict(call.request));
};

const methods = {
  Predict: predicts[mode] || ((call, callback) => callback(null, answer(call.request))),
  Explain: (call) => {
    for (let n = 0; mode !== 'yields-nothing' && n < 3; n += 1) call.write({ text: `reason ${n}`, part: call.request.height + n });
    call.end();
  },
};
if (mode === 'method-missing') delete methods.Predict;

const server = new grpc.Server();
if (mode !== 'not-registered') server.addService(service, methods);
new HealthImplementation({ '': 'SERVING', [name]: 'SERVING' }).addToServer(server);
if (mode !== 'silent-healthy') new ReflectionService(definition).addToServer(server);
server.bindAsync(`0.0.0.0:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
process.on('SIGTERM', () => server.tryShutdown(() => process.exit(0)));
