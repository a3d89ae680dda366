"""C sources of small libraries that answer as the drivers' own do."""

_NVML = """
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = COUNT; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(long)(i + 1); return 0; }
int nvmlDeviceGetCudaComputeCapability(void *d, int *major, int *minor)
{ *major = 8; *minor = (long)d == 1 ? 6 : SECOND; return 0; }
"""
# 9.0
CUDA_DRIVER = """
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device)
{ *value = attribute == 75 ? 9 : attribute == 76 ? 0 : -1; return 0; }
"""
# 12.6
CUDA_RUNTIME = "int cudaRuntimeGetVersion(int *version) { *version = 12060; return 0; }\n"
HIP = """
#include <string.h>
int hipGetDevicePropertiesR0600(void *properties, int device)
{ memset(properties, 0, 1472); strcpy((char *)properties, "AMD Instinct"); strcpy((char *)properties + 1160,
  "gfx942:sramecc+:xnack-"); return 0; }
"""


def nvml(count, second):
    """NVML with `count` devices: the first has 8.6, the others 8.`second`."""
    return _NVML.replace("COUNT", str(count)).replace("SECOND", str(second))
