"""What the cache or a publisher says wrongly: metadata that names other files, listings, links to another file's bytes."""

import base64
import hashlib
import json
import os
import shutil

import harness
from harness import TARGET, VARIANT
from loopback_hub import build

METADATA = f"build/{VARIANT}/metadata.json"


class WrongDigest(harness.CliTest):
    """metadata.json names other bytes for the library than the commit has."""

    def setUp(self):
        super().setUp()
        files = build(VARIANT)
        document = json.loads(files[METADATA])
        names = {path.removeprefix(f"build/{VARIANT}/"): data for path, data in files.items() if path != METADATA}
        names["_demo.abi3.so"] = b"other"
        document["digest"] = {"algorithm": "sha256", "files": {
            path: base64.b64encode(hashlib.sha256(data).digest()).decode() for path, data in names.items()}}
        files[METADATA] = json.dumps(document).encode()
        self.hub.publish("demo/one", "v1", files)
        self.write_project()
        self.expect(0, "lock")

    def test_it_is_refused_each_time(self):
        for turn in range(3):
            for arguments in ([], ["--locked"], ["--offline"] if turn else [], ["--output", self.folder / "out"]):
                with self.subTest(turn=turn, arguments=arguments):
                    result = self.expect_error(6, "not the ones that its metadata.json names", "download", *TARGET, *arguments)
                    self.assertIn("_demo.abi3.so: differs from the digest of metadata.json", result.err)
            self.expect(0, "cache", "verify")
        self.assertEqual(self.expect(6, "download", "--json", *TARGET).json["error"]["code"], "verification")
        self.assertFalse((self.folder / "out" / "demo").exists())


class DeepJson(harness.CliTest):
    """Values so deep that printing them would use up the stack."""

    DEEP = "[" * 1_000_000 + "]" * 1_000_000

    def setUp(self):
        super().setUp()
        self.hub.publish("demo/one", "v1", build(VARIANT))
        self.write_project()

    def test_from_the_hub(self):
        plain = self.hub.answer
        oid = "0" * 40
        for path, body, status in (("/tree/", f'[{{"type":"file","path":"a","size":{self.DEEP},"oid":"{oid}"}}]', 6),
                                   ("/refs", f'{{"branches":[{{"name":"v1","targetCommit":{self.DEEP}}}]}}', 5),
                                   ("/overview", f'{{"isVerified":{self.DEEP}}}', 5)):
            with self.subTest(path):
                self.hub.answer = lambda handler: (self.hub.send(handler, 200, body.encode()) if path in handler.path
                                                   else plain(handler))
                self.expect_error(status, "nested more than 64 levels deep", "lock")
                self.assertFalse((self.project / "kernels.lock").exists())

    def test_metadata(self):
        files = build(VARIANT)
        document = json.loads(files[METADATA])
        for key in ("version", "python-depends", "backend"):
            with self.subTest(key):
                text = json.dumps({**document, key: "DEEP"}).replace('"DEEP"', self.DEEP)
                self.hub.publish("demo/one", "v1", {**files, METADATA: text.encode()})
                self.expect_error(6, "nested more than 64 levels deep", "lock", "--upgrade")

    def test_a_lock(self):
        for text in (self.DEEP, f'[{{"dependency":{self.DEEP},"lock":{{}}}}]', "[" * 1_000_000):
            (self.project / "kernels.lock").write_text(text)
            self.expect_error(1, "nested more than 64 levels deep", "download", *TARGET)
            self.expect(0, "lock")


class WrongListing(harness.CliTest):
    def setUp(self):
        super().setUp()
        self.publish_demo()
        self.write_project()

    def listing(self):
        return self.cache / "kernels--demo--one" / "listings" / (self.hub.commit_of("demo/one", "v1") + ".json")

    def damage(self):
        sha = hashlib.sha256(build(VARIANT)[f"build/{VARIANT}/_demo.abi3.so"]).hexdigest()
        text = self.listing().read_text()
        self.assertIn(sha, text)
        self.listing().write_text(text.replace(sha, sha[:-1] + ("0" if sha[-1] != "0" else "1")))

    def for_python(self, change=lambda files: files):
        """The listing as huggingface_hub keeps it, in place of ours."""
        files = build(VARIANT)
        entries = {}
        for path, data in change(files).items():
            entry = self.hub.entry(path, data)
            entries[path] = {"size": entry["size"], "blob_id": entry["oid"]}
            if "lfs" in entry:
                entries[path] |= {"lfs_sha256": entry["lfs"]["oid"], "lfs_size": entry["size"]}
        shutil.rmtree(self.listing().parent, ignore_errors=True)
        place = self.listing().parents[1] / "trees" / self.listing().name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"files": entries}))
        return place

    def lie_once(self, body=b"[]"):
        orderly, lies = self.hub.answer, [body]

        def answer(handler):
            if "/tree/" in handler.path and lies:
                return self.hub.send(handler, 200, lies.pop())
            return orderly(handler)

        self.hub.answer = answer

    def test_a_repair_looks_again_at_what_a_damaged_listing_hid(self):
        self.expect(0, "lock")
        self.expect(0, "download", *TARGET)
        self.damage()
        snapshot = next((self.cache / "kernels--demo--one" / "snapshots").iterdir()) / "build" / VARIANT
        (snapshot / "__init__.py").unlink()
        (snapshot / "__init__.py").symlink_to((snapshot / "layers.py").readlink())
        result = self.expect(0, "cache", "verify", "--repair")
        self.assertIn("2 of them repaired: all right now", result.out)
        self.assertIn("it is linked to the bytes of another file", result.out)
        self.expect(0, "cache", "verify")
        self.assertEqual((snapshot / "__init__.py").read_bytes(), build(VARIANT)[f"build/{VARIANT}/__init__.py"])

    def test_the_hub_lists_nothing_once(self):
        self.lie_once()
        self.expect(0, "lock")
        self.assertEqual(len((self.project / "kernels.sum").read_text().splitlines()), 2)
        self.expect(0, "download", *TARGET)

    def test_the_hub_lists_half_once(self):
        # A build is not there: nothing shows it but that none fits, or that sums of another machine know it.
        files = build("torch213-cxx11-cu128-x86_64-linux")
        self.lie_once(json.dumps(self.hub.listing(files, "", True)).encode())
        self.expect(0, "lock")
        result = self.expect(0, "download", "--no-sum", *TARGET)
        self.assertIn("the cache had a wrong list of its files", result.err)

    def test_a_flipped_digit(self):
        for sums in ([], ["--no-sum"]):
            for command in (["download", *TARGET], ["lock"], ["download", "--output", "o", *TARGET]):
                with self.subTest(sums=sums, command=command):
                    self.expect(0, "lock", *sums)
                    self.damage()
                    self.assertIn("as it was written", self.expect(6, "cache", "verify").err)
                    self.expect(0, *command, *(sums if command == ["lock"] else []))
        self.expect(0, "download", *TARGET)
        self.damage()
        self.assertIn("repaired", self.expect(0, "cache", "verify", "--repair").out)
        self.expect(0, "cache", "verify")
        self.expect(0, "download", *TARGET, "--offline")

    def test_pythons_listing_has_no_checksum(self):
        def change(files):
            return files | {f"build/{VARIANT}/_demo.abi3.so": b"x" * 20000}

        self.expect(0, "lock")
        for command in (["download", *TARGET], ["lock"], ["download", "--no-sum", *TARGET]):
            with self.subTest(command):
                self.for_python(change)
                self.hub.requests.clear()
                result = self.expect(0, *command)
                self.assertIn("the cache had a wrong list of its files", result.err)
                self.assertEqual(len([path for path in self.hub.requests if "/tree/" in path]), 1)
        # Who is right is not accused: the hub is asked once, and the outcome stands.
        self.hub.repos["demo/one"]["commits"][self.hub.commit_of("demo/one", "v1")][f"build/{VARIANT}/layers.py"] = b"evil\n"
        shutil.rmtree(self.cache)
        self.expect_error(6, "not the ones that kernels.sum names", "download", *TARGET)
        self.expect_error(6, "other files than before for the same commit", "lock")


class WrongLink(harness.CliTest):
    """A snapshot's name leads to the bytes of another file of the same size."""

    def setUp(self):
        super().setUp()
        files = build(VARIANT) | {f"build/{VARIANT}/a.py": b"print('AAAA')\n", f"build/{VARIANT}/b.py": b"print('BBBB')\n"}
        self.hub.publish("demo/one", "v1", files)
        self.write_project()
        self.expect(0, "lock")
        self.expect(0, "download", *TARGET)
        [folder] = self.cache.glob(f"*/snapshots/*/build/{VARIANT}")
        self.a, self.b = folder / "a.py", folder / "b.py"
        self.a.unlink()
        self.a.symlink_to(os.readlink(self.b))

    def right(self):
        return self.a.read_bytes() == b"print('AAAA')\n" and self.b.read_bytes() == b"print('BBBB')\n"

    def test_download_links_it_anew(self):
        result = self.expect(0, "download", *TARGET, "--offline")
        self.assertIn("a.py: its bytes do not match their hash; the right ones take its place", result.err)
        self.assertTrue(self.right())
        self.assertNotIn("warning", self.expect(0, "download", *TARGET).err)

    def test_verify_names_it_and_repairs(self):
        result = self.expect_error(6, "1 of", "cache", "verify")
        self.assertIn("a.py: it is linked to the bytes of another file", result.err)
        self.expect(0, "cache", "verify", "--repair")
        self.assertTrue(self.right())
        self.expect(0, "cache", "verify")

    def test_output_takes_the_right_bytes(self):
        self.expect(0, "download", *TARGET, "--output", "o")
        self.assertEqual((self.project / "o/demo/one/build" / VARIANT / "a.py").read_bytes(), b"print('AAAA')\n")


if __name__ == "__main__":
    harness.main()
