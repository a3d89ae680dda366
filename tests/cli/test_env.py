"""`kernels env`: every source of a fact, by folders and small libraries made here."""

import pathlib
import platform
import re
import shutil
import subprocess
import sys
import unittest

import harness
from fake_drivers import CUDA_DRIVER, CUDA_RUNTIME, HIP, nvml

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
NONE = "cuda: Optional[str] = None\nhip: Optional[str] = None\nxpu: Optional[str] = None\n"


class Env(harness.CliTest):
    def env(self, *arguments, **environment):
        """The facts by name, each (value, origin), the target, and what is missing."""
        document = self.expect(0, "env", "--json", "--offline", *arguments, **environment).json
        facts = {fact["name"]: (fact["value"], fact["origin"]) for fact in document["facts"]}
        return facts, document["target"], document["missing"]

    def python(self, prefix, version="2.13.0", more=NONE, packages=()):
        """A Python environment with a torch and other packages; the folder of its packages."""
        folder = pathlib.Path(prefix) / "lib/python3.12/site-packages"
        for package in ("torch", *packages):
            (folder / package).mkdir(parents=True, exist_ok=True)
            (folder / package / "__init__.py").write_text("")
        (folder / "torch" / "version.py").write_text(f"__version__ = '{version}'\n{more}")
        return folder

    def libraries(self, **sources):
        """A folder for LD_LIBRARY_PATH with these libraries."""
        folder = self.folder / "libraries"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, code in sources.items():
            name = re.sub(r"_so(_(\d+))?$", lambda match: ".so" + (f".{match[2]}" if match[1] else ""), name).replace("_", "-")
            subprocess.run([COMPILER, "-shared", "-fPIC", "-x", "c", "-", "-o", folder / name], input=code, text=True, check=True)
        return str(folder)

    def test_packages_of_another_python(self):
        """Of several Pythons' packages below one prefix, those of the Python that runs there; the user's come first."""
        def install(prefix, python, version):
            folder = self.python(prefix, version).parent
            folder.rename(folder.with_name(python))

        def program(folder):
            """python3, a link to python3.11"""
            folder.mkdir(parents=True)
            for name in ("python3.11", "other"):
                (folder / name).write_text("#!/bin/sh\n")
                (folder / name).chmod(0o755)
            (folder / "python3").symlink_to("python3.11")
            return f"{folder}:/usr/bin:/bin"

        venv, prefix = self.folder / "venv", self.folder / "prefix"
        install(venv, "python3.9", "2.8.0+cpu")
        install(venv, "python3.11", "2.13.0+cpu")
        self.assertEqual(self.env(VIRTUAL_ENV=venv)[0]["torch"][0], "2.13.0+cpu")  # the newest, where nothing tells
        (venv / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.9.2\n")
        self.assertEqual(self.env(VIRTUAL_ENV=venv)[0]["torch"][0], "2.8.0+cpu")
        (venv / "pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.10.1.final.0\n")
        self.assertNotIn("2.", self.env(VIRTUAL_ENV=venv)[0].get("torch", ("",))[0])
        path = program(prefix / "bin")
        install(prefix, "python3.11", "2.9.0+cpu")
        install(self.home / ".local", "python3.9", "2.7.0+cpu")
        self.assertEqual(self.env(PATH=path)[0]["torch"][0], "2.9.0+cpu")
        install(self.home / ".local", "python3.11", "2.12.0+cpu")
        self.assertEqual(self.env(PATH=path)[0]["torch"][0], "2.12.0+cpu")
        # What is no program is passed over, as the shell does.
        (self.folder / "no-program" / "python3").mkdir(parents=True)
        self.assertEqual(self.env(PATH=f"{self.folder}/no-program:{path}")[0]["torch"][0], "2.12.0+cpu")

    def test_the_torch_is_the_one_that_python_would_import(self):
        """Each place that sys.path has, against what the real Pythons here find."""
        for number, interpreter in enumerate((sys.executable, "/usr/bin/python3")):
            with self.subTest(interpreter):
                root = self.folder / f"python-{number}"
                venv, user, base, module = (root / name for name in ("venv", "home", "base", "module"))
                command = [interpreter, "-m", "venv", "--without-pip", "--system-site-packages", venv]
                if not pathlib.Path(interpreter).exists() or subprocess.run(command, capture_output=True).returncode:
                    continue  # a Python without the module venv
                find = "import importlib.util as u, sys; s = u.find_spec('torch'); print(s.origin if s else None, *sys.version_info[:2])"

                def check(**environment):
                    environment = {"HOME": str(user), **{name: str(value) for name, value in environment.items()}}
                    origin, *version = subprocess.run([venv / "bin" / "python", "-c", find], text=True, capture_output=True, check=True,
                                                      env=environment).stdout.split()
                    told = self.env(VIRTUAL_ENV=venv, **environment)[0].get("torch", ("", "none"))[1]
                    self.assertEqual(f"({pathlib.Path(origin).parent})" in told, origin != "None", (origin, told, environment))
                    return ".".join(version)

                python = check()
                for folder in (user / f".local/lib/python{python}/site-packages", base / f"lib/python{python}/site-packages",
                               venv / f"lib/python{python}/site-packages", module):
                    torch = folder / "torch"
                    torch.mkdir(parents=True)
                    (torch / "__init__.py").write_text("")
                    (torch / "version.py").write_text(f"__version__ = '2.13.0'\n{NONE}")
                    for environment in ({}, {"PYTHONUSERBASE": base}, {"PYTHONNOUSERSITE": "1"}, {"PYTHONPATH": module}):
                        check(**environment)

    def test_a_part_of_a_pyenv_version(self):
        root = self.folder / "pyenv"
        (root / "shims").mkdir(parents=True)
        (root / "shims" / "python3").write_text("#!/bin/sh\n")
        (root / "shims" / "python3").chmod(0o755)
        for patch, version in ((9, "2.9.0+cpu"), (10, "2.10.0+cpu")):
            self.python(root / "versions" / f"3.12.{patch}", version)
        for named, version in (("3.12", "2.10.0+cpu"), ("3.12.9", "2.9.0+cpu")):
            self.assertEqual(self.env(PATH=f"{root}/shims:/usr/bin:/bin", PYENV_VERSION=named)[0]["torch"][0], version)

    def test_a_conda_environment(self):
        conda = self.folder / "conda"
        packages = self.python(conda, "2.12.1+cu126", "cuda: Optional[str] = '12.6'\n", ["apache_tvm_ffi-0.1.9.dist-info"])
        facts, target, _ = self.env(CONDA_PREFIX=conda)
        where = f"CONDA_PREFIX ({packages}/torch)"
        self.assertEqual(facts["torch"], ("2.12.1+cu126", where))
        self.assertEqual(facts["backend"], ("cu126", where))
        self.assertEqual(facts["tvm-ffi"], ("0.1", f"{packages}/apache_tvm_ffi-0.1.9.dist-info"))
        self.assertTrue(target.startswith("torch=2.12,cuda=12.6"), target)

    def test_the_backends_of_a_torch(self):
        ascend = self.folder / "ascend"
        (ascend / "x86_64-linux").mkdir(parents=True)
        (ascend / "x86_64-linux" / "ascend_toolkit_install.info").write_text("version=8.3.RC1\n")
        cases = {
            "cu128": ("cuda: Optional[str] = '12.8'\n", ()),
            "rocm64": ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4.43482-0f2d60242'\n", ()),
            "xpu20252": ("cuda = None\nhip = None\nxpu: Optional[str] = '20250200'\n", ()),
            "cann83": (NONE, ["torch_npu"]),
            "neuron": (NONE, ["torch_neuronx"]),
            "tpu": (NONE, ["torch_tpu"]),
            "cpu": (NONE, ()),
        }
        for backend, (more, extensions) in cases.items():
            prefix = self.folder / backend
            packages = self.python(prefix, more=more, packages=extensions)
            with self.subTest(backend):
                facts, _, missing = self.env(VIRTUAL_ENV=prefix, ASCEND_HOME_PATH=ascend)
                origin = f"VIRTUAL_ENV ({packages}/torch)"
                if extensions:
                    origin = f"{extensions[0]} ({packages}/{extensions[0]})"
                if backend == "cann83":
                    origin += f", CANN by {ascend}/x86_64-linux/ascend_toolkit_install.info"
                self.assertEqual(facts["backend"], (backend, origin))
                self.assertEqual(facts["torch"][0], "2.13.0")
                self.assertEqual([text for text in missing if "CANN" in text], [])
        # An npu without its toolkit computes on nothing that is known; the page says why.
        facts, _, missing = self.env(VIRTUAL_ENV=self.folder / "cann83", ASCEND_HOME_PATH=self.folder / "nowhere")
        if not facts["backend"][0].startswith("cann"):
            self.assertEqual(facts["backend"][0], "not known")
            self.assertTrue(any("torch_npu is installed, but no CANN toolkit" in text for text in missing), missing)

    def test_an_active_environment_that_is_not_there(self):
        for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
            missing = self.env(**{variable: self.folder / "gone"})[2]
            self.assertIn(f"{variable} names {self.folder / 'gone'}, and there is no such folder", missing)

    def test_without_torch(self):
        facts, _, missing = self.env()
        if "torch" in facts:
            self.skipTest("/usr has a torch")
        hint = [text for text in missing if text.startswith("no torch was found")]
        self.assertTrue(hint[0].endswith("name one (--torch PATH|VERSION)"), hint)

    @unittest.skipUnless(COMPILER and platform.system() == "Linux", "no C compiler to imitate drivers with")
    def test_drivers(self):
        cuda = ("--torch", "2.13.0+cu128")

        def capability(libraries, **environment):
            return self.env(*cuda, LD_LIBRARY_PATH=libraries, **environment)[0].get("capability")

        nvml_of = {"libnvidia_ml_so_1": nvml(2, 6)}
        driver = {"libcuda_so_1": CUDA_DRIVER}
        self.assertEqual(capability(self.libraries(**nvml_of, **driver)), ("86", "NVML"))
        # Devices that differ, or a choice among them: only the driver knows which one comes first.
        self.assertEqual(capability(self.libraries(**nvml_of, **driver), CUDA_VISIBLE_DEVICES="0"), ("90", "the CUDA driver"))
        self.assertEqual(capability(self.libraries(**nvml_of, **driver), CUDA_VISIBLE_DEVICES=""), ("90", "the CUDA driver"))
        self.assertEqual(capability(self.libraries(libnvidia_ml_so_1=nvml(2, 9), **driver)), ("90", "the CUDA driver"))
        # Without it: why there is none.
        alone = {"LD_LIBRARY_PATH": self.libraries(**nvml_of), "CUDA_VISIBLE_DEVICES": "0"}
        facts, _, missing = self.env(*cuda, **alone)
        if "capability" not in facts:  # a machine without a GPU
            self.assertTrue(any("CUDA_VISIBLE_DEVICES chooses among the CUDA devices (capability 86)" in text for text in missing), missing)
            missing = self.env("--torch", "2.13.0", **alone)[2]
            self.assertTrue(any("there is such a GPU (86)" in text for text in missing), missing)
        facts, target, missing = self.env(*cuda, LD_LIBRARY_PATH=self.libraries(**driver))
        self.assertEqual(facts["torch"], ("2.13.0+cu128", "--torch"))
        self.assertIn("capability=90", target)
        self.assertEqual([text for text in missing if "CUDA device" in text], [])
        facts, _, missing = self.env(*cuda, LD_LIBRARY_PATH=self.libraries())
        if "capability" not in facts:  # a machine without a GPU
            self.assertTrue(any("no CUDA device answered" in text for text in missing), missing)
        facts, target, _ = self.env("--torch", "2.13.0+rocm6.4", LD_LIBRARY_PATH=self.libraries(libamdhip64_so=HIP))
        if not pathlib.Path("/sys/class/kfd").exists():
            self.assertEqual(facts["arch"], ("gfx942", "the HIP library"))
            self.assertIn("arch=gfx942", target)
        facts, target, _ = self.env(LD_LIBRARY_PATH=self.libraries(libcudart_so=CUDA_RUNTIME))
        if "torch" not in facts:
            self.assertEqual(facts["backend"][0], "cu126")
            self.assertRegex(facts["backend"][1], r"^the CUDA runtime library /.*/libcudart\.so$")
            self.assertTrue(target.startswith("cuda=12.6"), target)

    @unittest.skipUnless(COMPILER and platform.system() == "Linux", "no C compiler to imitate drivers with")
    @unittest.skipIf(pathlib.Path("/sys/class/kfd").exists(), "the kernel's driver tells of this machine's device")
    def test_the_names_of_the_hip_library(self):
        rocm = ("--torch", "2.13.0+rocm6.4")
        for name in ("libamdhip64_so", "libamdhip64_so_7", "libamdhip64_so_6", "libamdhip64_so_5"):
            facts = self.env(*rocm, LD_LIBRARY_PATH=self.libraries(**{name: HIP}))[0]
            self.assertEqual(facts["arch"], ("gfx942", "the HIP library"), name)
        # The wheel's own copy comes first: its torch opens that.
        packages = self.python(self.folder / "venv", "2.13.0+rocm6.4", "cuda = None\nhip = '6.4.43482-0f2d60242'\n")
        shutil.copytree(self.libraries(libamdhip64_so_6=HIP.replace("gfx942", "gfx90a")), packages / "torch" / "lib")
        for system in ({}, {"LD_LIBRARY_PATH": self.libraries(libamdhip64_so=HIP)}):
            facts, target, _ = self.env(VIRTUAL_ENV=self.folder / "venv", **system)
            self.assertEqual(facts["arch"], ("gfx90a", "the HIP library"))
            self.assertIn("rocm=6.4,arch=gfx90a", target)

    @unittest.skipUnless(COMPILER and platform.system() == "Linux", "no C compiler to imitate drivers with")
    def test_a_libtorch_whose_version_has_no_tag_asks_the_runtime_library_beside_it(self):
        libtorch = self.folder / "libtorch"
        shutil.copytree(self.libraries(libcudart_so=CUDA_RUNTIME), libtorch / "lib")
        (libtorch / "lib" / "libtorch_cuda.so").write_bytes(b"")
        (libtorch / "build-version").write_text("2.13.0\n")
        facts, _, _ = self.env(CMAKE_PREFIX_PATH=libtorch)
        self.assertEqual(facts["backend"], ("cu126", f"{libtorch}/lib/libcudart.so"))

    def test_the_hub_the_cache_and_the_token(self):
        facts, _, _ = self.env()
        self.assertEqual(facts["endpoint"], (self.hub.url, "HF_ENDPOINT"))
        self.assertEqual(facts["cache"], (str(self.cache), "HF_HUB_CACHE"))
        self.assertEqual(facts["token"], ("none", "neither HF_TOKEN nor a token file"))
        facts, _, _ = self.env("--cache", self.folder / "other", HF_TOKEN="hf_secret")
        self.assertEqual(facts["cache"], (str(self.folder / "other"), "--cache"))
        self.assertEqual(facts["token"], ("present", "HF_TOKEN"))
        file = self.home / ".cache/huggingface/token"
        file.parent.mkdir(parents=True)
        file.write_text("hf_secret")
        facts, _, _ = self.env()
        self.assertEqual(facts["token"], ("present", str(file)))


    def test_the_page_comes_whatever_is_wrong(self):
        (self.project / "kernels.toml").write_text("layerz = 1\n")
        facts, target, missing = self.env(KERNELS_TORCH="/nowhere", LOCAL_KERNELS="demo/one", DISABLE_KERNEL_MAPPING="yes",
                                          HF_ENDPOINT="nonsense")
        self.assertEqual(facts["local-kernels"], ("demo/one", "LOCAL_KERNELS"))
        self.assertEqual(facts["mapping-disabled"], ("yes", "DISABLE_KERNEL_MAPPING"))
        self.assertIn("cpu", facts)
        self.assertNotIn("torch", facts)
        self.assertIn("os=linux", target)
        for words in ("layerz: there is no such key", "KERNELS_TORCH `/nowhere`: no torch there", "LOCAL_KERNELS: the entry",
                      "DISABLE_KERNEL_MAPPING: `yes` is no number", "HF_ENDPOINT"):
            self.assertTrue(any(words in text for text in missing), (words, missing))

    def test_a_torch_that_cannot_be_read_is_missing(self):
        version = self.python(self.folder / "venv") / "torch" / "version.py"
        version.unlink()
        version.mkdir()
        facts, _, missing = self.env(VIRTUAL_ENV=self.folder / "venv")
        self.assertNotIn("torch", facts)
        self.assertIn("endpoint", facts)
        self.assertTrue(any(text.startswith(f"VIRTUAL_ENV: {version}: is a folder") for text in missing), missing)
        # What chooses by it says the same and stops, and goes on with one that is named.
        self.hub.publish("demo/one", "v1", harness.build(harness.VARIANT))
        damaged = {"VIRTUAL_ENV": self.folder / "venv"}
        self.expect_error(1, f"VIRTUAL_ENV: {version}: is a folder", "versions", "demo/one", **damaged)
        version.rmdir()
        version.write_text("__version__ = '2.13.0'\ncuda: Optional[str] = 'abc'\n")
        self.expect_error(1, f"VIRTUAL_ENV: {version}: its cuda is no version: `abc`", "versions", "demo/one", **damaged,
                          hint="this torch is damaged; install it again, or name another one (--torch PATH|VERSION)")
        self.expect_error(1, f"--torch `{self.folder}/venv`: {version}: its cuda", "versions", "demo/one", "--torch", self.folder / "venv")
        self.expect(0, "versions", "demo/one", "--torch", "2.13", **damaged)
        # To ask the Hub takes no torch.
        self.write_project()
        self.expect(0, "lock", **damaged)

    def test_every_command_finds_the_environment_of_the_project_from_below_it(self):
        self.python(self.project / ".venv", "2.13.0+cpu")
        self.hub.publish("demo/one", "v1", harness.build(harness.VARIANT))
        self.write_project(more='[[layers]]\nname = "Demo"\ndevice = "cpu"\nmode = "inference"\nrepo = "demo/one"\n'
                                'version = 1\nlayer = "Demo"\n')
        self.expect(0, "lock")
        below = self.project / "a" / "b"
        below.mkdir(parents=True)
        self.project = below
        facts, target, _ = self.env()
        self.assertEqual(facts["torch"][0], "2.13.0+cpu")
        self.assertTrue(target.startswith("torch=2.13,cpu"), target)
        self.assertIn(f"{harness.VARIANT} compatible, preferred", self.expect(0, "versions", "demo/one").out)
        self.expect(0, "download")
        show = self.expect(0, "mapping", "show", "--json").json
        self.assertTrue(show["choices"][0]["target"].startswith("torch=2.13"), show)
        self.assertEqual(self.env("--project", below)[0]["torch"][0], "2.13.0+cpu")

    def test_a_version_that_says_no_backend(self):
        for version, words in (("2.9+garbage", "what is behind the + names no backend"), ("2.9+cu1280", "what is behind the + names no backend"), ("2", "no version of a torch")):
            self.expect_error(2, f"--torch `{version}`: {words}", "versions", "demo/one", "--torch", version, hint="2.9+cu128")
        self.assertTrue(any("--torch `2.9+xpu`: it does not say" in text for text in self.env("--torch", "2.9+xpu")[2]))

    def test_a_version_that_names_a_commit_leaves_the_backend_to_the_runtime_library_or_the_target(self):
        version = "2.9.0a0+145a3a7bda.nv25.10"
        library = {}
        if COMPILER and platform.system() == "Linux":
            library["LD_LIBRARY_PATH"] = self.libraries(libcudart_so=CUDA_RUNTIME)
            facts, target, _ = self.env("--torch", version, **library)
            self.assertEqual((facts["torch"], facts["backend"][0]), ((version, "--torch"), "cu126"))
            self.assertTrue(target.startswith("torch=2.9,cuda=12.6"), target)
            self.assertEqual(self.env(KERNELS_TORCH=version, **library)[0]["torch"], (version, "KERNELS_TORCH"))
        facts, _, missing = self.env("--torch", version)
        if "torch" not in facts:  # a machine without a CUDA runtime
            self.assertTrue(any("it does not say for which backend" in text and "torch=2.9,cuda=12.8" in text for text in missing), missing)
        self.hub.publish("demo/one", "v1", harness.build(harness.VARIANT))
        for torch, spec in ((version, "rocm=6.4"), (version, "cpu"), ("2.9+xpu", "xpu=2025.2")):
            document = self.expect(0, "versions", "demo/one", "--json", "--torch", torch, "--target", spec, **library).json
            self.assertTrue(document["versions"][0]["targets"][0]["target"].startswith(f"torch=2.9,{spec}"), document)

    @unittest.skipUnless(COMPILER and platform.system() == "Linux", "no C compiler to imitate drivers with")
    def test_devices_that_differ_are_told_without_a_driver_that_orders_them(self):
        libraries = self.libraries(libnvidia_ml_so_1=nvml(2, 9))
        facts, _, missing = self.env("--torch", "2.13.0+cu128", LD_LIBRARY_PATH=libraries)
        if facts.get("capability", ("", ""))[1] == "the CUDA driver":
            self.skipTest("this machine has a driver")
        self.assertTrue(any(text.startswith("the CUDA devices differ (capability 86, 89)") for text in missing), missing)

    @unittest.skipUnless(COMPILER and platform.system() == "Linux", "no C compiler to imitate drivers with")
    def test_a_device_that_the_torch_does_not_use(self):
        libraries = self.libraries(libcuda_so_1=CUDA_DRIVER)
        facts, target, missing = self.env("--torch", "2.13.0+cpu", LD_LIBRARY_PATH=libraries)
        self.assertEqual(facts["capability"], ("90", "the CUDA driver"))
        self.assertNotIn("capability", target)
        self.assertTrue(any(text.startswith("a torch for CUDA: there is such a GPU (90)") for text in missing), missing)


if __name__ == "__main__":
    harness.main()
