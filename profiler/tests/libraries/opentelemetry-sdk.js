// A service of Node.js that sends its own and the runtime's metrics by OpenTelemetry's SDK: JSON, and what has come since the last time.
// Takes the address to send to. Ends with its standard input.
'use strict';
const { MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
const { AggregationTemporalityPreference, OTLPMetricExporter } = require('@opentelemetry/exporter-metrics-otlp-http');
const { RuntimeNodeInstrumentation } = require('@opentelemetry/instrumentation-runtime-node');
const { resourceFromAttributes } = require('@opentelemetry/resources');

const exporter = new OTLPMetricExporter({ url: process.argv[2], temporalityPreference: AggregationTemporalityPreference.DELTA });
const provider = new MeterProvider({
  resource: resourceFromAttributes({ 'service.name': 'node-shop', 'process.pid': process.pid }),
  readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 200, exportTimeoutMillis: 200 })],
});
new RuntimeNodeInstrumentation({ monitoringPrecision: 50 }).setMeterProvider(provider);
const requests = provider.getMeter('shop').createHistogram('http.server.request.duration', {
  unit: 's',
  advice: { explicitBucketBoundaries: [0.01, 0.05, 0.1] },
});

let kept = [];
setInterval(() => {
  kept.push(new Array(20_000).fill({}));
  if (kept.length > 50) kept = [];
  requests.record(0.02, { 'http.route': '/products' });
}, 5);
process.stdin.on('end', () => process.exit(0)).resume();
