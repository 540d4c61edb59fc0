"""A Python service with prometheus_client's own server. Prints its port; ends with its standard input."""
import sys
import threading
import time

from prometheus_client import Histogram, start_http_server

requests = Histogram("http_request_duration_seconds", "Requests", ["handler"])
server, _ = start_http_server(0, addr="127.0.0.1")
print(server.server_port, flush=True)


def work():
    while True:
        requests.labels("/products").observe(0.02)
        time.sleep(0.005)


threading.Thread(target=work, daemon=True).start()
sys.stdin.read()
