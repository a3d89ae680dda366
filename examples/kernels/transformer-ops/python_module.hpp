// The module that Python's import of a kernel library looks for, by the library's name: KERNEL_NAMESPACE.
#pragma once

#include <Python.h>

#define KERNEL_CONCAT_(a, b) a##b
#define KERNEL_CONCAT(a, b) KERNEL_CONCAT_(a, b)
#define KERNEL_STRING_(a) #a
#define KERNEL_STRING(a) KERNEL_STRING_(a)

// Python imports the library for its registrations; the module itself is empty.
PyMODINIT_FUNC KERNEL_CONCAT(PyInit_, KERNEL_NAMESPACE)() {
    static PyModuleDef module = {PyModuleDef_HEAD_INIT,
                                 KERNEL_STRING(KERNEL_NAMESPACE),
                                 nullptr,
                                 0,
                                 nullptr,
                                 nullptr,
                                 nullptr,
                                 nullptr,
                                 nullptr};
    return PyModule_Create(&module);
}
