"""Each kind of --fault of kernels-hub does what its line in --help says, as often as it was told."""

import subprocess
import unittest

import harness
from served import LIBRARY, REPO, VARIANT, ServedTest

harness.need("KERNELS_HUB_BIN")


class FaultTest(ServedTest):
    def location(self, hub):
        return hub.ask(f"/kernels/{REPO}/resolve/v1/{VARIANT}/_one.abi3.so").headers["Location"]

    def raw(self, url, *options):
        """What curl gets: its exit status and the bytes."""
        done = subprocess.run(["curl", "-s", *options, url], capture_output=True, timeout=30)
        return done.returncode, done.stdout

    def test_bodies(self):
        middle = len(LIBRARY) // 2
        flipped = bytearray(LIBRARY)
        flipped[middle] ^= 1
        for fault, status, body in (("cut=100", 18, LIBRARY[:100]), ("cut", 18, LIBRARY[:middle]),
                                    ("truncated=3", 0, LIBRARY[:-3]), ("padded=3", 0, LIBRARY + b"!!!"),
                                    ("overrun=3", 0, LIBRARY), ("flip", 0, bytes(flipped)),
                                    ("ignore-range", 0, LIBRARY), ("slow=200000", 0, LIBRARY)):
            hub = self.serve("--fault", f"{fault}:/_cdn/*.so:1")
            location = self.location(hub)
            self.assertEqual(self.raw(location), (status, body), fault)
            self.assertEqual(self.raw(location), (0, LIBRARY), fault + ", the second time")
        hub = self.serve("--fault", "ignore-range:/_cdn/*.so:1")
        answer = hub.ask(self.location(hub), Range="bytes=5-6")
        self.assertEqual((answer.status, answer.body), (200, LIBRARY))

    def test_statuses(self):
        path = f"/api/kernels/{REPO}/refs"
        hub = self.serve("--fault", "status:*/refs:2", "--fault", "retry-after=7:*/refs:1",
                         "--fault", "retry-after-date=7:*/refs:1")
        answers = [hub.ask(path) for _ in range(5)]
        self.assertEqual([answer.status for answer in answers], [503, 503, 429, 429, 200])
        self.assertEqual(answers[2].headers["Retry-After"], "7")
        self.assertEqual((answers[3].headers["Date"], answers[3].headers["Retry-After"]),
                         ("Sun, 09 Sep 2001 01:46:40 GMT", "Sun, 09 Sep 2001 01:46:47 GMT"))

    def test_redirects(self):
        path = f"/api/kernels/{REPO}/refs"
        hub = self.serve("--fault", "redirect-loop:*/refs:1", "--fault", "redirect-away:*/refs:1")
        loop, away = hub.ask(path), hub.ask(path)
        self.assertEqual((loop.status, loop.headers["Location"]), (302, path))
        self.assertTrue(away.headers["Location"].startswith("http://localhost:"))
        self.assertEqual(hub.ask(away.headers["Location"]).status, 200)

    def test_listings(self):
        path = f"/api/kernels/{REPO}/tree/v1?recursive=true"
        kinds = {"tree-dotdot": "../outside", "tree-absolute": "/tmp/outside", "tree-nul": "\0", "tree-long": "x" * 5000}
        hub = self.serve(*[word for kind in kinds for word in ("--fault", f"{kind}:*/tree/*:1")],
                         "--fault", "tree-symlink:*/tree/*:1", "--fault", "malformed:*/tree/*:1")
        for kind, part in kinds.items():
            self.assertTrue(any(part in entry["path"] for entry in hub.ask(path).json), kind)
        self.assertIn("symlink", [entry["type"] for entry in hub.ask(path).json])
        with self.assertRaises(ValueError):
            hub.ask(path).json
        self.assertEqual(len(hub.ask(path).json), 7)


if __name__ == "__main__":
    unittest.main()
