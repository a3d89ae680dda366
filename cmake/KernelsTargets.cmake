# How every target of this project is compiled; one place, so that no folder repeats it.

find_program(KERNELS_CCACHE ccache)
if(KERNELS_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${KERNELS_CCACHE}")
endif()
if(KERNELS_TIDY)
    find_program(KERNELS_CLANG_TIDY clang-tidy REQUIRED)
    set(CMAKE_CXX_CLANG_TIDY "${KERNELS_CLANG_TIDY}")
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

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
        target_compile_options(${target} PRIVATE -fsanitize=address,undefined -fno-sanitize-recover=undefined
                                                 -fno-omit-frame-pointer)
        target_link_options(${target} PUBLIC -fsanitize=address,undefined)
    endif()
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/lib")
    target_compile_definitions(${target} PRIVATE KERNELS_VERSION="${PROJECT_VERSION}")
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
