"""What kernels-hub answers, rule by rule, without any client in between."""

import re
import signal
import unittest

import harness
from harness import git_oid
from served import FILES, LIBRARY, REPO, SHA, VARIANT, ServedTest

harness.need("KERNELS_HUB_BIN")


class HttpTest(ServedTest):
    def test_refs(self):
        hub = self.serve()
        refs = hub.ask(f"/api/kernels/{REPO}/refs").json
        self.assertEqual([(b["name"], b["ref"]) for b in refs["branches"]],
                         [("main", "refs/heads/main"), ("v1", "refs/heads/v1")])
        commits = self.commits(hub)
        for commit in commits.values():
            self.assertRegex(commit, "^[0-9a-f]{40}$")
        self.assertNotEqual(commits["main"], commits["v1"])

    def test_commits_depend_on_the_content_alone(self):
        first = self.commits(self.serve())
        self.assertEqual(self.commits(self.start_hub(self.data)), first)
        self.publish(REPO, "v1", {f"{VARIANT}/_one.abi3.so": LIBRARY[:-1] + b"x"})
        changed = self.commits(self.start_hub(self.data))
        self.assertEqual(changed["main"], first["main"])
        self.assertNotEqual(changed["v1"], first["v1"])

    def test_revision_by_every_name(self):
        hub = self.serve()
        commit = self.commits(hub)["v1"]
        for name in ("v1", "refs%2Fheads%2Fv1", commit):
            answer = hub.ask(f"/api/kernels/{REPO}/revision/{name}")
            self.assertEqual(answer.json["sha"], commit, name)
            self.assertEqual(sorted(s["rfilename"] for s in answer.json["siblings"]), sorted(FILES))

    def listing(self, hub, url):
        pages = []
        while url:
            answer = hub.ask(url)
            self.assertEqual(answer.status, 200)
            pages.append(answer.json)
            link = re.fullmatch('<(.*)>; rel="next"', answer.headers.get("Link", ""))
            url = link and link[1]
        return pages

    def test_tree_is_the_same_whatever_the_page_size(self):
        hub = self.serve("--page-size", 2)
        pages = self.listing(hub, f"/api/kernels/{REPO}/tree/v1?recursive=true&expand=false")
        self.assertEqual([len(page) for page in pages], [2, 2, 2, 1])
        entries = {entry["path"]: entry for page in pages for entry in page}
        self.assertEqual(sorted(p for p, e in entries.items() if e["type"] == "file"), sorted(FILES))
        self.assertEqual(sorted(p for p, e in entries.items() if e["type"] == "directory"), ["build", VARIANT])
        for path, data in FILES.items():
            self.assertEqual(entries[path]["size"], len(data))
            if not path.endswith(".so"):
                self.assertEqual(entries[path]["oid"], git_oid(data))
                self.assertNotIn("lfs", entries[path])
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA}\nsize {len(LIBRARY)}\n".encode()
        library = entries[f"{VARIANT}/_one.abi3.so"]
        self.assertEqual(library["lfs"], {"oid": SHA, "size": len(LIBRARY), "pointerSize": len(pointer)})
        self.assertEqual(library["oid"], git_oid(pointer))
        whole = self.listing(self.start_hub(self.data), f"/api/kernels/{REPO}/tree/v1?recursive=true")
        self.assertEqual(whole, [[entry for page in pages for entry in page]])

    def test_tree_of_a_folder(self):
        hub = self.serve()
        top = self.listing(hub, f"/api/kernels/{REPO}/tree/v1?recursive=false")[0]
        self.assertEqual([(e["type"], e["path"]) for e in top], [("file", "README.md"), ("directory", "build")])
        below = self.listing(hub, f"/api/kernels/{REPO}/tree/v1/{VARIANT}")[0]
        self.assertEqual(len(below), 4)
        expanded = self.listing(hub, f"/api/kernels/{REPO}/tree/v1?expand=true")[0]
        self.assertTrue(all("lastCommit" in entry for entry in expanded))
        self.assertFalse(any("lastCommit" in entry for entry in top))

    def test_small_file(self):
        hub = self.serve()
        path = f"/kernels/{REPO}/resolve/refs%2Fheads%2Fv1/README.md"
        for method in ("HEAD", "GET"):
            answer = hub.ask(path, method)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["ETag"], f'"{git_oid(FILES["README.md"])}"')
            self.assertEqual(answer.headers["X-Repo-Commit"], self.commits(hub)["v1"])
            self.assertEqual(int(answer.headers["Content-Length"]), len(FILES["README.md"]))
        self.assertEqual(answer.body, FILES["README.md"])
        empty = hub.ask(f"/kernels/{REPO}/resolve/v1/{VARIANT}/layers.py")
        self.assertEqual((empty.status, empty.body), (200, b""))

    def test_large_file_is_on_another_host(self):
        hub = self.serve()
        port = hub.url.rsplit(":", 1)[1]
        for asked, answered in (("127.0.0.1", "localhost"), ("localhost", "127.0.0.1")):
            answer = hub.ask(f"/kernels/{REPO}/resolve/v1/{VARIANT}/_one.abi3.so", "HEAD", Host=f"{asked}:{port}")
            self.assertEqual(answer.status, 302)
            self.assertEqual(answer.headers["X-Linked-Etag"], f'"{SHA}"')
            self.assertEqual(answer.headers["X-Linked-Size"], str(len(LIBRARY)))
            self.assertEqual(answer.headers["X-Repo-Commit"], self.commits(hub)["v1"])
            self.assertTrue(answer.headers["Location"].startswith(f"http://{answered}:{port}/_cdn/"))
        location = answer.headers["Location"]
        self.assertEqual(hub.ask(location).body, LIBRARY)
        self.assertEqual(hub.ask(location.split("?")[0]).status, 403)
        self.assertEqual(hub.ask(location, Authorization="Bearer x").status, 400)

    def test_ranges(self):
        hub = self.serve()
        location = hub.ask(f"/kernels/{REPO}/resolve/v1/{VARIANT}/_one.abi3.so").headers["Location"]
        end = len(LIBRARY)
        for asked, first, last in (("0-0", 0, 0), ("100-", 100, end - 1), ("-7", end - 7, end - 1),
                                   ("5-99999999", 5, end - 1)):
            answer = hub.ask(location, Range=f"bytes={asked}")
            self.assertEqual(answer.status, 206, asked)
            self.assertEqual(answer.headers["Content-Range"], f"bytes {first}-{last}/{end}")
            self.assertEqual(answer.body, LIBRARY[first:last + 1], asked)
        self.assertEqual(hub.ask(location, Range=f"bytes={end}-").status, 416)
        self.assertEqual(hub.ask(location, Range="bytes=0-1,3-4").status, 200)

    def test_errors(self):
        hub = self.serve()
        for path, code in ((f"/api/kernels/{REPO}x/refs", "RepoNotFound"),
                           (f"/api/kernels/{REPO}/revision/v9", "RevisionNotFound"),
                           (f"/api/kernels/{REPO}/tree/v9", "RevisionNotFound"),
                           (f"/api/kernels/{REPO}/tree/v1/nowhere", "EntryNotFound"),
                           (f"/kernels/{REPO}/resolve/v1/nowhere", "EntryNotFound"),
                           (f"/kernels/{REPO}/resolve/v1/build", "EntryNotFound"),
                           (f"/kernels/{REPO}/resolve/v1/..%2Fmain%2FREADME.md", "EntryNotFound")):
            answer = hub.ask(path)
            self.assertEqual((answer.status, answer.headers["X-Error-Code"]), (404, code), path)
        self.assertEqual(hub.ask(f"/api/kernels/{REPO}/refs", "POST").status, 405)

    def test_trust(self):
        self.publish("other/two", "main", {"README.md": b"x"})
        (self.data / "orgs.json").write_text('{"other": false}')

        def trusted(hub, org):
            return hub.ask(f"/api/organizations/{org}/overview").json["trustedKernelPublisher"]

        hub = self.serve()
        self.assertEqual((trusted(hub, "demo"), trusted(hub, "other")), (True, False))
        self.assertEqual(hub.ask("/api/organizations/nobody/overview").status, 404)
        hub = self.start_hub(self.data, "--trusted", "other")
        self.assertEqual((trusted(hub, "demo"), trusted(hub, "other")), (False, True))
        hub = self.start_hub(self.data, "--all-trusted")
        self.assertEqual((trusted(hub, "demo"), trusted(hub, "other")), (True, True))

    def test_private_gated_and_moved(self):
        for name, settings in (("secret", '{"private": true}'), ("gate", '{"gated": true}'),
                               ("old", f'{{"moved-to": "{REPO}"}}')):
            self.publish(f"demo/{name}", "main", {"README.md": b"x"})
            (self.data / f"demo/{name}/hub.json").write_text(settings)
        hub = self.serve("--token", "right")
        good, bad = {"Authorization": "Bearer right"}, {"Authorization": "Bearer wrong"}
        secret = hub.ask("/api/kernels/demo/secret/refs")
        self.assertEqual((secret.status, secret.headers["X-Error-Code"]), (401, "RepoNotFound"))
        self.assertEqual(hub.ask("/api/kernels/demo/missing/refs").status, 401)
        self.assertEqual(hub.ask("/api/kernels/demo/missing/refs", **good).status, 404)
        self.assertEqual(hub.ask("/api/kernels/demo/secret/refs", **good).status, 200)
        self.assertEqual(hub.ask("/api/kernels/demo/secret/refs", **bad).status, 401)
        self.assertEqual(hub.ask(f"/api/kernels/{REPO}/refs").status, 200)
        gate = hub.ask("/kernels/demo/gate/resolve/main/README.md")
        self.assertEqual((gate.status, gate.headers["X-Error-Code"]), (401, "GatedRepo"))
        self.assertEqual(hub.ask("/api/kernels/demo/gate/refs").status, 200)
        self.assertEqual(hub.ask("/kernels/demo/gate/resolve/main/README.md", **good).body, b"x")
        moved = hub.ask("/api/kernels/demo/old/tree/main?recursive=true")
        self.assertEqual((moved.status, moved.headers["Location"]),
                         (307, f"/api/kernels/{REPO}/tree/main?recursive=true"))
        self.assertNotIn("right", hub.log_path.read_text())
        self.assertEqual(sum(request["authorization"] for request in hub.requests()), 4)

    def test_ends_on_a_signal(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            hub = self.serve()
            hub.process.send_signal(number)
            self.assertEqual(hub.process.wait(timeout=5), 0)

    def test_bad_command_lines(self):
        for arguments, status, words in (
                ([], 2, "DIR"), (["/nowhere/at/all"], 1, "/nowhere/at/all"),
                ([self.data, "--fault", "flop:*"], 2, "did you mean `flip`?"),
                ([self.data, "--fault", "flip"], 2, "KIND[=VALUE]:GLOB[:COUNT]"),
                ([self.data, "--port", "70000"], 2, "70000")):
            done = self.run_command(harness.need("KERNELS_HUB_BIN"), *arguments, status=status)
            self.assertEqual(done.stderr.count("error: "), 1)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()
