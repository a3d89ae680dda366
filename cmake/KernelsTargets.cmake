# How every target of this project is compiled; one place, so that no folder repeats it.

find_program(KERNELS_CCACHE ccache)
if(KERNELS_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${KERNELS_CCACHE}")
endif()
if(KERNELS_TIDY)
    find_program(KERNELS_CLANG_TIDY clang-tidy REQUIRED)
    # It is clang, and gets the compiler's own options, which may be g++'s.
    set(CMAKE_CXX_CLANG_TIDY "${KERNELS_CLANG_TIDY}" --extra-arg=-Wno-unknown-warning-option)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# The options of KERNELS_SANITIZE, for compiling and linking alike.
function(kernels_sanitizers out)
    if(KERNELS_SANITIZE STREQUAL "THREAD")
        set(${out} -fsanitize=thread PARENT_SCOPE)
    elseif(KERNELS_SANITIZE)
        set(${out} -fsanitize=address,undefined -fno-sanitize-recover=undefined PARENT_SCOPE)
    endif()
endfunction()

# Options of our own code: language level, warnings, sanitizers, include root.
function(kernels_compile_options target)
    target_compile_features(${target} PUBLIC cxx_std_20)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                                             -Wno-missing-field-initializers)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
        # gcc 12 sees overlapping copies in `"x" + std::string` (its bugs 105651, 105329).
        target_compile_options(${target} PRIVATE -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
    endif()
    if(KERNELS_WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
    if(KERNELS_SANITIZE)
        kernels_sanitizers(sanitizers)
        target_compile_options(${target} PRIVATE ${sanitizers} -fno-omit-frame-pointer)
        target_link_options(${target} PUBLIC ${sanitizers})
    endif()
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/lib")
    target_compile_definitions(${target} PRIVATE KERNELS_VERSION="${PROJECT_VERSION}")
endfunction()

# What runs once in a test need not be optimized as far as what users run: it compiles in less time.
function(kernels_compile_for_tests target)
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()

# libtorch's headers are slow to compile: those of kernels_torch, compiled once, serve every target that needs them.
# (gcc takes a precompiled header only from the same kind of code, so executables are compiled as libraries are.)
function(kernels_reuse_torch_headers target)
    target_compile_options(${target} PRIVATE -fPIC)
    target_precompile_headers(${target} REUSE_FROM kernels_torch)
endfunction()

# kernels_module(NAME [LINK ...]): lib/NAME/*.cpp as an object library kernels_NAME.
function(kernels_module name)
    cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp")
    if(NOT sources)
        add_library(kernels_${name} INTERFACE)
        return()
    endif()
    add_library(kernels_${name} OBJECT ${sources})
    kernels_compile_options(kernels_${name})
    target_link_libraries(kernels_${name} PRIVATE ${arg_LINK})
endfunction()
