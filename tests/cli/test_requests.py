"""How often the Hub is asked, and how many times one answer has to be waited for before the next question."""

import threading
import time

import harness
from harness import TARGET, VARIANT
from loopback_hub import build

TORCHES = ["26", "27", "28", "29", "210", "211", "212"]
VARIANTS = [f"torch{torch}-cxx11-{backend}-x86_64-linux" for torch in TORCHES for backend in ("cpu", "cu128")][:12] + [VARIANT]
KERNELS = ["a/one", "b/two", "c/three"]


class Requests(harness.CliTest):
    def setUp(self):
        super().setUp()
        for repo in KERNELS:
            files = {}
            for variant in VARIANTS:  # each with a metadata.json of its own, so that none is fetched once for two
                files |= build(variant, name=repo[2:], upstream=f"https://example.org/{repo}/{variant}")
            self.hub.publish(repo, "v1", files)
        self.write_project("\n".join(f'"{repo}" = 1' for repo in KERNELS))
        self.mutex, self.finished = threading.Lock(), []
        orderly = self.hub.answer
        latency = harness.seconds(0.3)  # far above what starting the requests of one round takes

        def answer(handler):
            with self.mutex:
                mine = max(self.finished, default=0) + 1
            time.sleep(latency)
            with self.mutex:
                self.finished.append(mine)
            orderly(handler)

        self.hub.answer = answer

    def asked(self, *arguments):
        """Requests by kind, and rounds."""
        self.hub.requests.clear()
        self.finished.clear()
        self.expect(0, *arguments)
        kinds = {}
        for path in self.hub.requests:
            kind = next(word for word in ("organizations", "refs", "tree", "resolve", "cdn") if f"/{word}" in path)
            kinds[kind] = kinds.get(kind, 0) + 1
        return kinds, max(self.finished, default=0)

    def test_lock(self):
        all_of = {"organizations": 3, "refs": 3, "tree": 3, "resolve": 39}
        self.assertEqual(self.asked("lock", "--jobs", 64), (all_of, 4))
        # What is locked stays, and the cache has the rest.
        self.assertEqual(self.asked("lock"), ({"organizations": 3}, 1))
        self.assertEqual(self.asked("lock", "--upgrade"), ({"organizations": 3, "refs": 3}, 2))
        kinds, rounds = self.asked("lock", "--upgrade", "--cache", self.folder / "other")  # eight at a time
        self.assertEqual(kinds, all_of)
        # Three rounds and 39 requests through eight places, which do not all become free at once; one by one: 48.
        self.assertLessEqual(rounds, 12)

    def test_download(self):
        self.asked("lock", "--jobs", 64)
        kinds, rounds = self.asked("download", *TARGET, "--jobs", 64)
        # The library is on another host, to which a redirect leads; metadata.json is there since the lock.
        self.assertEqual(kinds, {"organizations": 3, "resolve": 3 * 3, "cdn": 3})
        self.assertLessEqual(rounds, 3)
        self.assertEqual(self.asked("download", *TARGET), ({}, 0))


if __name__ == "__main__":
    harness.main()
