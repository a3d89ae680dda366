"""Of a lock, what only builds need that a kernel left behind: it is there for the Python client and hinders nobody else."""

import base64
import json
import shutil

import harness
from harness import TARGET, VARIANT
from loopback_hub import build, metadata, redirect

OLD = "torch29-cxx11-cpu-x86_64-linux"


class Spares(harness.CliTest):
    def lock_spare(self, repo="demo/leaf", **leaf):
        """demo/old moved to demo/one; what is left there needs the spare."""
        self.publish_demo()
        self.hub.publish(repo, "v1", leaf)
        self.hub.publish("demo/old", "v1", {**redirect("demo/one", "v1"), **build(VARIANT, name="old", depends=[(repo, 1)])})
        self.write_project('"demo/old" = 1')
        self.expect(0, "lock")
        self.assertEqual(self.locked(), sorted([(repo, 1), ("demo/old", 1), ("demo/one", 1)]))

    def repos(self, *arguments):
        return [build["repo"] for build in self.expect(0, "download", "--json", *arguments, *TARGET).json["builds"]]

    def test_one_that_does_not_fit_costs_no_request(self):
        self.lock_spare(**build(OLD, name="leaf"))
        shutil.rmtree(self.cache)  # as in CI, where the lock alone is there
        self.assertEqual(self.repos(), ["demo/old", "demo/one"])
        self.hub.requests.clear()
        self.assertEqual(self.repos(), ["demo/old", "demo/one"])
        self.assertEqual(self.repos("--locked"), ["demo/old", "demo/one"])
        self.assertEqual(self.hub.requests, [])

    def test_what_fits_one_of_two_targets_comes_along(self):
        self.lock_spare(**build(OLD, name="leaf"), **build(VARIANT, name="leaf"))
        other = "torch213-cxx11-cu128-x86_64-linux"
        target = ["--target", "torch=2.13,cuda=12.8,cpu=x86_64,os=linux"]
        builds = self.expect(0, "download", "--json", *TARGET, *target).json["builds"]
        self.assertEqual([(one["repo"], one["variant"]) for one in builds],
                         [("demo/leaf", VARIANT), ("demo/old", VARIANT), ("demo/one", VARIANT), ("demo/one", other)])

    def test_a_wrong_digest_is_a_warning(self):
        files = {"_leaf.abi3.so": base64.b64encode(bytes(32)).decode()}
        wrong = metadata("leaf", digest={"algorithm": "sha256", "files": files})
        self.lock_spare(**{**build(VARIANT, name="leaf"), f"build/{VARIANT}/metadata.json": wrong})
        result = self.expect(0, "download", "--json", *TARGET)
        self.assertEqual([build["repo"] for build in result.json["builds"]], ["demo/old", "demo/one"])
        self.assertIn("only builds at a place that a kernel has left need it, and the build is left out", result.err)
        # Where the project names it, it is refused.
        self.write_project('"demo/old" = 1\n"demo/leaf" = 1')
        self.expect_error(6, "demo/leaf@", "download", *TARGET)

    def test_one_that_is_gone(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        shutil.rmtree(self.cache)
        del self.hub.repos["demo/leaf"]
        for arguments in ([], ["-o", self.folder / "image"]):
            with self.subTest(arguments):
                result = self.expect(0, "download", *arguments, *TARGET)
                self.assertEqual("so it is left out" in result.err and "demo/leaf@" in result.err, not arguments, result.err)
        self.write_project('"demo/old" = 1\n"demo/leaf" = 1')
        self.expect_error(4, "demo/leaf", "download", *TARGET)

    def test_a_publisher_who_is_trusted_no_longer(self):
        self.lock_spare("someone/leaf", **build(VARIANT, name="leaf"))
        shutil.rmtree(self.cache)
        self.hub.trusted.remove("someone")
        self.hub.requests.clear()
        result = self.expect(0, "download", "--json", *TARGET)
        self.assertEqual([build["repo"] for build in result.json["builds"]], ["demo/old", "demo/one"])
        self.assertIn("someone is not a trusted kernel publisher; only builds", result.err)
        self.assertEqual([path for path in self.hub.requests if "someone/leaf" in path], [])
        self.write_project('"demo/old" = 1\n"someone/leaf" = 1')
        self.expect_error(6, "someone is not a trusted", "download", *TARGET)

    def test_what_the_hub_does_wrong_is_a_failure(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        shutil.rmtree(self.cache)
        orderly = self.hub.answer

        def answer(handler):
            if "demo/leaf/tree" in handler.path:
                return self.hub.send(handler, 200, b"[{]")
            return orderly(handler)

        self.hub.answer = answer
        self.expect(5, "download", *TARGET)

    def test_metadata_that_is_too_large(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        files = self.hub.repos["demo/old"]["commits"][self.hub.commit_of("demo/old", "v1")]
        path = f"build/{OLD}/metadata.json"
        self.hub.publish("demo/old", "v1", {**files, path: b" " * (16 * 1024 * 1024 + 1)})
        result = self.expect(0, "lock", "--upgrade")
        self.assertIn(path + " is 16", result.err)
        self.assertEqual(self.locked(), [("demo/leaf", 1), ("demo/old", 1), ("demo/one", 1)])

    def image(self, *arguments):
        folder = self.folder / "image"
        shutil.rmtree(folder, ignore_errors=True)
        self.expect(0, "download", "-o", folder, *arguments, *TARGET)
        return sorted(path.name for path in (folder / "demo").iterdir())

    def test_what_the_project_names_is_none(self):
        """By a dependency that is locked otherwise, or by a layer that is loaded from the lock."""
        self.lock_spare(**build(VARIANT, name="leaf"))
        self.assertEqual(self.image(), ["one"])
        self.hub.publish("demo/leaf", "v2", build(VARIANT, name="leaf", version=2))
        for text in ('"demo/old" = 1\n"demo/leaf" = 2', '"demo/old" = 1\n"demo/leaf" = {revision = "v1"}'):
            self.write_project(text)
            self.assertEqual(self.image(), ["leaf", "one"])
        layer = '[[layers]]\nname = "Demo"\ndevice = "cpu"\nrepo = "demo/leaf"\nlayer = "Demo"\n'
        self.write_project('"demo/old" = 1')
        with open(self.project / "kernels.toml", "a") as file:
            file.write(layer)
        self.assertIn("demo/leaf", self.expect(0, "mapping", "show", *TARGET).out)
        self.assertEqual(self.image(), ["leaf", "one"])

    def test_redirects_that_lead_back_to_each_other(self):
        """The Python client locks them without a word."""
        for one, other in (("demo/a", "demo/b"), ("demo/b", "demo/a")):
            self.hub.publish(one, "v1", redirect(other, "v1"))
        self.write_project('"demo/a" = 1')
        entries = [{"dependency": {"repo-id": repo, "version": 1}, "lock": {"commit": self.hub.commit_of(repo, "v1")}}
                   for repo in ("demo/a", "demo/b")]
        (self.project / "kernels.lock").write_text(json.dumps(entries, indent=2))
        for arguments in ([], ["-o", self.folder / "image"], ["--all-variants"]):
            result = self.expect(1, "download", *arguments, *([] if "--all-variants" in arguments else TARGET))
            self.assertIn("lead back to each other: demo/", result.err)

    def test_a_circle_of_redirects_that_nobody_needs(self):
        self.lock_spare("demo/aa", **redirect("demo/aa", "v1"))
        self.assertEqual(self.repos(), ["demo/old", "demo/one"])
        self.assertEqual(self.image(), ["one"])

    def test_what_a_needed_kernel_lacks_in_the_lock(self):
        """The lock is out of date, and does not say what is needed."""
        self.lock_spare(**build(OLD, name="leaf"))
        self.hub.publish("demo/leaf", "v2", build(VARIANT, name="leaf", version=2))
        self.hub.publish("demo/user", "v1", build(VARIANT, name="user", depends=[("demo/leaf", 2)]))
        self.write_project('"demo/old" = 1\n"demo/user" = 1')
        self.expect(0, "lock")
        entries = [entry for entry in self.lock() if entry["dependency"] != {"repo-id": "demo/leaf", "version": 2}]
        (self.project / "kernels.lock").write_text(json.dumps(entries, indent=2))
        (self.project / "kernels.sum").unlink()
        self.expect_error(7, "demo/leaf@", "download", *TARGET)

    def test_a_folder_beside_a_cache_that_cannot_be_written(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        self.assertEqual(self.image(), ["one"])
        self.hub.requests.clear()
        locks = self.cache / ".locks"
        before = sorted(map(str, self.cache.rglob("*")))
        shutil.rmtree(locks)
        locks.write_bytes(b"")  # for root, whom permissions do not stop
        self.assertEqual(self.image(), ["one"])
        self.expect(0, "download", "-o", self.folder / "image", "--offline", *TARGET)
        self.assertEqual(sorted(path.name for path in (self.folder / "image" / "demo").iterdir()), ["one"])
        self.assertEqual([path for path in self.hub.requests if "/tree/" in path or "metadata" in path], [])
        self.assertEqual([path for path in before if ".locks" not in path],
                         [path for path in sorted(map(str, self.cache.rglob("*"))) if ".locks" not in path])

    def test_a_folder_and_kernels_whose_listings_cannot_be_had(self):
        """Each is told of, the gravest decides, the others are there, and nothing else is left behind."""
        for name in ("a", "b", "c"):
            self.hub.publish(f"demo/k{name}", "v1", build(VARIANT, name=f"k{name}"))
        self.write_project('"demo/ka" = 1\n"demo/kb" = 1\n"demo/kc" = 1')
        self.expect(0, "lock")
        shutil.rmtree(self.cache)
        orderly = self.hub.answer
        bad = json.dumps([{"type": "file", "path": "../x", "size": 1, "oid": "0" * 40}]).encode()

        def answer(handler):
            if "demo/ka/tree" in handler.path:
                return self.hub.send(handler, 503)
            if "demo/kb/tree" in handler.path:
                return self.hub.send(handler, 200, bad)
            return orderly(handler)

        self.hub.answer = answer
        image = self.folder / "image"
        result = self.expect(6, "download", "-o", image, *TARGET)
        self.assertIn("2 of 3 kernels could not be downloaded", result.err)
        self.assertEqual([path.name for path in (image / "demo").iterdir()], ["kc"])
        # With a kernel that has moved it cannot be told what is needed.
        self.hub.answer = orderly
        self.lock_spare(**build(VARIANT, name="leaf"))
        self.write_project('"demo/old" = 1\n"demo/kb" = 1')
        self.expect(0, "lock")
        shutil.rmtree(self.cache)
        shutil.rmtree(image)
        self.hub.answer = answer
        self.expect(6, "download", "-o", image, *TARGET)
        self.assertFalse(image.exists())

    def test_a_wrong_sum_is_refused_whoever_published_it(self):
        self.lock_spare("someone/leaf", **build(VARIANT, name="leaf"))
        sums = self.project / "kernels.sum"
        line = next(line for line in sums.read_text().splitlines() if "someone/leaf" in line)
        digest = line[line.index("sha256:"):].split()[0]
        sums.write_text(sums.read_text().replace(digest, digest[:-4] + "0000"))
        self.hub.trusted.remove("someone")
        self.expect_error(6, "its files are not the ones that kernels.sum names", "download", *TARGET)

    def test_a_named_kernel_that_has_moved_has_to_be_trusted(self):
        self.publish_demo()
        self.hub.publish("some/old", "v1", {**redirect("demo/one", "v1"), **build(VARIANT, name="old")})
        self.write_project('"some/old" = 1')
        self.expect(0, "lock")
        self.hub.trusted.remove("some")
        self.expect_error(6, "some is not a trusted kernel publisher", "download", *TARGET)  # what lock left is in the cache
        shutil.rmtree(self.cache)
        self.expect_error(6, "some is not a trusted kernel publisher", "download", *TARGET)

    def test_one_that_is_gone_and_a_lock_that_is_compared(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        shutil.rmtree(self.cache)
        del self.hub.repos["demo/leaf"]
        self.assertEqual(self.repos("--locked"), ["demo/old", "demo/one"])
        self.assertEqual(self.repos("--offline"), ["demo/old", "demo/one"])
        self.assertEqual(self.image("--locked"), ["one"])
        shutil.rmtree(self.cache)
        result = self.expect_error(4, "only builds that demo/old@v1 left behind need it", "lock", hint="`kernels lock --upgrade` locks without it")
        self.assertIn("demo/leaf", result.err)
        self.expect(0, "lock", "--upgrade")
        self.assertEqual(self.locked(), [("demo/old", 1), ("demo/one", 1)])

    def test_a_needed_kernel_that_has_moved_is_not_missing_in_a_folder(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        self.hub.publish("demo/user", "v1", build(VARIANT, name="user", depends=[("demo/old", 1)]))
        self.write_project('"demo/user" = 1')
        self.expect(0, "lock")
        result = self.expect(0, "download", "-o", self.folder / "image", *TARGET)
        self.assertNotIn("kernels.lock does not have", result.err)
        self.assertEqual(sorted(path.name for path in (self.folder / "image" / "demo").iterdir()), ["one", "user"])

    def test_a_complete_folder_costs_no_request(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        self.assertEqual(self.image(), ["one"])
        self.hub.requests.clear()
        self.expect(0, "download", "-o", self.folder / "image", *TARGET)
        self.assertEqual(self.hub.requests, [])
        shutil.rmtree(self.cache)  # what tells which are spares is kept in the cache
        self.expect(0, "download", "-o", self.folder / "image", *TARGET)
        self.hub.requests.clear()
        self.expect(0, "download", "-o", self.folder / "image", *TARGET)
        self.assertEqual(self.hub.requests, [])

    def test_a_hub_that_does_not_say_what_is_needed(self):
        self.lock_spare(**build(OLD, name="leaf"))
        other = "torch212-cxx11-cpu-x86_64-linux"
        self.hub.publish("demo/two", "v1", {**build(VARIANT, name="two"), **build(other, name="two")})
        self.write_project('"demo/old" = 1\n"demo/two" = 1')
        self.expect(0, "lock")
        shutil.rmtree(self.cache)
        orderly = self.hub.answer

        def answer(handler):
            if "/demo/two/resolve/" in handler.path and other in handler.path:
                return self.hub.send(handler, 503)
            return orderly(handler)

        self.hub.answer = answer
        self.expect(5, "download", *TARGET)
        self.hub.answer = orderly
        self.assertEqual(self.repos(), ["demo/old", "demo/one", "demo/two"])

    def test_an_empty_listing_is_asked_for_again(self):
        self.lock_spare(**build(VARIANT, name="leaf"))
        shutil.rmtree(self.cache)
        orderly = self.hub.answer
        answers = []

        def answer(handler):
            if "demo/leaf/tree" in handler.path and not answers:
                answers.append(handler.path)
                return self.hub.send(handler, 200, b"[]")
            return orderly(handler)

        self.hub.answer = answer
        self.assertEqual(self.repos(), ["demo/leaf", "demo/old", "demo/one"])
        self.assertEqual(len(answers), 1)


if __name__ == "__main__":
    harness.main()
