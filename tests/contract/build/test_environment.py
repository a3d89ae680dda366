"""What we read from files is what the Python client finds out by importing torch."""

import os
import pathlib
import platform
import sys
import tempfile
import types
from unittest import mock

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


NONE = {"cuda": None, "hip": None, "xpu": None}
# What version.py says, the packages beside torch, and the backend that both are to find.
ENVIRONMENTS = [
    (NONE, (), "cpu"),
    ({"cuda": None, "hip": None}, (), "cpu"),  # before torch knew xpu
    ({**NONE, "cuda": "11.8"}, (), "cu118"),
    ({**NONE, "cuda": "12.8"}, (), "cu128"),
    ({**NONE, "cuda": "13.0"}, (), "cu130"),
    ({**NONE, "hip": "6.4.43482-0f2d60242"}, (), "rocm64"),
    ({**NONE, "hip": "7.0.51831"}, (), "rocm70"),
    ({**NONE, "xpu": "20250200"}, (), "xpu20252"),
    ({**NONE, "xpu": "20250301"}, (), "xpu20253"),
    (NONE, ("torch_tpu",), "tpu"),
    (NONE, ("torch_neuronx",), "neuron"),
    (NONE, ("torch_npu",), "cann83"),
    # Several at once: the order is the client's.
    ({**NONE, "cuda": "12.8"}, ("torch_tpu",), "tpu"),
    ({**NONE, "hip": "6.4.43482-0f2d60242"}, ("torch_neuronx",), "neuron"),
    ({**NONE, "xpu": "20250200"}, ("torch_neuronx", "torch_tpu", "torch_npu"), "tpu"),
    ({**NONE, "cuda": "12.8"}, ("torch_npu",), "cu128"),
    ({**NONE, "xpu": "20250200"}, ("torch_npu",), "xpu20252"),
    ({**NONE, "cuda": "12.8", "hip": "6.4.43482"}, (), "cu128"),
]
CANN = "8.3.RC1"


def make(prefix, versions, packages):
    """An environment's folder, and the text of its version.py."""
    site = prefix / "lib/python3.12/site-packages"
    for package in ("torch", *packages):
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").write_text("")
    text = "from typing import Optional\n__version__ = '2.13.0'\n"
    text += "".join(f"{name}: Optional[str] = {value!r}\n" for name, value in versions.items())
    (site / "torch" / "version.py").write_text(text)
    return text


def by_client(version_py, packages):
    """What the client's own function says of a torch with that version.py, when these packages have been imported."""
    torch, backends = peer("torch"), peer("kernels.backends")
    version = types.ModuleType("torch.version")
    exec(version_py, version.__dict__)
    collect_env = types.SimpleNamespace(get_cann_version=lambda: CANN)
    npu = "npu" if "torch_npu" in packages else "privateuseone"
    with mock.patch.object(torch, "version", version), \
            mock.patch.object(backends, "_get_torch_privateuse_backend_name", lambda: npu), \
            mock.patch.dict(sys.modules, {"torch_npu": types.ModuleType("torch_npu"), "torch_npu.utils": types.ModuleType("torch_npu.utils"),
                                          "torch_npu.utils.collect_env": collect_env}):
        if "torch_tpu" in packages:
            with mock.patch.object(torch.backends, "tpu", object(), create=True):
                return backends._backend().variant_str
        if "torch_neuronx" in packages:
            with mock.patch.object(torch, "neuron", object(), create=True):
                return backends._backend().variant_str
        return backends._backend().variant_str


def test_made_environments():
    if platform.system() != "Linux":
        return  # elsewhere the system decides: Metal
    with tempfile.TemporaryDirectory() as folder:
        toolkit = pathlib.Path(folder) / "toolkit"
        toolkit.mkdir()
        (toolkit / "version.cfg").write_text(f"runtime_running_version=[8.3.0.1:{CANN}]\n")
        questions, theirs = [], []
        for number, (versions, packages, expected) in enumerate(ENVIRONMENTS):
            prefix = pathlib.Path(folder) / str(number)
            theirs.append(by_client(make(prefix, versions, packages), packages))
            assert theirs[-1] == expected, (versions, packages, theirs[-1])
            questions.append({"ask": "environment", "torch": str(prefix)})
        with mock.patch.dict(os.environ, {"ASCEND_HOME_PATH": str(toolkit)}):
            ours = [answer["facts"]["backend"][0] for answer in ask(questions)]
    for (versions, packages, _), our, their in zip(ENVIRONMENTS, ours, theirs):
        assert our == their, (versions, packages, our, their)
    print(f"{len(ours)} made environments")


if __name__ == "__main__":
    test_this_python()
    test_made_environments()
