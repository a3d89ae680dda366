"""What the Hub says no to, and in which words: tokens, redirects, commits that are gone, texts and sizes of strangers."""

import harness
from harness import TARGET, VARIANT
from loopback_hub import build


class AnswersTest(harness.CliTest):
    def setUp(self):
        super().setUp()
        self.hub.publish("demo/one", "v1", build(VARIANT))
        self.write_project()

    def answer_first(self, answer):
        """`answer(handler)` is asked before the Hub, and says whether it answered."""
        plain = self.hub.answer
        self.hub.answer = lambda handler: answer(handler) or plain(handler)

    def refuse(self, status, path="", unless=None, **headers):
        """`status` for what is below `path`, for everyone but the one with the token `unless`."""
        def answer(handler):
            if path not in handler.path or (unless and handler.headers.get("Authorization") == f"Bearer {unless}"):
                return False
            self.hub.send(handler, status, b"{}", **headers)
            return True

        self.answer_first(answer)


class Tokens(AnswersTest):
    def test_a_wrong_token_is_told_as_such(self):
        def answer(handler):
            if handler.headers.get("Authorization", "Bearer hf_right") == "Bearer hf_right":
                return False
            self.hub.send(handler, 401, b"{}", X_Error_Message="Invalid credentials in Authorization header")
            return True

        self.answer_first(answer)
        self.expect(0, "lock")
        for command in (["lock", "--upgrade"], ["info", "demo/one"], ["versions", "demo/one"], ["download", *TARGET]):
            result = self.expect_error(5, f"{self.hub.url} refuses the token from HF_TOKEN (401)", *command, hint="renew it, or unset it",
                                       HF_TOKEN="hf_wrong")
            self.assertNotIn("hf_wrong", result.err + result.out)
        file = self.folder / "token"
        file.write_text("hf_old\n")
        self.expect_error(5, f"refuses the token from {file} (401)", "info", "demo/one", HF_TOKEN_PATH=file)
        self.expect(0, "download", *TARGET, HF_TOKEN="hf_right")

    def test_a_publisher_that_is_not_told_of(self):
        self.refuse(401, "/overview", unless="hf_right")
        self.expect_error(5, f"the publisher demo: {self.hub.url} does not say whether it is trusted (401)", "lock", hint="set HF_TOKEN")
        self.expect_error(5, "refuses the token from HF_TOKEN", "lock", HF_TOKEN="hf_wrong")
        self.expect(0, "lock", HF_TOKEN="hf_right")

    def test_403(self):
        self.refuse(403, "/refs", unless="hf_right")
        self.expect_error(4, "demo/one: access refused", "lock", hint="set HF_TOKEN")
        self.expect_error(4, "demo/one: access refused", "lock", hint="what the token may read", HF_TOKEN="hf_wrong")

    def test_another_host_that_wants_a_token(self):
        """The library comes from another host, which is never given the token, so the token is not at fault."""
        self.expect(0, "lock")
        self.refuse(401, "/cdn/")
        elsewhere = self.hub.url.replace("127.0.0.1", "localhost")
        for token in ({}, {"HF_TOKEN": "hf_right"}):
            result = self.expect_error(5, f"{elsewhere} refuses what {self.hub.url} redirects to it (401)", "download", *TARGET, **token)
            self.assertNotIn("HF_TOKEN", result.err)


if __name__ == "__main__":
    harness.main()
