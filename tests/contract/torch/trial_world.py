"""A world with the kernels of the trial laid out as a repository, and the models of the trial."""

import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import harness
import trial_layers

KERNELS = harness.need("KERNELS_BIN")
harness.need("KERNELS_TORCH_BIN")
LIBRARY = pathlib.Path(harness.need("KERNELS_TRIAL_LIBRARY"))
harness.need_modules("torch")
HERE = pathlib.Path(__file__).resolve().parent
LAY_OUT = HERE.parents[2] / "examples" / "kernels" / "lay_out.py"
NAMESPACE = LIBRARY.name.split(".")[0]


def variant():
    folder = pathlib.Path(importlib.util.find_spec("torch").origin).parent
    major, minor = re.search(r"__version__ = '(\d+)\.(\d+)", (folder / "version.py").read_text()).groups()
    return f"torch{major}{minor}-cxx11-cpu-x86_64-linux"


class TrialTest(harness.WorldTest):
    """The kernels and models are the same for all tests of a class: making them costs seconds."""

    layers = ()  # of which models are made; all of them when there are none

    @classmethod
    def setUpClass(cls):
        cls.base = pathlib.Path(tempfile.mkdtemp(prefix="kernels-trial-"))
        cls.addClassCleanup(shutil.rmtree, cls.base, ignore_errors=True)
        package = cls.base / "source" / "trial_kernels"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("from . import layers\n")
        (package / "layers.py").write_text(trial_layers.source())
        cls.repository = cls.base / "trial-kernels"
        subprocess.run([sys.executable, LAY_OUT, package.parent, cls.repository, "--id", NAMESPACE, "--variant", variant(),
                        "--library", LIBRARY], check=True)
        cls.models = cls.base / "models"
        cls.models.mkdir()
        subprocess.run([sys.executable, HERE / "trial_models.py", cls.models, *cls.layers], check=True)

    def setUp(self):
        super().setUp()
        self.environment["LOCAL_KERNELS"] = f"test/trial-kernels={self.repository}"

    def command(self, layer, *options):
        trial = trial_layers.by_name(layer)
        model = self.models / f"{trial.original}-float32-traced.pt"
        return [KERNELS, "kernelize", str(model), "-o", "out.pt", "--device", "cpu", *options, "--layer",
                f"{trial.original}=test/trial-kernels:{trial.name}"]

    def kernelize(self, layer, *options, status):
        return self.run_command(*self.command(layer, *options), status=status)
