"""HTTP/2, through a proxy that speaks it: all requests to a host share one connection."""

import shutil
import ssl
import subprocess
import time
import urllib.request

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, unused_port


class ProxyTest(harness.CliTest):
    OPTIONS = []

    def setUp(self):
        super().setUp()
        if not shutil.which("nghttpx") or not shutil.which("openssl"):
            self.skipTest("no nghttpx (Debian: nghttp2-proxy) to speak HTTP/2, or no openssl to make its certificate")
        self.certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", self.certificate,
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"],
                       capture_output=True, check=True)
        self.log = self.folder / "access.log"
        self.url = f"https://localhost:{unused_port()}"
        self.proxy = subprocess.Popen(
            ["nghttpx", "--frontend=127.0.0.1," + self.url.rsplit(":", 1)[1], "--backend=127.0.0.1," + self.hub.url.rsplit(":", 1)[1],
             "--workers=1", f"--accesslog-file={self.log}", "--accesslog-format=$remote_port $alpn $request", "--conf=/dev/null",
             *self.OPTIONS, str(key), str(self.certificate)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.proxy.wait)
        self.addCleanup(self.proxy.terminate)
        self.environment |= {"HF_ENDPOINT": self.url, "CURL_CA_BUNDLE": str(self.certificate)}
        context = ssl.create_default_context(cafile=str(self.certificate))

        def answers():
            try:
                return urllib.request.urlopen(self.url + "/api/organizations/demo/overview", context=context).status == 200
            except OSError:
                return False

        harness.ServedTest.wait_for(self, answers, "the proxy")
        self.seen = 0
        self.connections()
        # Without a library, which would be on another host.
        self.files = {path: data for path, data in build(VARIANT).items() if not path.endswith(".so")}
        self.files |= {f"build/{VARIANT}/{i}.txt": bytes([65 + i]) * 300_000 for i in range(20)}
        self.hub.publish("demo/one", "v1", self.files)
        # Nothing is asked about the publisher, which would be one request before all others.
        self.write_project('"demo/one" = 1', "trust-remote-code = true")

    def connections(self):
        """(port, protocol) of each request since the last time."""
        def all_there():
            return len(self.log.read_text().splitlines()) - self.seen >= len(self.hub.requests)

        harness.ServedTest.wait_for(self, all_there, "the proxy's log")
        lines = self.log.read_text().splitlines()[self.seen:]
        self.seen += len(lines)
        self.hub.requests.clear()
        return [tuple(line.split()[:2]) for line in lines]


class Http2(ProxyTest):
    def test_requests_share_a_connection(self):
        self.expect(0, "lock")
        self.assertEqual({protocol for _, protocol in self.connections()}, {"h2"})
        result = self.expect(0, "download", "--json", *TARGET)
        asked = self.connections()
        self.assertGreaterEqual(len(asked), 20)
        self.assertEqual(len(set(asked)), 1, asked)
        for file in result.json["builds"][0]["files"]:
            with open(file["file"], "rb") as at:
                self.assertEqual(at.read(), self.files[file["path"]])


class Http1(ProxyTest):
    """The same proxy where it does not offer HTTP/2."""

    OPTIONS = ["--npn-list=http/1.1"]

    def test_requests_have_a_connection_for_each_at_the_same_time(self):
        self.expect(0, "lock")
        self.connections()
        plain = self.hub.answer

        def slowly(handler):
            time.sleep(0.2)
            plain(handler)

        self.hub.answer = slowly
        self.expect(0, "download", *TARGET)
        asked = self.connections()
        self.assertEqual({protocol for _, protocol in asked}, {"http/1.1"})
        self.assertEqual(len({port for port, _ in asked}), 8)


if __name__ == "__main__":
    harness.main()
