"""kernels-hub, the real program, for tests: started on a folder of repositories, with faults, and asked directly."""

import http.client
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse

SKIP = 77


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP)


def need(variable):
    """The path that `variable` names; without it the whole script is skipped."""
    value = os.environ.get(variable)
    if not value:
        skip(f"{variable} is not set")
    if not pathlib.Path(value).exists():
        skip(f"{variable}={value} does not exist")
    return value


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Hub:
    """A running kernels-hub."""

    def __init__(self, folder, *options, work):
        self.log_path = pathlib.Path(work) / "requests.log"
        self.process = subprocess.Popen(
            [need("KERNELS_HUB_BIN"), str(folder), "--log", str(self.log_path), *map(str, options)],
            stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"kernels-hub ended with status {self.process.wait()}")

    def requests(self):
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def ask(self, path, method="GET", url=None, **headers):
        """One request, no redirects followed. `path` may be a whole URL."""
        parts = urllib.parse.urlsplit(path if path.startswith("http") else (url or self.url) + path)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        try:
            target = parts.path + ("?" + parts.query if parts.query else "")
            connection.request(method, target, headers={k.replace("_", "-"): v for k, v in headers.items()})
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def stop(self):
        """Ends the hub as a service manager does; its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(timeout=10)
        self.process.stdout.close()
        return status
