# Finds libtorch without asking for a CUDA toolkit (Torch's own config of a CUDA wheel does).
# Looks in CMAKE_PREFIX_PATH and Libtorch_ROOT: a libtorch folder, or a Python environment's .../site-packages/torch.
# Result: Libtorch_FOUND, Libtorch_VERSION, Libtorch_LIBRARY_DIR and the target Libtorch::Libtorch.

find_path(Libtorch_INCLUDE_DIR NAMES torch/script.h
          PATH_SUFFIXES include torch/include
          HINTS ${Libtorch_ROOT} ENV LIBTORCH)
if(Libtorch_INCLUDE_DIR)
    get_filename_component(_libtorch_root "${Libtorch_INCLUDE_DIR}" DIRECTORY)
    foreach(lib torch torch_cpu c10)
        find_library(Libtorch_${lib}_LIBRARY NAMES ${lib} HINTS "${_libtorch_root}/lib" NO_DEFAULT_PATH)
        list(APPEND _libtorch_required Libtorch_${lib}_LIBRARY)
    endforeach()
    if(EXISTS "${Libtorch_INCLUDE_DIR}/torch/headeronly/version.h")
        set(_libtorch_version_header "${Libtorch_INCLUDE_DIR}/torch/headeronly/version.h")
    else()
        set(_libtorch_version_header "${Libtorch_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h")
    endif()
    if(EXISTS "${_libtorch_version_header}")
        file(READ "${_libtorch_version_header}" _text)
        set(_parts "")
        foreach(part MAJOR MINOR PATCH)
            if(_text MATCHES "#define TORCH_VERSION_${part} ([0-9]+)")
                list(APPEND _parts "${CMAKE_MATCH_1}")
            endif()
        endforeach()
        list(JOIN _parts "." Libtorch_VERSION)
    endif()
    get_filename_component(Libtorch_LIBRARY_DIR "${Libtorch_c10_LIBRARY}" DIRECTORY)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libtorch REQUIRED_VARS Libtorch_INCLUDE_DIR ${_libtorch_required}
                                  VERSION_VAR Libtorch_VERSION)
if(Libtorch_FOUND AND NOT TARGET Libtorch::Libtorch)
    add_library(Libtorch::Libtorch INTERFACE IMPORTED)
    set_target_properties(Libtorch::Libtorch PROPERTIES
        INTERFACE_SYSTEM_INCLUDE_DIRECTORIES
            "${Libtorch_INCLUDE_DIR};${Libtorch_INCLUDE_DIR}/torch/csrc/api/include"
        INTERFACE_INCLUDE_DIRECTORIES
            "${Libtorch_INCLUDE_DIR};${Libtorch_INCLUDE_DIR}/torch/csrc/api/include"
        INTERFACE_LINK_LIBRARIES "${Libtorch_torch_cpu_LIBRARY};${Libtorch_c10_LIBRARY};${Libtorch_torch_LIBRARY}")
endif()
mark_as_advanced(Libtorch_INCLUDE_DIR Libtorch_torch_LIBRARY Libtorch_torch_cpu_LIBRARY Libtorch_c10_LIBRARY)
