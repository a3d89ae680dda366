"""What we read from files is what the Python client finds out by importing torch."""

import platform
import sys

from build_probe import ask
from probe import peer


def test_this_python():
    torch = peer("torch")
    backend = peer("kernels.backends")._backend()
    (answer,) = ask([{"ask": "environment", "torch": sys.prefix}])
    facts = {name: value for name, (value, _) in answer["facts"].items()}
    assert facts["torch"] == torch.__version__, facts
    assert facts["backend"] == backend.variant_str, facts
    assert facts["cpu"] == platform.machine() and facts["os"] == platform.system().lower(), facts
    if platform.system() == "Linux":
        assert facts["cxx11-abi"] == str(torch.compiled_with_cxx11_abi()).lower(), facts
    print(f"this Python: {facts}")


if __name__ == "__main__":
    test_this_python()
