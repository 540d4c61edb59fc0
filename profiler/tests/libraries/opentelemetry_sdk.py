"""A Python service that sends its metrics by OpenTelemetry's SDK: protobuf, packed, whole counts. Takes the address to send to, and
`grpc` to send that way and not by HTTP. Ends with its standard input."""
import os
import sys
import threading
import time

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

if sys.argv[2:] == ["grpc"]:
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

exporter = OTLPMetricExporter(endpoint=sys.argv[1], compression=Compression.Gzip)
provider = MeterProvider(
    metric_readers=[PeriodicExportingMetricReader(exporter, export_interval_millis=200)],
    resource=Resource({"service.name": "python-shop", "process.pid": os.getpid()}),
    views=[View(instrument_name="db.*.wait_time", aggregation=ExponentialBucketHistogramAggregation())],
)
meter = provider.get_meter("shop")
requests = meter.create_histogram("http.server.request.duration", unit="s", explicit_bucket_boundaries_advisory=[0.01, 0.05, 0.1])
wait = meter.create_histogram("db.client.connection.wait_time", unit="s")
pool = meter.create_up_down_counter("db.client.connection.count", unit="{connection}")
mails = meter.create_up_down_counter("shop.mail.backlog")
of = {"db.client.connection.pool.name": "orders"}
pool.add(3, of | {"db.client.connection.state": "used"})
pool.add(1, of | {"db.client.connection.state": "idle"})
mails.add(17, {"queue": "outgoing"})


def work():
    while True:
        requests.record(0.02, {"http.route": "/products"})
        wait.record(0.004, of)
        time.sleep(0.005)


threading.Thread(target=work, daemon=True).start()
sys.stdin.read()
