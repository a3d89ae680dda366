"""A Hub on loopback that holds made-up repositories and can misbehave on purpose.

kernels-hub serves real folders; this one keeps the tests independent of it and injects faults.
"""

import hashlib
import http.server
import json
import socket
import threading
import time
import urllib.parse


def git_oid(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def metadata(name="demo", version=1, backend="cpu", depends=(), **more):
    document = {"id": f"_{name}_{backend}_abc1234", "name": name, "version": version, "license": "Apache-2.0",
                "python-depends": [], "backend": {"type": backend}}
    if depends:
        document["kernel-depends"] = [{"repo-id": repo, "version": number} for repo, number in depends]
    document.update(more)
    return json.dumps(document, indent=2).encode()


def build(variant, name="demo", version=1, size=20000, **more):
    """The files of one build variant."""
    backend = "cuda" if "-cu" in variant else "cpu"
    library = (f"{name} {version} {variant} ".encode() * (size // 16 + 1))[:size]
    return {f"build/{variant}/metadata.json": metadata(name, version, backend, **more),
            f"build/{variant}/__init__.py": f"# {name} {version}\n".encode(),
            f"build/{variant}/layers.py": f"# {name}\nimport torch\n\n\nclass Demo(torch.nn.Module):\n    pass\n".encode(),
            f"build/{variant}/_{name}.abi3.so": library}


def redirect(destination, revision=None):
    """The file of a kernel that has moved."""
    text = f'kind = "redirect"\ndestination = "{destination}"\n' + (f'revision = "{revision}"\n' if revision else "")
    return {"kernel-status.toml": text.encode()}


class Hub:
    """`publish` repositories, then use `url`. Faults: corrupt (blob names), slow (seconds a block), status (by path)."""

    def __init__(self):
        self.repos = {}
        self.trusted = set()
        self.corrupt = set()
        self.slow = 0
        self.requests = []
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                hub.requests.append(self.path)
                hub.answer(self)

            do_HEAD = do_GET

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # who comes at the same time is not to wait for the system to try again

            def handle_error(self, *_):
                pass  # a client that hangs up is no news

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def publish(self, repo, branch, files, trusted=True):
        if trusted:
            self.trusted.add(repo.split("/")[0])
        text = repo + branch + "".join(sorted(p + git_oid(d) for p, d in files.items()))
        commit = hashlib.sha1(text.encode()).hexdigest()
        entry = self.repos.setdefault(repo, {"branches": {}, "commits": {}})
        entry["branches"][branch] = commit
        entry["commits"][commit] = files
        return commit

    def commit_of(self, repo, revision):
        entry = self.repos[repo]
        revision = revision.removeprefix("refs/heads/")
        return entry["branches"].get(revision, revision if revision in entry["commits"] else None)

    @staticmethod
    def send(handler, status, body=b"", **headers):
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def answer(self, handler):
        path = urllib.parse.urlsplit(handler.path).path
        parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
        if parts[:2] == ["api", "organizations"]:
            return self.send(handler, 200, json.dumps({"trustedKernelPublisher": parts[2] in self.trusted}).encode())
        if parts[0] == "cdn":
            return self.content(handler, parts[1])
        repo = "/".join(parts[2:4] if parts[0] == "api" else parts[1:3])
        if repo not in self.repos:
            return self.send(handler, 404, b"{}", X_Error_Code="RepoNotFound")
        rest = parts[4:] if parts[0] == "api" else parts[3:]
        if rest[0] == "refs":
            branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
                        for name, commit in self.repos[repo]["branches"].items()]
            return self.send(handler, 200, json.dumps({"branches": branches, "tags": [], "converts": []}).encode())
        commit = self.commit_of(repo, rest[1])
        if commit is None:
            return self.send(handler, 404, b"{}", X_Error_Code="RevisionNotFound")
        files = self.repos[repo]["commits"][commit]
        if rest[0] == "revision":
            return self.send(handler, 200, json.dumps({"sha": commit}).encode())
        if rest[0] == "tree":
            recursive = "recursive=true" in handler.path.lower()
            return self.send(handler, 200, json.dumps(self.listing(files, "/".join(rest[2:]), recursive)).encode())
        data = files.get("/".join(rest[2:]))
        if data is None:
            return self.send(handler, 404, b"", X_Error_Code="EntryNotFound")
        if self.is_large(rest[-1]):
            sha = hashlib.sha256(data).hexdigest()
            return self.send(handler, 302, X_Repo_Commit=commit, X_Linked_Etag=f'"{sha}"', X_Linked_Size=str(len(data)),
                             Location=f"http://localhost:{self.server.server_port}/cdn/{sha}")
        return self.send(handler, 200, data, ETag=f'"{git_oid(data)}"', X_Repo_Commit=commit)

    @staticmethod
    def is_large(path):
        return path.endswith(".so")

    def listing(self, files, folder, recursive):
        prefix = folder + "/" if folder else ""
        entries = {}
        for path, data in files.items():
            if not path.startswith(prefix):
                continue
            head, _, below = path[len(prefix):].partition("/")
            if below and not recursive:
                entries[prefix + head] = {"type": "directory", "path": prefix + head, "size": 0, "oid": "0" * 40}
            else:
                entries[path] = self.entry(path, data)
        return list(entries.values())

    def entry(self, path, data):
        entry = {"type": "file", "path": path, "size": len(data), "oid": git_oid(data)}
        if self.is_large(path):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry

    def content(self, handler, sha):
        data = next(d for repo in self.repos.values() for files in repo["commits"].values() for d in files.values()
                    if hashlib.sha256(d).hexdigest() == sha)
        if sha in self.corrupt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = 0
        asked = handler.headers.get("Range", "")
        if asked.startswith("bytes="):
            start = int(asked[6:].split("-")[0])
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(data) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.end_headers()
        for at in range(start, len(data), 4096):
            handler.wfile.write(data[at:at + 4096])
            if self.slow:
                time.sleep(self.slow)


def unused_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
