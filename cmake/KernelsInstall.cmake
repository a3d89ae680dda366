# What `cmake --install` lays down: programs, libraries, headers, the CMake package, man pages and completions.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/kernels")

install(TARGETS kernels EXPORT kernelsTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/kernels" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        PATTERN "torch" EXCLUDE PATTERN "runtime" EXCLUDE)
install(EXPORT kernelsTargets NAMESPACE kernels:: DESTINATION "${package_dir}")

if(TARGET kernels_torch)
    install(TARGETS kernels_torch EXPORT kernelsTorchTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    install(TARGETS kernels_runtime EXPORT kernelsTorchTargets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/kernels/torch" "${PROJECT_SOURCE_DIR}/include/kernels/runtime"
            DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/kernels")
    install(EXPORT kernelsTorchTargets NAMESPACE kernels:: DESTINATION "${package_dir}")
    install(FILES "${PROJECT_SOURCE_DIR}/cmake/FindLibtorch.cmake" DESTINATION "${package_dir}")
endif()

foreach(app kernels_cli kernels_hub_app)
    if(TARGET ${app})
        install(TARGETS ${app} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
    endif()
endforeach()
if(TARGET kernels_torch_app)
    install(TARGETS kernels_torch_app RUNTIME DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}/kernels")
endif()

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/kernelsConfig.cmake.in"
                              "${CMAKE_CURRENT_BINARY_DIR}/kernelsConfig.cmake"
                              INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/kernelsConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/kernelsConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/kernelsConfigVersion.cmake"
        DESTINATION "${package_dir}")

file(GLOB man1 CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/man/*.1")
file(GLOB man5 CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/man/*.5")
file(GLOB man7 CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/man/*.7")
install(FILES ${man1} DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
install(FILES ${man5} DESTINATION "${CMAKE_INSTALL_MANDIR}/man5")
install(FILES ${man7} DESTINATION "${CMAKE_INSTALL_MANDIR}/man7")
foreach(completion "kernels.bash|bash-completion/completions|kernels" "_kernels|zsh/site-functions|_kernels"
                   "kernels.fish|fish/vendor_completions.d|kernels.fish")
    string(REPLACE "|" ";" completion "${completion}")
    list(GET completion 0 source)
    list(GET completion 1 folder)
    list(GET completion 2 name)
    if(EXISTS "${PROJECT_SOURCE_DIR}/completions/${source}")
        install(FILES "${PROJECT_SOURCE_DIR}/completions/${source}" DESTINATION "${CMAKE_INSTALL_DATADIR}/${folder}"
                RENAME "${name}")
    endif()
endforeach()
