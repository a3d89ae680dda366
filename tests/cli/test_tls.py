"""https: whom it trusts, what it refuses, and that a token is never printed."""

import http.server
import shutil
import ssl
import subprocess
import threading
import urllib.request
import warnings

import harness
from harness import TARGET, VARIANT
from loopback_hub import build

TOKEN = "hf_neverPrintedAnywhere"


class Tls(harness.CliTest):
    """The Hub behind TLS on localhost, with a certificate of its own."""

    def setUp(self):
        super().setUp()
        if not shutil.which("openssl"):
            self.skipTest("no openssl to make certificates")
        self.certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", self.certificate,
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"],
                       capture_output=True, check=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.redirect_to = None
        plain, test = self.hub.url, self

        class Front(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                if test.redirect_to:
                    self.send_response(302)
                    self.send_header("Location", test.redirect_to + self.path)
                    self.end_headers()
                    return
                with urllib.request.urlopen(plain + self.path) as answer:  # follows to the library by itself
                    body = answer.read()
                    self.send_response(answer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
        self.server.handle_error = lambda *_: None
        self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.environment["HF_ENDPOINT"] = f"https://localhost:{self.server.server_port}"
        self.hub.publish("demo/one", "v1", build(VARIANT))
        self.write_project()

    def test_every_way_to_name_the_certificates(self):
        for name in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            (self.project / "kernels.lock").unlink(missing_ok=True)
            self.expect(0, "lock", **{name: str(self.certificate)})
        self.expect(0, "download", *TARGET, CURL_CA_BUNDLE=str(self.certificate))
        folder = self.folder / "certificates"
        folder.mkdir()
        shutil.copy(self.certificate, folder)
        subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
        self.expect(0, "lock", "--upgrade", SSL_CERT_DIR=str(folder))

    def test_strangers_are_refused(self):
        for environment in ({}, {"CURL_CA_BUNDLE": ""}, {"REQUESTS_CA_BUNDLE": "", "SSL_CERT_FILE": ""}):
            self.expect_error(5, "certificate", "lock", hint="certificates: the system's store", **environment)
        self.expect_error(5, "cannot reach https://localhost", "lock", hint="/nowhere.pem", CURL_CA_BUNDLE="/nowhere.pem")
        self.assertEqual(self.hub.requests, [])

    def test_the_wrong_name(self):
        self.expect_error(5, "certificate", "lock", CURL_CA_BUNDLE=str(self.certificate),
                          HF_ENDPOINT=f"https://127.0.0.1:{self.server.server_port}")

    def test_no_way_down_to_http(self):
        self.redirect_to = self.hub.url
        self.expect_error(5, "refused to be redirected from https to `http://", "lock", CURL_CA_BUNDLE=str(self.certificate))
        self.assertEqual(self.hub.requests, [])

    def test_old_protocols_are_refused(self):
        self.context.set_ciphers("ALL:@SECLEVEL=0")
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.expect(0, "lock", CURL_CA_BUNDLE=str(self.certificate))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.context.minimum_version = ssl.TLSVersion.TLSv1
            self.context.maximum_version = ssl.TLSVersion.TLSv1_1
        result = self.run_kernels("lock", "--upgrade", CURL_CA_BUNDLE=str(self.certificate))
        self.assertEqual(result.status, 5, result)
        self.assertIn("protocol version", result.err)

    def test_a_token_is_never_printed(self):
        said = ""
        for arguments in (["-vv", "lock"], ["-vv", "--json", "lock"], ["env"], ["env", "--json"],
                          ["-vv", "lock", "--endpoint", f"https://user:{TOKEN}@localhost:{self.server.server_port}"],
                          ["-vv", "info", "demo/none"], ["-vv", "download", *TARGET]):
            for trusted in (str(self.certificate), "/nowhere.pem"):
                result = self.run_kernels(*arguments, HF_TOKEN=TOKEN, CURL_CA_BUNDLE=trusted)
                said += result.out + result.err
        self.assertIn("GET https://localhost", said)
        self.assertNotIn(TOKEN, said)


if __name__ == "__main__":
    harness.main()
