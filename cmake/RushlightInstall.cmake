# install: libraries, headers, the program, package config for find_package, a .pc file for pkg-config.
include(CMakePackageConfigHelpers)

set(rushlight_installed rushlight)
if(RUSHLIGHT_BUILD_RUNTIME)
  list(APPEND rushlight_installed rushlight_runtime)
endif()
install(TARGETS ${rushlight_installed} EXPORT rushlightTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/rushlight DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.def")
if(TARGET rushlight_cli)
  install(TARGETS rushlight_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

set(rushlight_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/rushlight)
install(EXPORT rushlightTargets NAMESPACE rushlight:: DESTINATION ${rushlight_cmake_dir})
set(RUSHLIGHT_CONFIG_ISAL "")
if(RUSHLIGHT_HAS_ISAL)
  set(RUSHLIGHT_CONFIG_ISAL " \"ISAL;isal\"")
endif()
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/rushlightConfig.cmake.in
  ${PROJECT_BINARY_DIR}/rushlightConfig.cmake INSTALL_DESTINATION ${rushlight_cmake_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/rushlightConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/rushlightConfig.cmake ${PROJECT_BINARY_DIR}/rushlightConfigVersion.cmake
        DESTINATION ${rushlight_cmake_dir})

# pkg-config: two modules, since many programs only read. Private libraries matter for static linking, our default.
set(RUSHLIGHT_PC_READER_PRIVATE "-lxxhash -ldeflate -lsimdjson -pthread")
if(RUSHLIGHT_HAS_ISAL)
  string(APPEND RUSHLIGHT_PC_READER_PRIVATE " -lisal")
endif()
if(RUSHLIGHT_HAS_OPENSSL)
  string(APPEND RUSHLIGHT_PC_READER_PRIVATE " -lcrypto")
endif()
if(RUSHLIGHT_HAS_CUDA)
  string(APPEND RUSHLIGHT_PC_READER_PRIVATE " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -ldl -lrt")
endif()
# A static library needs its own dependencies on the consumer's link line; a shared one has them inside.
if(BUILD_SHARED_LIBS)
  set(RUSHLIGHT_PC_READER_LIBS "-lrushlight")
else()
  set(RUSHLIGHT_PC_READER_LIBS "-lrushlight ${RUSHLIGHT_PC_READER_PRIVATE}")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/rushlight.pc.in ${PROJECT_BINARY_DIR}/rushlight.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/rushlight.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(RUSHLIGHT_BUILD_RUNTIME)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/rushlight-runtime.pc.in ${PROJECT_BINARY_DIR}/rushlight-runtime.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/rushlight-runtime.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
